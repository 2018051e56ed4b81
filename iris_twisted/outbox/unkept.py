"""
Calls in a store that does not outlive the process: their sinks must have them before anybody is
told that they arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from ..errors import IrisError, NotKept
from ..sinks.record import CallRecord
from .interfaces import IOutboxStore
from .values import Due

__all__ = ["Unkept"]


class Unkept:
    """
    Knows of each call in a store in memory which durable sinks do not have it yet.

    @param accepted: called with each call that all of its durable sinks have.
    @param refused: called with why one of them will never have it, and the call's key; then it is
        not kept, and may be told again.
    """

    def __init__(
        self,
        store: IOutboxStore,
        accepted: Callable[[CallRecord], object],
        refused: Callable[[Failure, str], object],
    ) -> None:
        self._store = store
        self._accepted = accepted
        self._refused = refused
        # By the id of a call, its key and the sinks that must still take it.
        self._waiting: dict[int, tuple[str, set[str]]] = {}

    def add(self, id: int, key: str, sinks: set[str]) -> None:
        """
        A call waits for these sinks, one at least.

        @param id: what the store calls it.
        """
        self._waiting[id] = key, sinks

    def ended(self, spec: str, due: Due, outcome: str, error: IrisError | None) -> None:
        """
        An attempt has ended: see C{ended} of
        L{SinkWorker<iris_twisted.outbox.sink_worker.SinkWorker>}.

        @param spec: of the sink.
        """
        if outcome == "dead":
            # In memory nobody can look at a dead letter: it goes.
            self._ignore(self._store.taken([(due.id, spec)]))
        _, owed = self._waiting.get(due.id, ("", set[str]()))
        if spec not in owed or outcome == "failed":
            return
        if error is not None:
            del self._waiting[due.id]
            # It is not kept: told again, it is another attempt.
            forgetting = self._ignore(self._store.forgetKey(due.record.key))
            forgetting.addCallback(lambda _: self._refused(Failure(error), due.record.key))
            return
        owed.discard(spec)
        if not owed:
            del self._waiting[due.id]
            self._accepted(due.record)

    @staticmethod
    def _ignore(done: Any) -> Any:
        return done.addErrback(lambda failure: failure.trap(NotKept))

    def close(self) -> None:
        """Nobody takes anything any more."""
        waiting, self._waiting = self._waiting, {}
        for key, _ in waiting.values():
            self._refused(Failure(NotKept("the outbox is closed")), key)
