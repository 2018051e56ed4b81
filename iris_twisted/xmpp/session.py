"""
One XMPP session over either dialect, without I/O: opening, SASL, restart, bind,
session, then stanzas (RFC 6120 sections 4-8, RFC 7395, protocol.md section 4).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Sequence
from enum import Enum, auto

import attrs
from zope.interface import implementer

from ..addresses import RoutingId
from ..errors import (
    BackendError,
    Conflict,
    IrisError,
    NoAnswer,
    NotAuthorized,
    ProtocolViolation,
    SeeOther,
    ServerLeaving,
    StanzaError,
)
from ..interfaces import IXmppSession
from ..values import Limits
from . import stanzas
from .elements import (
    BIND,
    CLIENT,
    FRAMING,
    PING,
    SASL,
    SESSION,
    STANZA_ERRORS,
    STREAM,
    STREAM_ERRORS,
    Element,
    serialize,
)
from .iqs import PendingIqs
from .jids import parseJid
from .parser import Closed, FrameParser, Header, Item, StreamParser, Violation
from .sasl import Mechanism, chooseMechanism

__all__ = [
    "DIALECTS",
    "Ended",
    "Established",
    "IqAnswered",
    "IqFailed",
    "IqRequest",
    "SessionEvent",
    "SessionSettings",
    "XmppSession",
]

DIALECTS = ("stream", "framed")


@attrs.frozen
class Established:
    """The session is up."""

    jid: str


@attrs.frozen
class IqRequest:
    """An IQ that wants an answer (or has no type at all); pings are answered already."""

    element: Element


@attrs.frozen
class IqAnswered:
    """An IQ of ours got its result."""

    id: str
    element: Element


@attrs.frozen
class IqFailed:
    """An IQ of ours got an error, or no answer."""

    id: str
    error: IrisError


@attrs.frozen
class Ended:
    """The session is over; nothing follows. The transport is the caller's to close."""

    error: IrisError


SessionEvent = Established | IqRequest | IqAnswered | IqFailed | Ended


class _Phase(Enum):
    OPENING = auto()
    AUTHENTICATING = auto()
    REOPENING = auto()
    BINDING = auto()
    STARTING = auto()
    UP = auto()
    ENDED = auto()


@attrs.frozen
class SessionSettings:
    """
    What a session needs to know.

    @ivar dialect: one of L{DIALECTS}.
    @ivar token: the websocket token.
    @ivar secure: whether nobody can listen on the transport: TLS, or loopback.
    @ivar iqTimeout: seconds until an IQ counts as unanswered.
    @ivar newId: makes an id that nobody can guess.
    """

    dialect: str
    routingId: RoutingId
    token: str = attrs.field(repr=False)
    secure: bool
    anonymous: bool = False
    limits: Limits = attrs.field(factory=Limits)
    iqTimeout: float = 10.0
    newId: Callable[[], str] = attrs.field(default=lambda: secrets.token_hex(8))


def _local(element: Element, namespace: str, default: str = "undefined-condition") -> str:
    """The name of the defined condition inside an error element, fit to be shown."""
    for child in element.children:
        if child.namespace == namespace and child.name != "text":
            return child.name[:60]
    return default


