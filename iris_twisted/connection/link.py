"""
A link: one transport and the XMPP session on it, and what waits for answers there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from ..errors import IrisError, NoAnswer, NotConnected, PeerClosed, ServerLeaving
from ..net.steady_time import steadyTime, wallSeconds
from ..transport.interfaces import IMessageReceiver, IMessageTransport
from ..xmpp.elements import Element
from ..xmpp.events import (
    Ended,
    Established,
    IqAnswered,
    IqFailed,
    IqRequest,
    PingAnswered,
    Resumption,
    SessionEvent,
)
from ..xmpp.interfaces import IXmppSession
from .pending_answers import PendingAnswers
from .silence_watch import SilenceWatch

__all__ = ["Link", "LinkOwner", "LinkTimes"]

# What is shorter is no notification, or one that may be read the ordinary way.
_SHORT = 200


class LinkOwner(Protocol):
    """Who is told what happens on a link once it is up."""

    def tryFastPath(self, link: Link, message: bytes) -> bool:
        """Whether the message was a notification in its usual form, and is taken care of."""

    def iqRequested(self, link: Link, iq: Element) -> None:
        """An IQ request came; it wants C{link.reply} sooner or later."""

    def pingAnswered(self, roundTrip: float) -> None:
        """A ping came back after so many seconds."""

    def linkLost(self, link: Link, error: IrisError) -> None:
        """Called last, when the socket is gone; only if the link was up."""

    def inTurn(self, work: Callable[[], None]) -> None:
        """Run what calls the application in a turn of its own, after the callbacks so far."""


class LinkTimes(Protocol):
    """The numbers of seconds that a link needs; the settings have them."""

    @property
    def pingInterval(self) -> float:
        """Of silence before a ping."""

    @property
    def pingTimeout(self) -> float:
        """Of silence until the peer counts as gone."""

    @property
    def iqTimeout(self) -> float:
        """Until a request counts as unanswered."""

    @property
    def closeTimeout(self) -> float:
        """For a polite close."""


@implementer(IMessageReceiver)
class Link:
    """
    @param session: a session that was not started yet.
    @ivar up: fires with C{None} when the session is up; fails with the reason
        once the socket is gone. Cancelling it drops the link.
    @ivar gone: fires when the socket is gone.
    @ivar resumed: whether its session goes on where an earlier link was cut.
    @ivar lastHeard: when the last message came, in steady seconds.
    """

    def __init__(
        self, reactor: Any, session: IXmppSession, owner: LinkOwner, times: LinkTimes
    ) -> None:
        self.session = session
        self.up: Deferred[None] = Deferred(lambda _: self.abort())
        self.gone: Deferred[None] = Deferred()
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._owner = owner
        self._times = times
        self._transport: IMessageTransport | None = None
        self._reason: IrisError | None = None
        self._wasUp = False
        self._reading = True
        self._paused = False
        self._silence = SilenceWatch(reactor, times.pingInterval, times.pingTimeout, self)
        self._closing: IDelayedCall | None = None
        self._pending = PendingAnswers()
        self._successor: Link | None = None
        self.resumed = False
        self.lastHeard = self._time.seconds()

    @property
    def isAlive(self) -> bool:
        """Whether the session is up and its peer not overdue."""
        return self._wasUp and self.session.isUp and not self._silence.overdue

    @property
    def lastHeardDate(self) -> float:
        """When the last message came, epoch seconds."""
        return wallSeconds(self._reactor) - (self._time.seconds() - self.lastHeard)

    def begin(self, transport: IMessageTransport) -> None:
        """The transport is open: start the session."""
        self._transport = transport
        self.session.start()
        self._flush()

    def abort(self, reason: IrisError | None = None) -> None:
        """Close at once; the owner is told C{reason}."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    def closeGracefully(self, reason: IrisError | None = None) -> None:
        """Close politely, or at once when the peer does not join in."""
        self._reason = self._reason or reason
        if self._closing is None and self._transport is not None:
            self.session.close()
            self._flush()
            self._transport.close()
            # The peer's part of closing can come only while it is read.
            self.resume()
            self._closing = self._time.callLater(self._times.closeTimeout, self.abort)

    def pause(self) -> None:
        """
        Stop reading: nobody can take more. A link that closes is read to its end, and one
        whose answer is needed, until that is there: whoever waits for it may be who makes room.
        """
        self._paused = True
        if self._pending.needed:
            return
        if self._transport is not None and self._reading and self._closing is None:
            self._reading = False
            self._transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._read()

    @property
    def isReadUnwanted(self) -> bool:
        """Whether it is read for the sake of an answer, although nobody can take more."""
        return self._paused and self._reading and self._pending.needed > 0

    def _read(self) -> None:
        if self._transport is not None and not self._reading:
            self._reading = True
            self._transport.resumeProducing()

    def sendIq(
        self, payload: Sequence[Element], to: str, idSuffix: str = "", *, needed: bool = True
    ) -> Deferred[Element]:
        """
        @param needed: whether somebody waits for the answer.
        @return: fires with the result; fails with the server's error, with
            C{NoAnswer}, or with C{NotConnected} when the link is lost first.
        """
        now = self._time.seconds()
        id = self.session.sendIq("set", payload, now, to=to, idSuffix=idSuffix)
        overdue = self._time.callLater(self._times.iqTimeout, self._expire)
        answered = self._pending.add(id, overdue, needed=needed)
        if needed:
            self._read()
        self._flush()
        return answered

    def reply(self, iq: Element, condition: str | None = None) -> None:
        """Answer an IQ request, on the link that resumed this one if there is such."""
        link = self
        while link._successor is not None:
            link = link._successor
        link.session.reply(iq, condition)
        link._flush()

    def acknowledge(self, attributes: dict[str, str]) -> None:
        """Answer an IQ request with a result, in the turn in which it came."""
        self.session.acknowledge(attributes)
        self._flush()

    def resumable(self) -> Resumption | None:
        """What is needed to resume its session, while the server keeps it."""
        resumption = self.session.resumption
        longest = None if resumption is None else resumption.management.resumeTimeout
        away = self._time.seconds() - self.lastHeard
        return None if longest is not None and away > longest else resumption

    def takeOverFrom(self, predecessor: Link) -> None:
        """This link resumed the session of another: what waits there waits here now."""
        predecessor._successor = self
        self._pending = predecessor._pending
        if self._pending.needed:
            self._read()

    def failPending(self) -> None:
        """The session will not be resumed: what waits for an answer gets none."""
        self._pending.failAll(
            lambda: NotConnected("the connection was lost before the answer came"),
            self._owner.inTurn,
        )

    # IMessageReceiver

    def messageReceived(self, message: bytes) -> None:
        now = self.lastHeard = self._time.seconds()
        if len(message) >= _SHORT and self._owner.tryFastPath(self, message):
            self._silence.receivedOther = True
            return
        events = self.session.receive(message)
        self._flush()
        if not events:
            self._silence.heardNoEvent(message)
        for event in events:
            if isinstance(event, PingAnswered):
                self._silence.answered = True
                self._owner.pingAnswered(now - event.sent)
            else:
                self._silence.receivedOther = True
                self._handleEvent(event)

    def transportLost(self, error: Exception) -> None:
        self._silence.stop()
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        reason = self._reason
        if reason is None:
            reason = error if isinstance(error, IrisError) else PeerClosed(str(error), cause=error)
        self.session.lost()
        self._transport = None
        if self.session.resumption is None:
            self.failPending()
        self.gone.callback(None)
        if self._wasUp:
            self._owner.linkLost(self, reason)
        elif not self.up.called:
            self.up.errback(reason)

    # Watched, with C{lastHeard}

    @property
    def bytesReceived(self) -> int | None:
        return None if self._transport is None else self._transport.bytesReceived

    @property
    def isReading(self) -> bool:
        return self._reading

    def ping(self, now: float) -> bool:
        if self.session.isUp:
            self.session.sendPing(now)
        return self.session.isUp

    def endSilent(self) -> None:
        self.abort(NoAnswer(f"the server was silent for {self._times.pingTimeout:g} seconds"))

    def afterCheck(self) -> None:
        events = self.session.requestAcknowledgement()
        self._flush()
        for event in events:
            self._handleEvent(event)

    # What follows from events

    def _flush(self) -> None:
        outgoing = self.session.takeOutgoing()
        if self._transport is not None:
            for message in outgoing:
                self._transport.send(message)

    def _handleEvent(self, event: SessionEvent) -> None:
        if isinstance(event, IqRequest):
            self._owner.iqRequested(self, event.element)
        elif isinstance(event, IqAnswered):
            answered = self._takePending(event.id)
            if answered is not None:
                answered.callback(event.element)
        elif isinstance(event, IqFailed):
            answered = self._takePending(event.id)
            if answered is not None:
                answered.errback(event.error)
        elif isinstance(event, Established):
            self.resumed = event.resumed
            self._established()
        elif isinstance(event, Ended):
            if isinstance(event.error, ServerLeaving):
                self.closeGracefully(event.error)
            else:
                self.abort(event.error)

    def _established(self) -> None:
        self._wasUp = True
        self._silence.start()
        self.up.callback(None)

    def _takePending(self, id: str) -> Deferred[Element] | None:
        """Who waits for the answer with this id, if anybody does."""
        answered = self._pending.take(id)
        if answered is not None and self._paused:
            self.pause()
        return answered

    def _expire(self) -> None:
        for event in self.session.expire(self._time.seconds()):
            self._handleEvent(event)
