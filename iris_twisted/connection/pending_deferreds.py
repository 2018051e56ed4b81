"""
The Deferreds of connect() and close(), each settled in its place among the
callbacks.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred

from ..errors import InvalidState, IrisError
from .callback_queue import CallbackQueue

__all__ = ["PendingDeferreds"]


@attrs.define(eq=False)
class _Batch:
    """Deferreds that share an outcome."""

    deferreds: list[Deferred[object]]
    error: IrisError | None


class PendingDeferreds:
    """
    Those who wait for one thing.

    @param result: what their Deferreds fire with.
    @param abandoned: called when the last one was cancelled by its owner.
    """

    def __init__(
        self, callbacks: CallbackQueue, result: object, abandoned: Callable[[], None]
    ) -> None:
        self._callbacks = callbacks
        self._result = result
        self._abandoned = abandoned
        self._waiting: list[Deferred[object]] = []
        self._batches: list[_Batch] = []

    @classmethod
    def refused(cls, callbacks: CallbackQueue, error: IrisError) -> Deferred[object]:
        """A Deferred that fails, after the callbacks made so far."""
        pending = cls(callbacks, None, lambda: None)
        deferred = pending.add()
        pending.settle(error)
        return deferred

    def add(self) -> Deferred[object]:
        """One more."""
        deferred: Deferred[object] = Deferred(self._cancelled)
        self._waiting.append(deferred)
        return deferred

    def settle(self, error: IrisError | None = None) -> None:
        """Let all who wait now succeed or fail, after the callbacks made so far."""
        if not self._waiting:
            return
        batch = _Batch(self._waiting, error)
        self._waiting = []
        self._batches.append(batch)
        self._callbacks.do(lambda: self._fire(batch), always=True)

    def withdraw(self, error: InvalidState) -> None:
        """Let all who were not told yet fail, those whose success was on its way too."""
        for batch in self._batches:
            batch.error = batch.error or error
        self.settle(error)

    def _fire(self, batch: _Batch) -> None:
        # One of them may cancel another, which leaves the batch then.
        while batch.deferreds:
            deferred = batch.deferreds.pop(0)
            if batch.error is None:
                deferred.callback(self._result)
            else:
                deferred.errback(batch.error)
        self._batches.remove(batch)

    def _cancelled(self, deferred: Deferred[object]) -> None:
        for deferreds in (self._waiting, *(batch.deferreds for batch in self._batches)):
            if deferred in deferreds:
                deferreds.remove(deferred)
        # Those who will be told that it failed wait for nothing.
        hopeful = any(batch.deferreds for batch in self._batches if batch.error is None)
        if not self._waiting and not hopeful:
            self._abandoned()
