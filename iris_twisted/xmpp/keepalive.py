"""
Liveness: when to ping, and when a silent peer counts as gone (contract promise 10).

Silence is measured by checks on which the reactor really ran and reading was
possible, not by the clock alone: a stall of our own, or a pause of our own
making, is not the peer's silence.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Keepalive", "KeepaliveStatus"]

# Seconds that are none.
_FRACTION = 1e-6


class KeepaliveStatus(Enum):
    """What a check found."""

    LIVELY = auto()
    PING = auto()
    OVERDUE = auto()


class Keepalive:
    """
    Asked once per interval, and once more when the last one of a silence would end too late:
    so silence is noticed within the timeout and one interval, in which it began.

    @param interval: seconds between checks, and of silence before a ping.
    @param timeout: seconds of silence after which the peer is gone.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._last = now
        self._bytes = -1
        self._silence = 0.0

    @property
    def overdue(self) -> bool:
        """Whether the peer has been silent for too long."""
        return self.left == 0.0

    @property
    def left(self) -> float:
        """Seconds of silence, from the last check on, until the peer is overdue."""
        left = self._timeout - self._silence
        # Whatever binary fractions make of their sum.
        return left if left > _FRACTION else 0.0

    def checkLast(self, now: float, bytesReceived: int, *, reading: bool = True) -> bool:
        """
        Before the next L{check} is due, C{left} seconds after the last.

        @return: whether the peer is overdue.
        """
        if bytesReceived == self._bytes and reading:
            # However late this is, it stands for no more than it was to wait.
            self._silence += min(now - self._last, self.left)
            self._last = now
        return self.overdue

    def check(
        self, now: float, bytesReceived: int, *, receivedOther: bool, reading: bool = True
    ) -> KeepaliveStatus:
        """
        @param bytesReceived: the transport's count; any change is life.
        @param receivedOther: whether anything came but answers to our own pings: those alone
            do not make the next ping needless.
        @param reading: whether the socket was being read.
        """
        passed, self._last = now - self._last, now
        if bytesReceived != self._bytes or not reading:
            self._bytes = bytesReceived
            self._silence = 0.0
            return KeepaliveStatus.LIVELY if receivedOther or not reading else KeepaliveStatus.PING
        # A check that comes late was held up by us: what waits in the socket is not read yet.
        self._silence += min(passed, self._interval)
        return KeepaliveStatus.OVERDUE if self.overdue else KeepaliveStatus.PING
