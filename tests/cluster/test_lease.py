"""
How long a member relies on what it has, by its own count.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster.lease import Lease


class Leases(SynchronousTestCase):
    """One of ten seconds, in doubt after five."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lease = Lease(self.clock, 10.0, 5.0)

    def renew(self, took: float = 0.0) -> None:
        sent = self.clock.seconds()
        self.clock.advance(took)
        self.lease.renewed(sent)

    def test_renewed(self) -> None:
        """Renewed in time, it is one term, counted from before a renewal was sent."""
        self.assertIsNone(self.lease.term)
        self.assertFalse(self.lease.holds)
        for _ in range(5):
            self.renew(1.0)
            self.clock.advance(2.5)
            self.assertEqual(self.lease.term, 1)
        self.clock.advance(1.5)
        self.assertIsNone(self.lease.term)
        self.assertTrue(self.lease.holds)
        self.clock.advance(4.9)
        self.assertTrue(self.lease.holds)
        self.clock.advance(0.1)
        self.assertFalse(self.lease.holds)

    def test_doubt(self) -> None:
        """What comes after doubt is another term, also where nobody has looked meanwhile."""
        self.renew()
        self.clock.advance(30.0)
        self.renew()
        self.assertEqual(self.lease.term, 2)

    def test_late(self) -> None:
        """A renewal that was answered before a pause, and is heard of after it, proves nothing."""
        self.renew()
        self.clock.advance(3.0)
        self.renew(30.0)
        self.assertIsNone(self.lease.term)
        self.renew()
        # However many that are too late have come.
        self.assertGreater(self.lease.term or 0, 1)

    def test_lost(self) -> None:
        """Whoever says that it has ended begins another term, whatever was counted."""
        self.renew()
        self.lease.lost()
        self.assertIsNone(self.lease.term)
        self.assertFalse(self.lease.holds)
        self.renew()
        self.assertEqual(self.lease.term, 2)
