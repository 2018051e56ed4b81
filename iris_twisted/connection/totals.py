"""
What connections add up to, counted as it happens: to look at thousands costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..net.steady_time import steadyTime
from .ping_histogram import PingHistogram
from .refused_calls import RefusedCalls
from .state import ConnectionState
from .stats import Stats

__all__ = ["ConnectionCounters", "Totals"]


class Totals:
    """
    The counts of all connections that share it.

    @ivar stats: their counters, added up; of those that left, too.
    @ivar states: how many connections are in each state.
    @ivar roundTrips: how long their pings took.
    @ivar lastNotification: when the last notification came, by L{steadyTime
        <iris_twisted.net.steady_time.steadyTime>}; C{None} before the first.
    @ivar refused: tells the log of the calls that were refused.
    """

    def __init__(self) -> None:
        self.stats = Stats()
        self.states: Counter[ConnectionState] = Counter()
        self.roundTrips = PingHistogram()
        self.lastNotification: float | None = None
        self.refused = RefusedCalls()


class ConnectionCounters:
    """
    One connection's part of them.

    @param totals: C{None} for nobody else's.
    @ivar stats: its own counters.
    @ivar refused: C{totals}' own.
    @ivar state: what it is doing.
    @ivar watcher: called with each new state, if there is one; it may not call the connection.
    """

    def __init__(self, reactor: Any, totals: Totals | None) -> None:
        self.stats = Stats()
        self.state = ConnectionState.DISCONNECTED
        self.watcher: Callable[[ConnectionState], None] | None = None
        self._time = steadyTime(reactor)
        self._totals = Totals() if totals is None else totals
        self.refused = self._totals.refused
        self._alone = totals is None
        self._counted = True
        self._totals.states[self.state] += 1

    def enter(self, state: ConnectionState) -> None:
        """It is doing this now."""
        if state is not self.state:
            if self._counted:
                self._totals.states[self.state] -= 1
                self._totals.states[state] += 1
            self.state = state
            if self.watcher is not None:
                self.watcher(state)

    def leave(self) -> None:
        """It is no longer one of those whose states count."""
        if self._counted:
            self._counted = False
            self._totals.states[self.state] -= 1

    def sessionUp(self, *, again: bool) -> None:
        """A session came up; C{again} if one was lost before."""
        for stats in self.stats, self._totals.stats:
            stats.connects += 1
            stats.reconnects += again

    def notified(self) -> None:
        """A notification is handed over."""
        self.stats.notifications += 1
        if self._alone:
            # Nobody looks there, and this happens with each call.
            return
        self._totals.stats.notifications += 1
        self._totals.lastNotification = self._time.seconds()

    def rejected(self) -> None:
        """A call was rejected, and the server agreed."""
        for stats in self.stats, self._totals.stats:
            stats.rejected += 1

    def forbidden(self) -> None:
        """A private IQ was refused because of its sender."""
        for stats in self.stats, self._totals.stats:
            stats.forbidden += 1

    def callbackFailed(self) -> None:
        """A callback failed."""
        for stats in self.stats, self._totals.stats:
            stats.callbackErrors += 1

    def pingAnswered(self, roundTrip: float) -> None:
        """A ping was answered, so many seconds after it was sent."""
        self.stats.pingRoundTrip = roundTrip
        self._totals.roundTrips.observe(roundTrip)
