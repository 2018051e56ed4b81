"""
When a sink is given a call again, and until when.
"""

from __future__ import annotations

from typing import Any

from ..connection.interfaces import IRetryPolicy
from ..connection.retry import delayBefore
from ..errors import IrisError, NotTaken, SinkRefused
from ..net.steady_time import steadyTime, wallSeconds
from .ages import Ages
from .values import Due

__all__ = ["Attempts"]

# Seconds: nobody else asked for an attempt so far ahead. The wall clock is another now, as at the
# boot of a machine that has no clock of its own, or was another then.
_FURTHEST = 2 * 3600.0


class Attempts:
    """
    The dates of attempts pass steadily: setting the wall clock delays none, and makes none come
    early. Dates that an earlier process wrote, or another member of the cluster, are believed if
    they can be true. How long a call is tried counts as L{Ages} says.

    @param policy: when to try again.
    @param retryFor: seconds from a call's arrival, or its revival from the dead letters, in which
        it is tried.
    """

    def __init__(self, reactor: Any, policy: IRetryPolicy, retryFor: float) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._policy = policy
        self._retryFor = retryFor
        self._ages = Ages(reactor)
        self.renew()

    def renew(self) -> None:
        """No attempt waits for its date: count from the wall clock's again."""
        self._offset = wallSeconds(self._reactor) - self._time.seconds()
        # The latest date that was given here.
        self._latest = 0.0

    def now(self) -> float:
        """The date, epoch seconds, by which attempts are due."""
        return self._time.seconds() + self._offset

    def meet(self, date: float) -> bool:
        """
        That date is the next one in the store.

        @return: whether all are counted from it now, since the wall clock must have been another
            when it was written.
        """
        wrong = date > max(self.now() + _FURTHEST, self._latest)
        if wrong:
            self._offset += date - self.now()
        return wrong

    def again(self, due: Due, error: IrisError) -> float | None:
        """The date of the next attempt after one that ended so; C{None} for none."""
        if isinstance(error, SinkRefused):
            self._ages.forget(due.id)
            return None
        delay = delayBefore(self._policy, due.attempts + 1)
        asked = error.retryAfter if isinstance(error, NotTaken) else None
        if asked is not None:
            delay = max(delay or 0.0, asked)
        since = due.record.received if due.revived is None else due.revived
        if delay is None or self._ages.of(due.id, since) + delay > self._retryFor:
            self._ages.forget(due.id)
            return None
        date = self.now() + delay
        self._latest = max(self._latest, date)
        return date
