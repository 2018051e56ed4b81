"""
What a sink has taken, and how the store hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..net.steady_time import steadyTime
from .interfaces import IOutboxStore
from .store_retry import StoreRetry
from .values import Due

__all__ = ["Marks"]


class Marks:
    """
    Tells the store which deliveries a sink has taken: those of one turn of the reactor together,
    and again while the store does not work.

    @param spec: what the sink is called in the store.
    @param storing: does the writing, until it is done.
    @param marked: called with deliveries that the store knows as taken now, and how many seconds
        each attempt took.
    @ivar waiting: how many the sink has, and the store does not know yet: should we die now, or
        lose the store to somebody else, then the sink gets them again.
    """

    def __init__(
        self,
        reactor: Any,
        store: IOutboxStore,
        spec: str,
        storing: StoreRetry,
        marked: Callable[[Sequence[tuple[Due, float]]], None],
    ) -> None:
        self._time = steadyTime(reactor)
        self._store = store
        self._spec = spec
        self._storing = storing
        self._marked = marked
        self._taken: list[tuple[Due, float]] = []
        self.waiting = 0

    def take(self, due: Due, seconds: float) -> None:
        """The sink has this one."""
        if not self._taken:
            # What else is taken in this turn is marked along with it.
            self._time.callLater(0, self.write)
        self._taken.append((due, seconds))
        self.waiting += 1

    def write(self) -> None:
        """Have it stored; what is left at the end, for one."""
        if not self._taken:
            # Done at the end already.
            return
        taken, self._taken = self._taken, []
        deliveries = [(due.id, self._spec) for due, _ in taken]

        def marked() -> None:
            self.waiting -= len(taken)
            self._marked(taken)

        self._storing.write(lambda: self._store.taken(deliveries), marked)
