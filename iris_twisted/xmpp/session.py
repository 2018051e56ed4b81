"""
One XMPP session over either dialect, without I/O: opening, SASL, restart, bind,
session, then stanzas (RFC 6120 sections 4-8, RFC 7395, protocol.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from ..errors import (
    IrisError,
    NoAnswer,
    ProtocolViolation,
    ServerLeaving,
    StanzaError,
)
from ..interfaces import IXmppSession
from . import stanzas
from .elements import (
    CLIENT,
    FRAMING,
    PING,
    SASL,
    STREAM,
    Element,
)
from .endings import ending
from .events import (
    Ended,
    Established,
    IqAnswered,
    IqFailed,
    IqRequest,
    Resumption,
    SessionEvent,
    SessionSettings,
)
from .fast_parser import ChainParser
from .iqs import PendingIqs
from .login import Login
from .management import MANAGEMENT, StreamManagement, isStanza
from .parser import Closed, FrameParser, Header, Item, Violation
from .stream_parser import StreamParser

__all__ = ["XmppSession"]

# Servers ask after every stanza of theirs, and each in one of these two ways.
_ASKING = (f'<r xmlns="{MANAGEMENT}"/>'.encode(), f"<r xmlns='{MANAGEMENT}'/>".encode())
# The answer to a ping is one: read without a parser of one's own.
_EMPTY_IQ = {around: ChainParser([(CLIENT, "iq")], around) for around in ("", CLIENT)}


@implementer(IXmppSession)
class XmppSession:
    """See L{IXmppSession<iris_twisted.interfaces.IXmppSession>}."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._ended = False
        self._login = Login(settings, self._write, self._restart, self._established)
        framed = settings.dialect == "framed"
        self._newParser = FrameParser if framed else StreamParser
        self._surroundings = "" if framed else CLIENT
        self._parser = self._newParser(settings.limits)
        self._outgoing: list[bytes] = []
        self._events: list[SessionEvent] = []
        self._early: list[Element] = []
        self._iqs = PendingIqs(settings.iqTimeout)
        self._management: StreamManagement | None = None
        self._counting = False
        self._finished = False
        self._owesAnswer = self._heardOfOthers = False
        self.jid: str | None = None

    @property
    def isUp(self) -> bool:
        return self.jid is not None and not self._ended

    @property
    def sawFeatures(self) -> bool:
        return self._login.sawFeatures

    @property
    def resumption(self) -> Resumption | None:
        management = self._management
        if self._finished or management is None or management.id is None or self.jid is None:
            return None
        return Resumption(self.jid, management, self._iqs)

    def start(self) -> None:
        self._openStream()

    def receive(self, message: bytes) -> Sequence[SessionEvent]:
        surroundings = self.surroundings
        if surroundings is not None:
            if message in _ASKING and self._management is not None and self._counting:
                self._asked(self._management)
                return ()
            short = _EMPTY_IQ[surroundings].read(message)
            if short is not None:
                self._stanza(Element("iq", CLIENT, short[0]))
                return self._takeEvents()
        for item in self._parser.feed(message):
            if self._ended:
                break
            try:
                self._handle(item)
            except IrisError as e:
                self._end(e)
        return self._takeEvents()

    def _takeEvents(self) -> list[SessionEvent]:
        events, self._events = self._events, []
        return events

    @property
    def surroundings(self) -> str | None:
        if self._ended or self.jid is None or not self._parser.atRest:
            return None
        management = self._management
        return None if management is not None and management.again else self._surroundings

    def admit(self, attributes: dict[str, str]) -> Element:
        iq = Element("iq", CLIENT, attributes)
        self._heardOfOthers = True
        if self._management is not None and self._counting:
            self._management.arrived(iq)
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

    def sendPing(self, now: float) -> str:
        id = self._settings.newId()
        self._send(stanzas.ping(id), lasting=False)
        self._iqs.sent(id, None, now)
        return id

    def reply(self, request: Element, condition: str | None = None) -> None:
        if self._management is not None:
            self._management.done(request)
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
        elif self.resumption is not None and self._management is not None:
            # The connection is gone: the answer goes with the resumption.
            self._management.sent(answer)

    def requestAcknowledgement(self) -> None:
        management = self._management
        if not self.isUp or management is None or not self._counting:
            return
        if self._owesAnswer or management.owesNews:
            self._acknowledge(management)
        if management.wantsAnswer:
            self._ask(management)

    def expire(self, now: float) -> Sequence[SessionEvent]:
        words = f"no answer within {self._settings.iqTimeout:g} seconds"
        events: list[SessionEvent] = [
            IqFailed(id, NoAnswer(words)) for id in self._iqs.expired(now)
        ]
        if self.isUp and self._management is not None and self._management.isOverdue:
            self._ended = self._finished = True
            events.append(Ended(ProtocolViolation("the server acknowledges nothing any more")))
        return events

    def close(self) -> None:
        # The Iris platform dislikes a closing tag in its own dialect (protocol.md section 9).
        if self._settings.dialect == "framed" and not self._ended:
            self._write(Element("close", FRAMING))
        self._ended = True
        self._finished = True

    def lost(self) -> None:
        self._ended = True

    def _openStream(self) -> None:
        domain = self._settings.routingId.domain
        if self._settings.dialect == "framed":
            self._write(stanzas.framedOpening(domain))
        else:
            self._outgoing.append(stanzas.streamOpening(domain).encode())

    def _send(self, stanza: bytes, *, lasting: bool = True) -> None:
        self._outgoing.append(stanza)
        management = self._management
        if management is not None and management.sent(stanza, lasting) and self._counting:
            self._ask(management)

    def _ask(self, management: StreamManagement) -> None:
        management.asked()
        self._write(Element("r", MANAGEMENT))

    def _write(self, element: Element) -> None:
        self._outgoing.append(stanzas.encoded(element))

    def _end(self, error: IrisError) -> None:
        self._ended = True
        self._finished = True
        self._events.append(Ended(error))

    def _handle(self, item: Item) -> None:
        if isinstance(item, Violation):
            raise item.error
        if isinstance(item, Closed):
            raise ServerLeaving("the server closed the XMPP stream")
        if isinstance(item, Header):
            return
        end = ending(item)
        if end is not None:
            raise end
        match item.namespace, item.name:
            case str(namespace), "features" if namespace == STREAM:
                self._login.features(item)
            case str(namespace), name if namespace == SASL:
                self._login.sasl(name, item)
            case str(namespace), name if namespace == MANAGEMENT:
                self._managed(name, item)
            case _ if isStanza(item):
                self._stanza(item)
            case _:
                pass  # A newer server's word, of no meaning here.

    def _managed(self, name: str, element: Element) -> None:
        """XEP-0198."""
        management, resumption = self._management, self._settings.resumption
        if name == "r" and management is not None and self._counting:
            self._asked(management)
        elif name == "a" and management is not None:
            management.acknowledge(element.get("h"))
        elif name == "enabled" and management is not None and not self._counting:
            self._counting = True
            if element.get("resume") in ("true", "1"):
                management.id = element.get("id")
                management.location = element.get("location")
                patience = element.get("max") or ""
                management.patience = float(patience) if patience.isdecimal() else None
        elif name == "failed" and management is not None and not self._counting:
            self._management = None
        elif name == "failed" and self._login.isResuming:
            self._login.bind()
        elif name == "resumed" and self._login.isResuming and resumption is not None:
            resumption.management.resumed(element.get("h"))
            self._management, self._counting = resumption.management, True
            self._iqs = resumption.iqs
            self.jid = resumption.jid
            self._login.resumed()
            self._events.append(Established(self.jid, resumed=True))
            self._outgoing.extend(self._management.unacknowledged)
            self.requestAcknowledgement()
        else:
            raise ProtocolViolation(f"the server sent stream management {name[:40]!r} out of turn")

    def _asked(self, management: StreamManagement) -> None:
        # Nobody would miss the answer to a ping: that can be told with the next one.
        if self._heardOfOthers or not self._settings.beatsSoon:
            self._acknowledge(management)
        else:
            self._owesAnswer = True

    def _acknowledge(self, management: StreamManagement) -> None:
        self._owesAnswer = self._heardOfOthers = False
        self._write(Element("a", MANAGEMENT, {"h": management.handled}))

    def _stanza(self, stanza: Element) -> None:
        management = self._management if self._counting else None
        if management is not None and not management.arrived(stanza):
            return
        self._heardOfOthers |= stanza.name != "iq" or stanza.get("type") in ("get", "set")
        # Messages and presence mean nothing here.
        if stanza.name != "iq" or not self._iq(stanza):
            if management is not None:
                management.done(stanza)

    def _iq(self, iq: Element) -> bool:
        """
        @return: whether somebody will reply to it.
        """
        if iq.get("type") in ("result", "error"):
            if self._login.awaitsIq:
                self._login.answered(iq, self._account())
            elif self._iqs.answered(iq, self._account()):
                self._events.append(self._outcome(iq))
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

    def _outcome(self, iq: Element) -> SessionEvent:
        id = iq.attributes["id"]
        if iq.get("type") == "result":
            return IqAnswered(id, iq)
        condition = stanzas.iqCondition(iq)
        return IqFailed(
            id, StanzaError(f"the server answered with an error: {condition}", condition)
        )

    def _restart(self) -> None:
        self._parser = self._newParser(self._settings.limits)
        self._openStream()

    def _established(self, jid: str) -> None:
        self.jid = jid
        self._events.append(Established(self.jid))
        if self._login.managementOffered:
            self._write(Element("enable", MANAGEMENT, {"resume": "true"}))
            self._management = StreamManagement()
        early, self._early = self._early, []
        for iq in early:
            self._request(iq)

    def _request(self, iq: Element) -> None:
        if iq.get("type") == "get" and iq.child("ping", PING) is not None:
            self.reply(iq)
        else:
            self._events.append(IqRequest(iq))
