"""
The histogram of ping round-trip times.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import IrisFleet
from iris_twisted.connection.ping_histogram import PingHistogram
from iris_twisted.connection.settings import Settings
from iris_twisted.connection.state import ConnectionState
from iris_twisted.connection.totals import ConnectionCounters, Totals
from iris_twisted.errors import IncorrectParameters

from ..doubles import RID, TOKEN, URL, World


class Histogram(SynchronousTestCase):
    """Counted once each, and never forgotten."""

    @given(st.lists(st.floats(0, 20)))
    def test_cumulative(self, times: list[float]) -> None:
        """Each bound counts those that took no longer; the last one all."""
        trips = PingHistogram()
        for seconds in times:
            trips.observe(seconds)
        for bound, count in trips.cumulative:
            self.assertEqual(count, sum(seconds <= bound for seconds in times))
        self.assertEqual(trips.cumulative[-1], (float("inf"), len(times)))
        self.assertAlmostEqual(trips.total, sum(times))

    def test_bounds(self) -> None:
        """No two are the same, and they ascend: Prometheus takes nothing else."""
        bounds = [bound for bound, _ in PingHistogram().cumulative]
        self.assertEqual(bounds, sorted(set(bounds)))

    def test_fleet(self) -> None:
        """All pings of a fleet are in its histogram; they stay when the account goes."""
        world = World()
        fleet = IrisFleet(
            URL, reactor=world.clock, discovery=world.discovery, transport=world.provider
        )
        fleet.add(RID, TOKEN)
        fleet.startService()
        world.advance(10)
        (*_, (_, before)) = fleet.roundTrips.cumulative
        self.assertGreaterEqual(before, 2)
        fleet.remove(RID)
        world.advance(10)
        self.assertEqual(fleet.roundTrips.cumulative[-1], (float("inf"), before))
        fleet.stopService()
        world.settle()
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_wrong(self) -> None:
        """Settings refuse what is none."""
        self.assertRaises(IncorrectParameters, Settings, totals=7)


class Tallies(SynchronousTestCase):
    """One connection's part of the totals."""

    def test_leaving(self) -> None:
        """Whoever left is in no state any more, whatever it does then, and leaves once."""
        totals = Totals()
        self.assertIsNone(totals.lastNotification)
        one, other = ConnectionCounters(Clock(), totals), ConnectionCounters(Clock(), totals)
        one.enter(ConnectionState.CONNECTED)
        one.leave()
        one.leave()
        one.enter(ConnectionState.RECONNECTING)
        self.assertEqual(+totals.states, {ConnectionState.DISCONNECTED: 1})
        other.leave()
        self.assertEqual(set(totals.states.values()), {0})
