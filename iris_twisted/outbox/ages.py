"""
How long ago calls came: by steady time where this process saw it, and otherwise by their dates, if
these can be true.
"""

from __future__ import annotations

from typing import Any

from ..net.steady_time import steadyTime, wallSeconds
from ..net.wall_history import wallHistory
from .values import EARLIEST

__all__ = ["Ages"]

# Of how many calls it is remembered at most that they were seen, whose dates cannot be true.
_MOST = 10_000


class Ages:
    """
    A date of this process counts by steady time, to whatever the wall clock was set meanwhile. One
    that an earlier process wrote, or another machine, counts by the wall clock; but if it lies in
    the future, or before this program was there, a clock was wrong: then the age counts from
    when this process met that call.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._history = wallHistory(reactor)
        # When calls were met whose dates cannot be true, by their ids.
        self._met: dict[int, float] = {}

    def since(self, date: float) -> float:
        """Seconds since that date; since this process began, where it cannot be true."""
        age = self._known(date)
        return self._time.seconds() - self._history.began if age is None else age

    def of(self, id: int, date: float) -> float:
        """Seconds since a call came, or was revived: at that date."""
        age, now = self._known(date), self._time.seconds()
        if age is None:
            if id in self._met or len(self._met) < _MOST:
                return now - self._met.setdefault(id, now)
            return now - self._history.began
        # A wrong date becomes one that can be true when the clock reaches it.
        return max(age, now - self._met.get(id, now))

    def forget(self, id: int) -> None:
        """Nobody will ask about that call again."""
        self._met.pop(id, None)

    def _known(self, date: float) -> float | None:
        age = self._history.age(date)
        if age is not None:
            return age
        now = wallSeconds(self._reactor)
        # Both may be of a clock that begins in 1970.
        return None if date > now or date < EARLIEST <= now else now - date
