"""
Callbacks, one after the other: never from within a call of the API, never one inside
another (contract promise 3). Each has a reactor turn to wait for, but a notification
that comes while nothing waits is told in the turn in which it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import NotKept, NotTaken
from ..net.repeated_reasons import RepeatedReasons
from ..net.steady_time import steadyTime

__all__ = ["CallbackQueue"]

# The callback that takes calls.
_NOTIFICATION = "onNotification"


class CallbackQueue:
    """
    @param reactor: C{IReactorTime}.
    @param target: whose attributes are the callbacks, at the time they are due.
    @param failed: called for each callback that failed, after it was logged.
    @param refused: tells the log of calls that the application did not take.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        target: object,
        failed: Callable[[], None],
        refused: RepeatedReasons,
    ) -> None:
        self._time = steadyTime(reactor)
        self._target = target
        self._failed = failed
        self._refused = refused
        self._items: list[tuple[Callable[[], None], bool]] = []
        self._turn: IDelayedCall | None = None
        self._draining = False
        self._due = 0
        self._cleared = 0

    def do(self, item: Callable[[], None], *, always: bool = False) -> None:
        """
        Run something of our own in its place among the callbacks.

        @param always: whether L{clear} leaves it.
        """
        self._items.append((item, always))
        if self._turn is None and not self._draining:
            self._schedule()

    def call(
        self, name: str, *args: object, done: Callable[[Failure | None], None] | None = None
    ) -> None:
        """
        Make a callback in a later turn.

        @param done: called with C{None} when it returned and its Deferred fired,
            or with the failure, which is logged already.
        """
        self.do(lambda: self._call(name, args, done))

    def callWithEvent(
        self,
        event: object,
        name: str,
        *args: object,
        made: Callable[[], object] = lambda: None,
        inseparable: bool = False,
        always: bool = False,
    ) -> None:
        """
        Make C{onEvent} and the callback that it belongs to in a later turn.

        @param made: called when the callback is certain to be made.
        @param inseparable: whether the callback follows even when L{clear} is called from
            C{onEvent}.
        @param always: whether L{clear} leaves both.
        """

        def pair() -> None:
            cleared = self._cleared
            if inseparable:
                made()
            self._call("onEvent", (event,), None)
            if not inseparable and cleared == self._cleared:
                made()
            if inseparable or cleared == self._cleared:
                self._call(name, args, None)

        self.do(pair, always=always)

    def clear(self) -> None:
        """Forget the callbacks that were not made yet."""
        self._cleared += 1
        self._due = sum(always for _, always in self._items[: self._due])
        self._items = [item for item in self._items if item[1]]

    @property
    def isIdle(self) -> bool:
        """Whether no callback is being made, or waits for its turn."""
        return not self._items and not self._draining

    def now(self, event: object, name: str, argument: object) -> Deferred[object] | None:
        """
        Make a callback at once, and C{onEvent} before it. Only while L{isIdle}, in a
        reactor turn that is nobody else's.

        @return: C{None} when the callback is done; or a Deferred that fires when it is,
            or fails with what is logged and counted already.
        """
        self._draining = True
        cleared = self._cleared
        try:
            finishing = self._makeWith("onEvent", event)
            if finishing is not None:
                finishing.addErrback(lambda _: None)
            # It may have closed the connection, and then nothing else is told.
            return None if cleared != self._cleared else self._makeWith(name, argument)
        finally:
            self._draining = False
            if self._items:
                self._schedule()

    def _drain(self) -> None:
        self._turn = None
        self._draining = True
        try:
            # What is added meanwhile waits for the next turn, so that others get theirs.
            self._due = len(self._items)
            while self._due:
                self._due -= 1
                self._items.pop(0)[0]()
        finally:
            self._due = 0
            self._draining = False
            if self._items:
                self._schedule()

    def _schedule(self) -> None:
        self._turn = self._time.callLater(0.0, self._drain)

    def _makeWith(self, name: str, argument: object) -> Deferred[object] | None:
        """As L{_make}, in the shape that costs least: this happens with each notification."""
        try:
            result = getattr(self._target, name)(argument)
        except BaseException:
            return self._watched(name, fail())
        if result is not None:
            return self._watched(name, maybeDeferred(lambda: result))
        if self._refused.areTold:
            self._returned(name)
        return None

    def _make(self, name: str, args: tuple[object, ...]) -> Deferred[object] | None:
        """As L{now} does."""
        try:
            result = getattr(self._target, name)(*args)
        except BaseException:
            return self._watched(name, fail())
        if result is not None:
            return self._watched(name, maybeDeferred(lambda: result))
        if self._refused.areTold:
            self._returned(name)
        return None

    def _watched(self, name: str, finishing: Deferred[object]) -> Deferred[object]:
        def failed(failure: Failure) -> Failure:
            error = failure.value
            if not isinstance(error, (NotKept, NotTaken)):
                self._log.failure("{callback} failed", failure=failure, callback=name)
            elif name == _NOTIFICATION:
                # No bug: there is no room, or somebody does not take it. Thousands may follow.
                self._refused.refused(error.message)
            else:
                self._log.error("{callback} failed: {reason}", callback=name, reason=error.message)
            self._failed()
            # Whoever wants to know has it now; nobody else shall hear of it.
            return failure

        def returned(result: object) -> object:
            if self._refused.areTold:
                self._returned(name)
            return result

        return finishing.addCallbacks(returned, failed)

    def _returned(self, name: str) -> None:
        """A callback is done, and did not fail, while calls are refused."""
        if name == _NOTIFICATION:
            self._refused.taken()

    def _call(
        self, name: str, args: tuple[object, ...], done: Callable[[Failure | None], None] | None
    ) -> None:
        finishing = self._make(name, args)
        if finishing is None:
            if done is not None:
                done(None)
        elif done is not None:
            finishing.addCallbacks(lambda _: done(None), done)
        else:
            finishing.addErrback(lambda _: None)
