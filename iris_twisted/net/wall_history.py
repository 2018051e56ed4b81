"""
What the wall clock showed since this process began to look: how long ago a date was that it
showed, whatever it was set to meanwhile.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import attrs

from .steady_time import steadyTime, wallSeconds

__all__ = ["WallHistory", "wallHistory"]

# By how many seconds the wall clock must be off to have been set.
_SET = 0.5
# Within how many seconds steady time tells of that.
_TOLD = 2.0
# How many settings are remembered: NTP steps a clock once or twice.
_MOST = 100


@attrs.define
class _Setting:
    """
    @ivar apart: the wall clock's seconds less the steady ones.
    @ivar since: when it began at the earliest, in steady seconds; C{until}: when it was seen last.
    """

    apart: float
    since: float
    until: float


class WallHistory:
    """
    @ivar began: when this process began to look, in steady seconds.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self.began = self._time.seconds()
        now = _Setting(self._apart(), self.began, self.began)
        self._settings = deque([now], _MOST)
        self._time.watchDates(lambda: self._look(_TOLD))

    def age(self, date: float) -> float | None:
        """
        Steady seconds since the wall clock showed that date, epoch seconds; the last time, if it
        did more than once.

        @return: C{None} when it did not, as far as anybody looked.
        """
        self._look()
        for setting in reversed(self._settings):
            at = date - setting.apart
            if setting.since - _SET <= at <= setting.until + _SET:
                return max(0.0, self._time.seconds() - at)
        return None

    def _apart(self) -> float:
        return wallSeconds(self._reactor) - self._time.seconds()

    def _look(self, within: float = math.inf) -> None:
        """See how it is; if it was set, then within so many seconds, and since the last look."""
        now, apart, last = self._time.seconds(), self._apart(), self._settings[-1]
        if abs(apart - last.apart) > _SET:
            self._settings.append(_Setting(apart, max(last.until, now - within), now))
        else:
            # The clock is slewed, or drifts.
            last.apart = apart
        last.until = now


def wallHistory(reactor: Any) -> WallHistory:
    """The one of this reactor."""
    # Kept where it lives and dies with the reactor.
    steady: Any = steadyTime(reactor)
    history: WallHistory | None = getattr(steady, "_irisWallHistory", None)
    if history is None:
        history = steady._irisWallHistory = WallHistory(reactor)
    return history
