"""
When a link is to ping, and when its peer counts as gone (contract promise 10): the timers around
L{iris_twisted.xmpp.keepalive}.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from ..net.steady_time import steadyTime
from ..xmpp.acknowledgements import ASKING
from ..xmpp.keepalive import Keepalive, KeepaliveStatus
from .ping_scheduler import PingScheduler, pingSchedulerFor

__all__ = ["SilenceWatch", "Watched"]


class Watched(Protocol):
    """The link whose silence is watched."""

    lastHeard: float

    @property
    def bytesReceived(self) -> int | None:
        """How many its transport has received; C{None} when there is none."""

    @property
    def isReading(self) -> bool:
        """Whether it is read: a pause of our own making is not silence of the peer."""

    def ping(self, now: float) -> bool:
        """Send a ping, if the session is up; whether it is."""

    def endSilent(self) -> None:
        """Called when the peer was silent for too long: it ends."""

    def afterCheck(self) -> None:
        """Called after each check after which it goes on."""


class SilenceWatch:
    """
    @param interval: seconds of silence before a ping.
    @param timeout: seconds of silence until the peer counts as gone.
    @ivar receivedOther: set when anything comes that makes the next ping needless.
    @ivar answered: set when an answer to a ping of ours comes.
    """

    def __init__(self, reactor: Any, interval: float, timeout: float, link: Watched) -> None:
        self.receivedOther = True
        self.answered = False
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._interval = interval
        self._timeout = timeout
        self._link = link
        self._keepalive: Keepalive | None = None
        self._pingScheduler: PingScheduler | None = None
        self._checked = 0.0
        self._lastCheck: IDelayedCall | None = None

    @property
    def overdue(self) -> bool:
        """Whether the peer has been silent for too long."""
        return self._keepalive is not None and self._keepalive.overdue

    @property
    def left(self) -> float:
        """Seconds of silence, from the last check on, until the peer is overdue."""
        return self._timeout if self._keepalive is None else self._keepalive.left

    def start(self) -> None:
        """The session is up."""
        self._keepalive = Keepalive(self._interval, self._timeout, self._time.seconds())
        self._pingScheduler = pingSchedulerFor(self._reactor, self._interval)
        self._pingScheduler.add(self._check)

    def stop(self) -> None:
        """The transport is gone."""
        if self._pingScheduler is not None:
            self._pingScheduler.remove(self._check)
            self._cancelLastCheck()

    def heardNoEvent(self, message: bytes) -> None:
        """A message came of which nobody need be told."""
        # What comes with each ping of ours does not make the next one needless: servers
        # ask how far we are after each answer to it.
        expected = self.answered and message in ASKING
        self.answered &= not expected
        self.receivedOther |= not expected

    def _check(self) -> None:
        received = self._link.bytesReceived
        if received is None or self._keepalive is None or self._keepalive.overdue:
            return
        self._cancelLastCheck()
        now = self._time.seconds()
        # Data without a message: a websocket ping, or a part of one; our pings brought none.
        receivedOther = self.receivedOther or self._link.lastHeard < self._checked
        self.receivedOther, self._checked = False, now
        status = self._keepalive.check(
            now, received, receivedOther=receivedOther, reading=self._link.isReading
        )
        if status is KeepaliveStatus.OVERDUE:
            self._link.endSilent()
        elif status is KeepaliveStatus.PING and self._link.ping(now):
            if self._keepalive.left <= self._interval:
                self._lastCheck = self._time.callLater(self._keepalive.left, self._checkLast)
        self._link.afterCheck()

    def _checkLast(self) -> None:
        """The silence is as long as it may be, before the next check is due."""
        received = self._link.bytesReceived
        if received is None or self._keepalive is None:
            return
        if self._keepalive.checkLast(self._time.seconds(), received, reading=self._link.isReading):
            self._link.endSilent()

    def _cancelLastCheck(self) -> None:
        if self._lastCheck is not None and self._lastCheck.active():
            self._lastCheck.cancel()
