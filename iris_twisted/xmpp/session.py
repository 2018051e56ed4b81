"""
One XMPP session over either dialect, without I/O: opening, SASL, restart, bind,
session, then stanzas (RFC 6120 sections 4-8, RFC 7395, protocol.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from ..errors import IrisError, NoAnswer, ProtocolViolation, ServerLeaving
from . import stanzas
from .acknowledgements import Acknowledgements
from .elements import CLIENT, FRAMING, PING, SASL, STREAM, Element
from .events import (
    Ended,
    Established,
    IqFailed,
    IqRequest,
    PingAnswered,
    Resumption,
    SessionEvent,
    SessionSettings,
    StanzaReceived,
    outcome,
)
from .interfaces import IXmppSession
from .iqs import PendingIqs
from .login import Login
from .parser import Closed, FrameParser, Item, Violation
from .pings import Pings
from .stream_end import streamEndError
from .stream_management import MANAGEMENT, isStanza
from .stream_parser import StreamParser

__all__ = ["XmppSession"]


@implementer(IXmppSession)
class XmppSession:
    """See L{IXmppSession<iris_twisted.interfaces.IXmppSession>}."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._ended = self._finished = False
        self._login = Login(settings, self._write, self._restart, self._established)
        framed = settings.dialect == "framed"
        self._newParser = FrameParser if framed else StreamParser
        self._defaultNamespace = "" if framed else CLIENT
        self._parser = self._newParser(settings.limits)
        self._outgoing: list[bytes] = []
        self._events: list[SessionEvent] = []
        self._early: list[Element] = []
        self._iqs = PendingIqs(settings.iqTimeout)
        self._pings = Pings()
        self._acks = Acknowledgements(self._write, self._append, settings.pingsOften)
        self.jid: str | None = None

    @property
    def isUp(self) -> bool:
        return self.jid is not None and not self._ended

    @property
    def sawFeatures(self) -> bool:
        return self._login.sawFeatures

    @property
    def resumption(self) -> Resumption | None:
        state = self._acks.state
        if self._finished or state is None or state.id is None or self.jid is None:
            return None
        return Resumption(self.jid, state, self._iqs)

    def start(self) -> None:
        self._openStream()

    def receive(self, message: bytes) -> Sequence[SessionEvent]:
        wasAtRest = self.defaultNamespace is not None
        if wasAtRest:
            # The two that come after each ping of ours.
            if self._acks.answersRequest(message):
                return ()
            sent = self._pings.recognized(message)
            if sent is not None:
                self._acks.receivedAndHandled()
                return (PingAnswered(sent),)
        items = self._parser.feed(message)
        for item in items:
            if self._ended:
                break
            try:
                self._handle(item)
            except IrisError as e:
                self._end(e)
        events, self._events = self._events, []
        if wasAtRest and self.defaultNamespace is not None:
            self._pings.learn(message, items, events)
        return events

    @property
    def defaultNamespace(self) -> str | None:
        if self._ended or self.jid is None or not self._parser.atRest:
            return None
        state = self._acks.state
        return None if state is not None and state.expectedDuplicates else self._defaultNamespace

    def acknowledge(self, attributes: dict[str, str]) -> None:
        acks = self._acks
        acks.hasUnreportedStanzas = True
        if acks.incoming is not None:
            acks.incoming.receivedAndHandled()
        self._send(stanzas.result(attributes["id"], attributes.get("from")))

    def admit(self, attributes: dict[str, str]) -> Element:
        iq = Element("iq", CLIENT, attributes)
        acks = self._acks
        acks.hasUnreportedStanzas = True
        if acks.incoming is not None:
            acks.incoming.arrived(iq)
        return iq

    def takeOutgoing(self) -> Sequence[bytes]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def sendIq(
        self,
        kind: str,
        payload: Sequence[Element],
        now: float,
        *,
        to: str | None = None,
        idSuffix: str = "",
    ) -> str:
        id = self._settings.newId() + idSuffix
        self._send(stanzas.encoded(stanzas.iq(kind, id, payload, to)))
        self._iqs.sent(id, to, now)
        return id

    def sendStanza(self, stanza: Element) -> None:
        self._send(stanzas.encoded(stanza))

    def sendPing(self, now: float) -> None:
        id = self._settings.newId()
        self._send(stanzas.ping(id))
        self._pings.sent(id, now)

    def reply(self, request: Element, condition: str | None = None) -> None:
        state = self._acks.state
        if state is not None:
            state.done(request)
            self._acks.hasUnreportedStanzas = True
        attributes = request.attributes
        id = attributes.get("id")
        # Without an id nothing could be matched; other types must never be answered.
        if id is None or attributes.get("type") not in ("get", "set"):
            return
        if condition is None:
            answer = stanzas.result(id, attributes.get("from"))
        else:
            answer = stanzas.encoded(stanzas.error(request, condition))
        if self.isUp:
            self._send(answer)
        elif self.resumption is not None and state is not None:
            # The connection is gone: the answer goes with the resumption.
            state.sent(answer)

    def requestAcknowledgement(self) -> Sequence[SessionEvent]:
        acks = self._acks
        if acks.state is None or not self.isUp:
            return ()
        if acks.state.isOverdue:
            self._ended = self._finished = True
            return (Ended(ProtocolViolation("the server acknowledges nothing any more")),)
        acks.requestIfBehind()
        return ()

    def expire(self, now: float) -> Sequence[SessionEvent]:
        words = f"no answer within {self._settings.iqTimeout:g} seconds"
        return [IqFailed(id, NoAnswer(words)) for id in self._iqs.expired(now)]

    def close(self) -> None:
        # The Iris platform dislikes a closing tag in its own dialect (protocol.md section 9).
        if self._settings.dialect == "framed" and not self._ended:
            self._write(Element("close", FRAMING))
        self._ended = self._finished = True

    def lost(self) -> None:
        self._ended = True

    def _openStream(self) -> None:
        settings = self._settings
        self._outgoing.append(stanzas.opening(settings.dialect, settings.routingId.domain))

    def _send(self, stanza: bytes) -> None:
        self._outgoing.append(stanza)
        state = self._acks.state
        if state is not None and state.sent(stanza):
            self._acks.request()

    def _write(self, element: Element) -> None:
        self._append(stanzas.encoded(element))

    def _append(self, message: bytes) -> None:
        self._outgoing.append(message)

    def _end(self, error: IrisError) -> None:
        self._ended = self._finished = True
        self._events.append(Ended(error))

    def _handle(self, item: Item) -> None:
        if isinstance(item, Element):
            self._element(item)
        elif isinstance(item, Violation):
            raise item.error
        elif isinstance(item, Closed):
            raise ServerLeaving("the server closed the XMPP stream")

    def _element(self, element: Element) -> None:
        namespace, name = element.namespace, element.name
        if namespace == CLIENT:
            if isStanza(element):
                self._stanza(element)
        elif namespace == MANAGEMENT:
            self._managed(name, element)
        elif namespace == SASL:
            self._login.sasl(name, element)
        elif (end := streamEndError(element)) is not None:
            raise end
        elif namespace == STREAM and name == "features":
            self._login.features(element)
        # Anything else is a newer server's word, of no meaning here.

    def _managed(self, name: str, element: Element) -> None:
        """XEP-0198."""
        resumption = self._settings.resumption
        if name == "failed" and self._login.isResuming:
            self._login.bind()
        elif name == "resumed" and self._login.isResuming and resumption is not None:
            self._acks.resume(resumption.management, element.get("h"))
            self._iqs = resumption.iqs
            self.jid = resumption.jid
            self._login.resumed()
            self._events.append(Established(self.jid, resumed=True))
            self._outgoing.extend(resumption.management.unacknowledged)
            self.requestAcknowledgement()
        elif not self._acks.handle(name, element):
            raise ProtocolViolation(f"the server sent stream management {name[:40]!r} out of turn")

    def _stanza(self, stanza: Element) -> None:
        acks = self._acks
        state = acks.incoming
        if state is not None and not state.arrived(stanza):
            return
        acks.hasUnreportedStanzas |= stanza.name != "iq" or stanza.get("type") in ("get", "set")
        if stanza.name != "iq" or not self._iq(stanza):
            if stanza.name != "iq" and self._settings.stanzas and self.isUp:
                self._events.append(StanzaReceived(stanza))
            if state is not None:
                state.done(stanza)

    def _iq(self, iq: Element) -> bool:
        """
        @return: whether somebody will reply to it.
        """
        if iq.get("type") in ("result", "error"):
            account = self._account()
            if self._login.awaitsIq:
                self._login.answered(iq, account)
            elif (sent := self._pings.answered(iq, account)) is not None:
                self._events.append(PingAnswered(sent))
            else:
                self._acks.hasUnreportedStanzas = True
                if self._iqs.answered(iq, account):
                    self._events.append(outcome(iq))
            return False
        if stanzas.isEndless(iq):
            raise ProtocolViolation("the server sent an IQ with an endless id or sender")
        if self.isUp:
            self._request(iq)
        elif len(self._early) >= self._settings.limits.unanswered:
            raise ProtocolViolation("the server sent too many stanzas before the session was up")
        else:
            self._early.append(iq)
        return True

    def _account(self) -> tuple[str, ...]:
        routingId = self._settings.routingId
        return (routingId.text, routingId.domain, self.jid or routingId.text)

    def _restart(self) -> None:
        self._parser = self._newParser(self._settings.limits)
        self._openStream()

    def _established(self, jid: str) -> None:
        self.jid = jid
        self._events.append(Established(self.jid))
        if self._login.managementOffered:
            self._acks.enable()
        early, self._early = self._early, []
        for iq in early:
            self._request(iq)

    def _request(self, iq: Element) -> None:
        if iq.get("type") == "get" and iq.child("ping", PING) is not None:
            self.reply(iq)
        else:
            self._events.append(IqRequest(iq))
