"""
One thing that is to be done at the earliest of the times for which somebody asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from .steady_time import steadyTime

__all__ = ["EarliestCall"]


class EarliestCall:
    """
    @param work: is called once, whoever asked; then somebody may ask again.
    """

    def __init__(self, reactor: Any, work: Callable[[], object]) -> None:
        self._time = steadyTime(reactor)
        self._work = work
        self._timer: IDelayedCall | None = None

    def within(self, seconds: float) -> None:
        """Do it in so many seconds, or before."""
        if self._timer is not None:
            if self._timer.getTime() <= self._time.seconds() + seconds:
                return
            self._timer.cancel()
        self._timer = self._time.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._work()

    def cancel(self) -> None:
        """Nobody wants it any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
