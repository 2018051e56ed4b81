"""
What the log says of calls that are refused, since there is no room for them or nobody takes them:
thousands may be, and an operator wants to know why, how many, and when it is over.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.logger import Logger

from ..net.earliest_call import EarliestCall
from ..net.steady_time import SteadyTime, steadyTime

__all__ = ["RefusedCalls"]

# Seconds between two lines with the same reason.
_INTERVAL = 60.0
# Seconds without a refusal after which it is over, if calls were taken meanwhile.
_QUIET = 10.0
# How many reasons have lines of their own; one may name an account, and there may be thousands.
_MOST = 10


@attrs.define
class _Reason:
    """
    @ivar words: of the last call that was refused so.
    @ivar told: when the last line of it was written, in steady seconds.
    @ivar refused: when the last call was.
    @ivar more: how many were since the last line; C{all}: since the first one.
    @ivar taken: whether a call was taken since the last one was refused.
    """

    words: str
    told: float
    refused: float
    more: int = 0
    all: int = 1
    taken: bool = False


class RefusedCalls:
    """
    The first call that is refused for a reason is told at once, the next ones together in a
    line a minute, and it is told once when calls are taken again. All connections that share this
    are told of together. It has a timer only while one of them L{join}ed.

    @ivar areTold: whether calls are being refused, so that L{taken} says something new.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.areTold = False
        self._time: SteadyTime | None = None
        self._timer: EarliestCall | None = None
        self._sharing = set[object]()
        # By their words; what is beyond C{_MOST} is together under C{None}.
        self._reasons: dict[str | None, _Reason] = {}

    def join(self, connection: object, reactor: Any) -> None:
        """A connection begins, from which calls come."""
        self._sharing.add(connection)
        if self._timer is None:
            self._time = steadyTime(reactor)
            self._timer = EarliestCall(reactor, self._look)
        self._waitForAll()

    def leave(self, connection: object) -> None:
        """It has ended. With the last one what was not told yet is."""
        self._sharing.discard(connection)
        if self._timer is None or self._sharing:
            return
        self._timer.cancel()
        for key, reason in self._reasons.items():
            if reason.more:
                self._tellMore(key, reason)
        self._reasons.clear()
        self.areTold = False

    def refused(self, words: str) -> None:
        """A call was refused: C{words} say why, without a secret."""
        now = self._now()
        key = words if words in self._reasons or len(self._reasons) < _MOST else None
        reason = self._reasons.get(key)
        if reason is None:
            self._reasons[key] = _Reason(words, now, now)
            self.areTold = True
            self._log.error("{callback} failed: {reason}", callback="onNotification", reason=words)
            return
        reason.words, reason.refused, reason.taken = words, now, False
        reason.more += 1
        reason.all += 1
        self._wait(reason.told + _INTERVAL)

    def taken(self) -> None:
        """A call was taken; nobody need say so unless they L{areTold}."""
        for reason in self._reasons.values():
            if not reason.taken:
                reason.taken = True
                self._wait(reason.refused + _QUIET)

    def _now(self) -> float:
        return 0.0 if self._time is None else self._time.seconds()

    def _wait(self, until: float) -> None:
        if self._timer is not None and self._sharing:
            self._timer.within(max(0.0, until - self._now()))

    def _waitForAll(self) -> None:
        for reason in self._reasons.values():
            if reason.taken:
                self._wait(reason.refused + _QUIET)
            if reason.more:
                self._wait(reason.told + _INTERVAL)

    def _look(self) -> None:
        now = self._now()
        for key, reason in list(self._reasons.items()):
            if reason.taken and now >= reason.refused + _QUIET:
                del self._reasons[key]
                self._tellOver(key, reason)
            elif reason.more and now >= reason.told + _INTERVAL:
                self._tellMore(key, reason)
                reason.told, reason.more = now, 0
        self.areTold = bool(self._reasons)
        self._waitForAll()

    def _tellMore(self, key: str | None, reason: _Reason) -> None:
        words = "{count} more calls were refused in the last {seconds:.0f} s: {reason}"
        if key is None:
            words = (
                "{count} more calls were refused in the last {seconds:.0f} s, for other reasons; "
                "the last one: {reason}"
            )
        seconds = self._now() - reason.told
        self._log.error(words, count=reason.more, seconds=seconds, reason=reason.words)

    def _tellOver(self, key: str | None, reason: _Reason) -> None:
        words = "calls are taken again; {count} were refused: {reason}"
        if key is None:
            words = (
                "calls are taken again; {count} were refused for other reasons; "
                "the last one: {reason}"
            )
        self._log.warn(words, count=reason.all, reason=reason.words)
