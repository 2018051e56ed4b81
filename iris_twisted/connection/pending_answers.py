"""
The IQ requests of one session that are not answered yet. A link that resumes the session of
another takes them over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..errors import IrisError
from ..xmpp.elements import Element

__all__ = ["PendingAnswers"]


class PendingAnswers:
    """
    Who waits for which answer, by the request's id.

    @ivar needed: for how many of them somebody waits.
    """

    # One for each connection: a set of ids would be four times as large as this.
    __slots__ = ("_pending", "needed")

    def __init__(self) -> None:
        self.needed = 0
        self._pending: dict[str, tuple[Deferred[Element], IDelayedCall, bool]] = {}

    def add(self, id: str, overdue: IDelayedCall, *, needed: bool) -> Deferred[Element]:
        """
        A request was sent.

        @param overdue: is cancelled when the answer is there.
        @param needed: whether somebody waits for the answer.
        """
        answered: Deferred[Element] = Deferred()
        self._pending[id] = answered, overdue, needed
        self.needed += needed
        return answered

    def take(self, id: str) -> Deferred[Element] | None:
        """Who waits for the answer with this id, if anybody does; each once."""
        if id not in self._pending:
            return None
        answered, overdue, needed = self._pending.pop(id)
        self.needed -= needed
        if overdue.active():
            overdue.cancel()
        return answered

    def failAll(
        self, error: Callable[[], IrisError], inTurn: Callable[[Callable[[], None]], None]
    ) -> None:
        """
        None of them will come.

        @param error: makes each its own.
        @param inTurn: runs what calls the application.
        """
        waiting, self._pending = self._pending, {}
        self.needed = 0
        for answered, overdue, _ in waiting.values():
            overdue.cancel()
            inTurn(partial(answered.errback, error()))
