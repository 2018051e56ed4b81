"""
Work that is cheaper done together: what comes while one batch is at the disk is the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from ..net.steady_time import steadyTime

__all__ = ["GroupCommit"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class GroupCommit(Generic[_Item, _Result]):
    """
    @param commit: called in a thread with the items of a batch, never twice at a time; gives
        a result for each, in their order, or a C{Failure} for one that failed alone. When
        it raises, all of the batch failed.
    @param longest: how many items a batch may have.
    """

    def __init__(
        self,
        reactor: Any,
        commit: Callable[[Sequence[_Item]], Sequence[_Result | Failure]],
        longest: int = 1000,
    ) -> None:
        self._reactor = reactor
        self._commit = commit
        self._longest = longest
        self._waiting: list[tuple[_Item, Deferred[_Result]]] = []
        self._busy = False
        self._began: float | None = None
        self._idle: list[Deferred[None]] = []

    @property
    def waited(self) -> float:
        """Seconds since the batch was begun that is not committed yet; 0 where there is none."""
        began = self._began
        return 0.0 if began is None else steadyTime(self._reactor).seconds() - began

    def submit(self, item: _Item) -> Deferred[_Result]:
        """
        @return: fires with the item's result when its batch is committed; fails as
            C{commit} did.
        """
        done: Deferred[_Result] = Deferred()
        self._waiting.append((item, done))
        if not self._busy:
            self._busy = True
            # What else comes in this turn goes along.
            steadyTime(self._reactor).callLater(0, self._begin)
        return done

    def idle(self) -> Deferred[None]:
        """Fires when nothing is under way."""
        idle: Deferred[None] = Deferred()
        if self._busy:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _begin(self) -> None:
        batch, self._waiting = self._waiting[: self._longest], self._waiting[self._longest :]
        self._began = steadyTime(self._reactor).seconds()
        working: Deferred[Any] = deferToThreadPool(
            self._reactor,
            self._reactor.getThreadPool(),
            self._commit,
            [item for item, _ in batch],
        )
        working.addCallbacks(
            lambda results: self._committed(results, batch),
            lambda failure: self._failed(failure, batch),
        )

    def _committed(
        self, results: Sequence[_Result | Failure], batch: list[tuple[_Item, Deferred[_Result]]]
    ) -> None:
        self._next()
        for (_, done), result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)

    def _failed(self, failure: Failure, batch: list[tuple[_Item, Deferred[_Result]]]) -> None:
        self._next()
        for _, done in batch:
            done.errback(failure)

    def _next(self) -> None:
        self._began = None
        if self._waiting:
            self._begin()
            return
        self._busy = False
        idle, self._idle = self._idle, []
        for waiting in idle:
            waiting.callback(None)
