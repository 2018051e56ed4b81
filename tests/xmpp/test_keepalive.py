"""
L{iris_twisted.xmpp.keepalive}: when to ping, and when a peer is gone.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.xmpp.keepalive import Keepalive, KeepaliveStatus


class Keepalives(SynchronousTestCase):
    """The keepalive's judgement."""

    def test_silence(self) -> None:
        """Quiet ticks ping, and at the timeout the peer is overdue."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.check(3.0, 10, receivedOther=True), KeepaliveStatus.LIVELY)
        self.assertIs(keepalive.check(6.0, 10, receivedOther=False), KeepaliveStatus.PING)
        self.assertIs(keepalive.check(9.0, 10, receivedOther=False), KeepaliveStatus.PING)
        self.assertFalse(keepalive.overdue)
        self.assertIs(keepalive.check(12.0, 10, receivedOther=False), KeepaliveStatus.OVERDUE)
        self.assertTrue(keepalive.overdue)

    def test_answerAlone(self) -> None:
        """After nothing but our ping's answer, the next ping follows."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.check(3.0, 10, receivedOther=False), KeepaliveStatus.PING)
        self.assertIs(keepalive.check(6.0, 20, receivedOther=False), KeepaliveStatus.PING)
        self.assertIs(keepalive.check(9.0, 30, receivedOther=True), KeepaliveStatus.LIVELY)

    def test_wholeTimeout(self) -> None:
        """Silence counts from the last sign of life, not from before it."""
        keepalive = Keepalive(1.0, 9.0, 0.0)
        for now in range(1, 4):
            keepalive.check(float(now), now, receivedOther=True)
        for now in range(4, 12):
            self.assertIs(keepalive.check(float(now), 3, receivedOther=False), KeepaliveStatus.PING)
        self.assertIs(keepalive.check(12.0, 3, receivedOther=False), KeepaliveStatus.OVERDUE)

    def test_last(self) -> None:
        """Between ticks the rest of the silence is awaited; a sign of life, or a pause, ends it."""
        for bytesReceived, reading, overdue in (
            (10, True, True),
            (11, True, False),
            (10, False, False),
        ):
            keepalive = Keepalive(14.0, 15.0, 0.0)
            keepalive.check(14.0, 10, receivedOther=True)
            self.assertEqual(keepalive.left, 15.0)
            self.assertIs(keepalive.check(28.0, 10, receivedOther=False), KeepaliveStatus.PING)
            self.assertEqual(keepalive.left, 1.0)
            self.assertIs(keepalive.checkLast(29.0, bytesReceived, reading=reading), overdue)
            self.assertIs(keepalive.overdue, overdue)

    def test_fractions(self) -> None:
        """A silence in many small parts ends when it should, whatever their sum is in binary."""
        keepalive = Keepalive(0.1, 0.7, 0.0)
        keepalive.check(0.1, 10, receivedOther=True)
        for tick in range(2, 8):
            self.assertIs(keepalive.check(tick / 10, 10, receivedOther=False), KeepaliveStatus.PING)
        self.assertTrue(keepalive.checkLast(0.8, 10))

    def test_stallsAndPauses(self) -> None:
        """A late tick counts as one; a pause of ours as none."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        keepalive.check(3.0, 10, receivedOther=True)
        self.assertIs(keepalive.check(1000.0, 10, receivedOther=False), KeepaliveStatus.PING)
        self.assertIs(
            keepalive.check(2000.0, 10, receivedOther=False, reading=False), KeepaliveStatus.LIVELY
        )
        self.assertIs(keepalive.check(2003.0, 10, receivedOther=False), KeepaliveStatus.PING)
