"""
Time for durations: seconds and timers that do not notice when the wall clock is set.

Twisted's reactors count on the wall clock. When it is set back, every delayed call of
theirs waits for as much longer; when it is set forward, all are made at once. Only dates
(a token's expiry, a log line) may depend on the wall clock: take those from L{wallSeconds}.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

__all__ = ["SteadyTime", "steadyTime", "wallSeconds"]

# Seconds between looks at the wall clock, and by how much it must be off to have been set.
_LOOK = 1.0
_SET = 0.5
# Seconds by which a timer of the reactor may be early without the wall clock being set.
_EARLY = 0.01


def wallSeconds(reactor: Any) -> float:
    """The date, in epoch seconds; a C{Clock}'s own time in tests."""
    if isinstance(reactor, Clock):
        return reactor.seconds()
    return time.time()


class _MonotonicSeconds:
    """
    The time of a C{Clock} in tests, which may have been set back.

    @param wasSet: called when it was.
    """

    def __init__(self, clock: Clock, wasSet: Callable[[], None]) -> None:
        self._clock = clock
        self._wasSet = wasSet
        self._last = clock.seconds()
        self._offset = 0.0

    def seconds(self) -> float:
        now = self._clock.seconds()
        back = self._last - now
        self._last = now
        if back > 0:
            self._offset += back
            self._wasSet()
        return now + self._offset


@implementer(IDelayedCall)
class _SteadyCall:
    """
    A delayed call whose time is counted steadily.

    @ivar due: when, in steady seconds.
    """

    def __init__(self, time: SteadyTime, due: float, work: Callable[[], object]) -> None:
        self.due = due
        self._time = time
        self._work = work
        self._call: Any = None

    def arm(self) -> None:
        """Have the reactor wait for what is left."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        left = max(0.0, self.due - self._time.seconds())
        self._call = self._time.reactor.callLater(left, self._reached)

    def _reached(self) -> None:
        if self.due - self._time.seconds() > _EARLY:
            self.arm()
        else:
            self._time.forget(self)
            self._work()

    def getTime(self) -> float:
        return self.due

    def cancel(self) -> None:
        self._call.cancel()
        self._time.forget(self)

    def delay(self, secondsLater: float) -> None:
        self.due += secondsLater
        self.arm()

    def reset(self, secondsFromNow: float) -> None:
        self.due = self._time.seconds() + secondsFromNow
        self.arm()

    def active(self) -> bool:
        return bool(self._call.active())


class _WallWatch:
    """
    A thread that notices when a reactor's clock is set: nothing else wakes a reactor whose
    timers are all late. It runs while there are timers.

    @param wasSet: called in the reactor's thread.
    """

    def __init__(self, reactor: Any, wasSet: Callable[[], None]) -> None:
        self._reactor = reactor
        self._wasSet = wasSet
        self._ended: threading.Event | None = None

    def start(self) -> None:
        self._ended = ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name="iris-wall-clock")
        thread.daemon = True
        thread.start()

    def stop(self) -> None:
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _watch(self, ended: threading.Event) -> None:
        apart = self._apart()
        while not ended.wait(_LOOK):
            before, apart = apart, self._apart()
            if abs(apart - before) > _SET:
                self._reactor.callFromThread(self._wasSet)

    def _apart(self) -> float:
        seconds: float = self._reactor.seconds()
        return seconds - time.monotonic()


@implementer(IReactorTime)
class SteadyTime:
    """
    C{IReactorTime} for durations: C{time.monotonic}, with timers of the reactor's. A
    C{Clock} counts as it is, unless it has C{monotonicSeconds}, a callable.

    Each timer fires at its steady time, at the latest a second after the wall clock
    was set back.

    @ivar reactor: whose timers are used.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._calls: dict[_SteadyCall, None] = {}
        # Who depends on dates, and is told when the wall clock is set.
        self._dates: dict[Callable[[], object], None] = {}
        self._watch: _WallWatch | None = None
        self.seconds: Callable[[], float] = time.monotonic
        own = getattr(reactor, "monotonicSeconds", None)
        if own is not None:
            self.seconds = own
        elif isinstance(reactor, Clock):
            self.seconds = _MonotonicSeconds(reactor, self.wallWasSet).seconds
        else:
            self._watch = _WallWatch(reactor, self.wallWasSet)

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> _SteadyCall:
        """As C{IReactorTime.callLater}."""
        call = _SteadyCall(self, self.seconds() + delay, lambda: callable(*args, **kw))
        if not self._calls and self._watch is not None:
            self._watch.start()
        self._calls[call] = None
        call.arm()
        return call

    def getDelayedCalls(self) -> list[_SteadyCall]:
        """The timers that wait."""
        return list(self._calls)

    def forget(self, call: _SteadyCall) -> None:
        """A timer fired, or was cancelled."""
        del self._calls[call]
        if not self._calls and self._watch is not None:
            self._watch.stop()

    def wallWasSet(self) -> None:
        """The wall clock was set: let the reactor wait for what is left of each timer."""
        for call in list(self._calls):
            call.arm()
        for hear in list(self._dates):
            hear()

    def watchDates(self, hear: Callable[[], object]) -> None:
        """
        Call this each time that the wall clock was set, within a second of it, or the machine
        has slept; as long as there are timers.
        """
        self._dates[hear] = None

    def unwatchDates(self, hear: Callable[[], object]) -> None:
        """Call it no more."""
        self._dates.pop(hear, None)


def steadyTime(reactor: Any) -> SteadyTime:
    """The one of this reactor; a steady time is its own."""
    if isinstance(reactor, SteadyTime):
        return reactor
    # Kept where it lives and dies with the reactor.
    steady: SteadyTime | None = getattr(reactor, "_irisSteadyTime", None)
    if steady is None:
        steady = reactor._irisSteadyTime = SteadyTime(reactor)
    return steady
