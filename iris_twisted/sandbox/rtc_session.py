"""
The server's side of an XMPP session, in both dialects, without I/O (RFC 6120,
RFC 7395).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any

from ..errors import ProtocolViolation
from ..net.limits import Limits
from ..xmpp.elements import (
    BIND,
    CLIENT,
    FRAMING,
    PING,
    SASL,
    SESSION,
    STANZA_ERRORS,
    STREAM,
    Element,
    serialize,
)
from ..xmpp.parser import Closed, FrameParser, Header, Item, Violation
from ..xmpp.stanzas import encoded
from ..xmpp.stream_management import MANAGEMENT, StreamManagement, isStanza
from ..xmpp.stream_parser import StreamParser
from .platform import Platform
from .records import UserSession

__all__ = ["RtcSession"]

_ERRORS = {"item-not-found": "cancel", "service-unavailable": "cancel"}


class RtcSession:
    """
    @param user: what the platform knows the client as, once it is bound.
    @param admitted: the routing id that the websocket's path proved, if any.
    @param token: the websocket token, which is the password of PLAIN.
    @ivar management: the state of stream management, once it is enabled.
    @ivar outgoing: the messages to send.
    @ivar ended: whether the socket shall be closed.
    """

    def __init__(
        self, platform: Platform, user: UserSession, admitted: str | None, token: str
    ) -> None:
        self._platform = platform
        self._user = user
        self._admitted = admitted
        self._token = token
        self._parser: FrameParser | StreamParser | None = None
        self._name: str | None = None
        self._bound = False
        self._domain = ""
        self._connected = True
        self.management: StreamManagement | None = None
        self.outgoing: list[bytes] = []
        self.ended = False

    def receive(self, message: bytes) -> None:
        """A message came from the client."""
        if self._parser is None and not self._chooseDialect(message):
            return
        assert self._parser is not None
        for item in self._parser.feed(message):
            if self.ended:
                return
            self._handle(item)

    def send(self, element: Element) -> None:
        """Queue an element; a stanza is booked, and waits where the client is gone."""
        booked = self.management is not None and isStanza(element)
        if booked and self.management is not None:
            # With its namespace: it may be sent again in the other dialect.
            self.management.sent(encoded(element))
        self._write(element)
        if booked:
            self._write(Element("r", MANAGEMENT))

    def lost(self) -> bool:
        """
        The socket is gone.

        @return: whether the session waits for its client to resume it.
        """
        self._connected = False
        return self.management is not None and not self.ended

    def _write(self, element: Element) -> None:
        if not self._connected:
            return
        inherited = CLIENT if self._user.dialect == "stream" else ""
        self.outgoing.append(serialize(element, inherited).encode())

    def close(self) -> None:
        """Queue what ends the stream."""
        if self._user.dialect == "framed":
            self.send(Element("close", FRAMING))
        elif self._parser is not None:
            self.outgoing.append(b"</stream:stream>")
        self.ended = True

    def _chooseDialect(self, message: bytes) -> bool:
        framed = message.lstrip().startswith(b"<open")
        self._user.dialect = dialect = "framed" if framed else "stream"
        if dialect not in self._platform.dialects:
            self.ended = True
            return False
        self._parser = self._newParser()
        return True

    def _newParser(self) -> FrameParser | StreamParser:
        kind = FrameParser if self._user.dialect == "framed" else StreamParser
        return kind(Limits())

    def _hangs(self, step: str) -> bool:
        return step in self._platform.hanging

    def _handle(self, item: Item) -> None:
        if isinstance(item, Header):
            self._opened(item.attributes)
        elif isinstance(item, (Closed, Violation)):
            self.close()
        elif item.namespace == FRAMING:
            if item.name == "open":
                self._opened(item.attributes)
            else:
                self.close()
        elif item.namespace == SASL:
            self._authenticate(item)
        elif item.namespace == MANAGEMENT and self._name is not None:
            self._manage(item)
        elif isStanza(item) and self._name is not None:
            if self.management is not None:
                self.management.arrived(item)
                self.management.done(item)
            if item.name == "iq":
                self._iq(item)

    def _opened(self, attributes: dict[str, str]) -> None:
        if self._hangs("stream"):
            return
        self._domain = attributes.get("to", "")
        id = secrets.token_hex(8)
        if self._user.dialect == "framed":
            opening = {"from": self._domain, "id": id, "version": "1.0"}
            self.send(Element("open", FRAMING, opening))
        else:
            header = Element("stream", STREAM, {"from": self._domain, "id": id, "version": "1.0"})
            text = serialize(header, "").removesuffix("/>") + f' xmlns="{CLIENT}">'
            self.outgoing.append(text.encode())
        if self._name is None:
            mechanisms = [
                Element("mechanism", SASL, text=name) for name in self._platform.mechanisms
            ]
            features = [Element("mechanisms", SASL, children=mechanisms)]
        else:
            features = [Element("bind", BIND), Element("session", SESSION)]
            if self._platform.streamManagement:
                features.append(Element("sm", MANAGEMENT))
        self.send(Element("features", STREAM, children=features))

    def _authenticate(self, auth: Element) -> None:
        if self._hangs("sasl"):
            return
        name = self._identity(auth)
        if name is None:
            failure = Element("failure", SASL, children=[Element("not-authorized", SASL)])
            self.send(failure)
            return
        self._name = name
        self.send(Element("success", SASL))
        self._parser = self._newParser()

    def _identity(self, auth: Element) -> str | None:
        """Whom the client proved to be."""
        mechanism = auth.get("mechanism") or ""
        if auth.name != "auth" or mechanism not in self._platform.mechanisms:
            return None
        try:
            text = "" if auth.text == "=" else auth.text
            said = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        if mechanism == "ANONYMOUS":
            return f"{secrets.token_hex(6)}@{self._domain}"
        if self._admitted is None:
            return None
        if mechanism == "NOAUTH":
            return said if said == self._admitted.lower() else None
        _, _, rest = said.partition("\0")
        user, _, password = rest.partition("\0")
        local = self._admitted.rpartition("@")[0]
        proved = user == local and secrets.compare_digest(password.encode(), self._token.encode())
        return self._admitted.lower() if proved else None

    def _iq(self, iq: Element) -> None:
        kind = iq.get("type")
        if kind == "set" and iq.child("bind", BIND) is not None:
            self._bind(iq)
        elif kind == "set" and iq.child("session", SESSION) is not None:
            if not self._hangs("session"):
                self._answer(iq)
        elif kind == "get" and iq.child("ping", PING) is not None:
            if not self._hangs("ping"):
                self._answer(iq)
        elif not self._bound or iq.get("to") in (None, self._domain):
            if kind in ("get", "set"):
                self._answer(iq, "service-unavailable")
        else:
            condition = self._platform.route(self._user, iq)
            if condition is not None:
                self._answer(iq, condition)

    def _manage(self, element: Element) -> None:
        """XEP-0198."""
        management = self.management
        try:
            if element.name == "enable" and self._bound and management is None:
                self._enable()
            elif element.name == "resume" and not self._bound:
                self._resume(element)
            elif element.name == "r" and management is not None and not self._hangs("ping"):
                self._write(Element("a", MANAGEMENT, {"h": management.handled}))
            elif element.name == "a" and management is not None:
                management.acknowledge(element.get("h"))
        except ProtocolViolation:
            self.close()

    def _enable(self) -> None:
        id = secrets.token_hex(8)
        patience = str(int(self._platform.resumptionPatience))
        answer = {"id": id, "resume": "true", "max": patience}
        if self._platform.location is not None:
            answer["location"] = self._platform.location
        self._write(Element("enabled", MANAGEMENT, answer))
        self.management = StreamManagement(id)
        self._platform.managed[id] = self._user, self

    def _resume(self, resume: Element) -> None:
        previd = resume.get("previd") or ""
        user, session = self._platform.takeOver(previd)
        if user is None or session is None or session.management is None:
            missing = Element("item-not-found", STANZA_ERRORS)
            self._write(Element("failed", MANAGEMENT, children=[missing]))
            return
        management = session.management
        management.acknowledge(resume.get("h"))
        session.management = None
        user.abort()
        answer = {"previd": previd, "h": management.handled}
        self._write(Element("resumed", MANAGEMENT, answer))
        self._bound = True
        self._user.jid = user.jid
        self._platform.arrived(self._user)
        self.management = management
        self._platform.managed[previd] = self._user, self
        self.outgoing.extend(management.unacknowledged)
        self._write(Element("r", MANAGEMENT))

    def _bind(self, iq: Element) -> None:
        if self._hangs("bind"):
            return
        self._bound = True
        self._user.jid = f"{self._name}/{secrets.token_hex(4)}"
        self._platform.arrived(self._user)
        jid = Element("jid", BIND, text=self._user.jid)
        self._answer(iq, "", Element("bind", BIND, children=[jid]))

    def _answer(self, iq: Element, condition: str = "", *payload: Element) -> None:
        attributes: dict[str, Any] = {"type": "error" if condition else "result"}
        for theirs, ours in (("id", "id"), ("to", "from")):
            if iq.get(theirs) is not None:
                attributes[ours] = iq.attributes[theirs]
        children = list(payload)
        if condition:
            children.append(
                Element(
                    "error",
                    CLIENT,
                    {"type": _ERRORS[condition]},
                    [Element(condition, STANZA_ERRORS)],
                )
            )
        self.send(Element("iq", CLIENT, attributes, children))