@implementer(IXmppSession)
class XmppSession:
    """See L{IXmppSession<iris_twisted.interfaces.IXmppSession>}."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._phase = _Phase.OPENING
        self._parser = self._newParser()
        self._outgoing: list[bytes] = []
        self._events: list[SessionEvent] = []
        self._early: list[Element] = []
        self._iqs = PendingIqs(settings.iqTimeout)
        self._mechanism: Mechanism | None = None
        self._sessionWanted = False
        self._inherited = CLIENT if settings.dialect == "stream" else ""
        self.jid: str | None = None
        self.sawFeatures = False

    @property
    def isUp(self) -> bool:
        return self._phase is _Phase.UP

    def start(self) -> None:
        self._openStream()

    def receive(self, message: bytes) -> Sequence[SessionEvent]:
        for item in self._parser.feed(message):
            if self._phase is _Phase.ENDED:
                break
            try:
                self._handle(item)
            except IrisError as e:
                self._end(e)
        events, self._events = self._events, []
        return events

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
        self._send(stanzas.iq(kind, id, payload, to))
        self._iqs.sent(id, to, now)
        return id

    def sendPing(self, now: float) -> str:
        return self.sendIq("get", [stanzas.pingPayload()], now)

    def reply(self, request: Element, condition: str | None = None) -> None:
        # Without an id nothing could be matched; other types must never be answered.
        if request.get("type") in ("get", "set") and request.get("id") is not None:
            self._send(stanzas.answer(request, condition))

    def expire(self, now: float) -> Sequence[SessionEvent]:
        return [
            IqFailed(id, NoAnswer(f"no answer within {self._settings.iqTimeout:g} seconds"))
            for id in self._iqs.expired(now)
        ]

    def close(self) -> None:
        # The Iris platform dislikes a closing tag in its own dialect (protocol.md section 9).
        if self._settings.dialect == "framed" and self._phase is not _Phase.ENDED:
            self._send(Element("close", FRAMING))
        self._phase = _Phase.ENDED

    def _newParser(self) -> FrameParser | StreamParser:
        kind = FrameParser if self._settings.dialect == "framed" else StreamParser
        return kind(self._settings.limits)

    def _openStream(self) -> None:
        domain = self._settings.routingId.domain
        if self._settings.dialect == "framed":
            self._send(stanzas.framedOpening(domain))
        else:
            self._outgoing.append(stanzas.streamOpening(domain).encode())

    def _send(self, element: Element) -> None:
        self._outgoing.append(serialize(element, self._inherited).encode())

    def _end(self, error: IrisError) -> None:
        self._phase = _Phase.ENDED
        self._events.append(Ended(error))

    def _handle(self, item: Item) -> None:
        if isinstance(item, Violation):
            raise item.error
        if isinstance(item, Closed):
            raise ServerLeaving("the server closed the XMPP stream")
        if isinstance(item, Header):
            return
        match item.namespace, item.name:
            case str(namespace), "error" if namespace == STREAM:
                raise self._streamError(item)
            case str(namespace), "features" if namespace == STREAM:
                self._features(item)
            case str(namespace), "close" if namespace == FRAMING:
                uri = item.get("see-other-uri")
                if uri is not None:
                    raise SeeOther("the server sends its clients to another address", uri)
                raise ServerLeaving("the server closed the XMPP stream")
            case str(namespace), name if namespace == SASL:
                self._sasl(name, item)
            case str(namespace), "iq" if namespace == CLIENT:
                self._iq(item)
            case _:
                pass  # Messages and presence mean nothing here.

    def _streamError(self, error: Element) -> IrisError:
        condition = _local(error, STREAM_ERRORS)
        message = f"the server ended the stream: {condition}"
        if condition in ("system-shutdown", "reset"):
            return ServerLeaving(message)
        if condition == "conflict":
            return Conflict(f"{message} (the same resource logged in elsewhere)")
        return BackendError(message)

    def _features(self, features: Element) -> None:
        self.sawFeatures = True
        if self._phase is _Phase.OPENING:
            offered = [
                m.text.strip()
                for mechanisms in features.named("mechanisms", SASL)
                for m in mechanisms.named("mechanism", SASL)
            ]
            settings = self._settings
            self._mechanism = mechanism = chooseMechanism(
                offered,
                settings.routingId,
                settings.token,
                secure=settings.secure,
                anonymous=settings.anonymous,
            )
            self._phase = _Phase.AUTHENTICATING
            self._send(stanzas.saslElement("auth", mechanism.initialResponse(), mechanism.name))
        elif self._phase is _Phase.REOPENING:
            session = features.child("session", SESSION)
            self._sessionWanted = session is not None and session.child("optional", SESSION) is None
            if features.child("bind", BIND) is not None:
                self._phase = _Phase.BINDING
                self._send(stanzas.iq("set", "bind", [stanzas.bind()]))
            else:
                self._bound(None)
        else:
            raise ProtocolViolation("the server sent stream features out of turn")

    def _sasl(self, name: str, element: Element) -> None:
        mechanism = self._mechanism
        if self._phase is not _Phase.AUTHENTICATING or mechanism is None:
            raise ProtocolViolation(f"the server sent SASL {name[:40]!r} out of turn")
        if name == "failure":
            condition = _local(element, SASL)
            message = f"the server refused the login by SASL {mechanism.name}: {condition}"
            if condition in ("not-authorized", "credentials-expired"):
                raise NotAuthorized(message)
            raise BackendError(message)
        try:
            text = element.text.strip()
            data = b"" if text == "=" else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ProtocolViolation(
                f"the server sent SASL {name[:40]!r} that is not base64"
            ) from None
        if name == "challenge":
            self._send(stanzas.saslElement("response", mechanism.respond(data)))
        elif name == "success":
            mechanism.succeeded(data)
            self._phase = _Phase.REOPENING
            self._parser = self._newParser()
            self._openStream()
        else:
            raise ProtocolViolation(f"the server sent an unknown SASL element {name[:40]!r}")

    def _iq(self, iq: Element) -> None:
        if iq.get("type") in ("result", "error"):
            if self._phase in (_Phase.BINDING, _Phase.STARTING):
                self._negotiated(iq)
            elif self._iqs.answered(iq, self._account()):
                self._events.append(self._outcome(iq))
        elif self._phase is _Phase.UP:
            self._request(iq)
        elif len(self._early) >= self._settings.limits.unanswered:
            raise ProtocolViolation("the server sent too many stanzas before the session was up")
        else:
            self._early.append(iq)

    def _account(self) -> tuple[str, ...]:
        routingId = self._settings.routingId
        return (routingId.text, routingId.domain, self.jid or routingId.text)

    def _outcome(self, iq: Element) -> SessionEvent:
        id = iq.attributes["id"]
        if iq.get("type") == "result":
            return IqAnswered(id, iq)
        condition = self._condition(iq)
        return IqFailed(
            id, StanzaError(f"the server answered with an error: {condition}", condition)
        )

    @staticmethod
    def _condition(iq: Element) -> str:
        error = iq.child("error", CLIENT)
        return "undefined-condition" if error is None else _local(error, STANZA_ERRORS)

    def _negotiated(self, iq: Element) -> None:
        step = "bind" if self._phase is _Phase.BINDING else "sess"
        pending = PendingIqs(0)
        pending.sent(step, None, 0)
        if not pending.answered(iq, self._account()):
            return
        if iq.get("type") == "error":
            what = "to bind a resource" if step == "bind" else "to start the session"
            raise BackendError(f"the server refused {what}: {self._condition(iq)}")
        if step == "sess":
            self._established()
            return
        bind = iq.child("bind", BIND)
        jid = bind.child("jid", BIND) if bind is not None else None
        self._bound(jid.text.strip() if jid is not None else None)

    def _bound(self, jid: str | None) -> None:
        if jid is not None and parseJid(jid) is None:
            raise ProtocolViolation("the server bound a resource that is no JID")
        self.jid = jid or self._settings.routingId.text
        if self._sessionWanted:
            self._phase = _Phase.STARTING
            domain = self._settings.routingId.domain
            self._send(stanzas.iq("set", "sess", [stanzas.sessionPayload()], domain))
        else:
            self._established()

    def _established(self) -> None:
        assert self.jid is not None
        self._phase = _Phase.UP
        self._events.append(Established(self.jid))
        early, self._early = self._early, []
        for iq in early:
            self._request(iq)

    def _request(self, iq: Element) -> None:
        if iq.get("type") == "get" and iq.child("ping", PING) is not None:
            self.reply(iq)
        else:
            self._events.append(IqRequest(iq))
