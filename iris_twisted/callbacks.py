"""
Callbacks, one after the other, in reactor turns of their own: never from within
a call of the API, never one inside another (contract promise 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["CallbackQueue"]


class CallbackQueue:
    """
    @param reactor: C{IReactorTime}.
    @param lookUp: finds a callback by name, at the time it is due.
    @param failed: called for each callback that failed, after it was logged.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        lookUp: Callable[[str], Callable[..., object]],
        failed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._lookUp = lookUp
        self._failed = failed
        self._items: deque[tuple[Callable[[], None], bool]] = deque()
        self._turn: IDelayedCall | None = None
        self._draining = False

    def do(self, item: Callable[[], None], *, always: bool = False) -> None:
        """
        Run something of our own in its place among the callbacks.

        @param always: whether L{clear} leaves it.
        """
        self._items.append((item, always))
        if self._turn is None and not self._draining:
            self._turn = self._reactor.callLater(0, self._drain)

    def call(
        self, name: str, *args: object, done: Callable[[Failure | None], None] | None = None
    ) -> None:
        """
        Make a callback in a later turn.

        @param done: called with C{None} when it returned and its Deferred fired,
            or with the failure, which is logged already.
        """
        self.do(lambda: self._call(name, args, done))

    def clear(self) -> None:
        """Forget the callbacks that were not made yet."""
        self._items = deque(item for item in self._items if item[1])

    def _drain(self) -> None:
        self._turn = None
        self._draining = True
        try:
            # What is added meanwhile waits for the next turn, so that others get theirs.
            for _ in range(len(self._items)):
                if not self._items:
                    break
                self._items.popleft()[0]()
        finally:
            self._draining = False
            if self._items:
                self._turn = self._reactor.callLater(0, self._drain)

    def _call(
        self, name: str, args: tuple[object, ...], done: Callable[[Failure | None], None] | None
    ) -> None:
        result: Deferred[object] = maybeDeferred(lambda: self._lookUp(name)(*args))

        def failed(failure: Failure) -> Failure:
            self._log.failure("{callback} failed", failure=failure, callback=name)
            self._failed()
            return failure

        result.addErrback(failed)
        if done is not None:
            result.addCallbacks(lambda _: done(None), done)
        result.addErrback(lambda _: None)
