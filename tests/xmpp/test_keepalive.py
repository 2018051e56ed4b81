"""
L{iris_twisted.xmpp.keepalive}: when to ping, and when a peer is gone.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.xmpp.keepalive import Keepalive, Pulse


class Pulses(SynchronousTestCase):
    """The keepalive's judgement."""

    def test_silence(self) -> None:
        """Quiet ticks ping, and at the timeout the peer is overdue."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.tick(3.0, 10, news=True), Pulse.LIVELY)
        self.assertIs(keepalive.tick(6.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(9.0, 10, news=False), Pulse.PING)
        self.assertFalse(keepalive.overdue)
        self.assertIs(keepalive.tick(12.0, 10, news=False), Pulse.OVERDUE)
        self.assertTrue(keepalive.overdue)

    def test_answerAlone(self) -> None:
        """After nothing but our ping's answer, the next ping follows."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.tick(3.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(6.0, 20, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(9.0, 30, news=True), Pulse.LIVELY)

    def test_wholeTimeout(self) -> None:
        """Silence counts from the last sign of life, not from before it."""
        keepalive = Keepalive(1.0, 9.0, 0.0)
        for now in range(1, 4):
            keepalive.tick(float(now), now, news=True)
        for now in range(4, 12):
            self.assertIs(keepalive.tick(float(now), 3, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(12.0, 3, news=False), Pulse.OVERDUE)

    def test_stallsAndPauses(self) -> None:
        """A late tick counts as one; a pause of ours as none."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        keepalive.tick(3.0, 10, news=True)
        self.assertIs(keepalive.tick(1000.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(2000.0, 10, news=False, reading=False), Pulse.LIVELY)
        self.assertIs(keepalive.tick(2003.0, 10, news=False), Pulse.PING)
