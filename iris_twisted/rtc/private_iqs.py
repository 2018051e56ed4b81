"""
Private IQs as the Iris platform uses them (protocol.md section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import local
from typing import Any

from zope.interface import implementer

from ..errors import IncorrectParameters
from ..net.addresses import RoutingId
from ..net.json_text import decodeJsonToWrite
from ..xmpp.elements import CLIENT, Element, escape
from ..xmpp.fast_parser import ChainParser
from ..xmpp.stanzas import isUnusual
from .incoming import Incoming, Leave, Nothing, Notification, Refused
from .interfaces import INotificationSyntax
from .namespaces import IRIS, PRIVATE
from .senders import TrustedSenders
from .telemetry import statistics

__all__ = [
    "PrivateIqs",
]

# RFC 7622 section 3.1: of each part of a JID.
_LONGEST = 1023
_NO_NOTIFICATION = frozenset(("", "leave room", "disconnect"))
_USUAL = ((CLIENT, "iq"), (PRIVATE, "query"), (IRIS, "data"))
_ALIASES = (("roomid", "roomId"), ("routingid", "routingId"), ("traceid", "traceId"))


class _Parsers(local):
    """Each thread has its own: an expat is one thread's at a time."""

    def __init__(self) -> None:
        self.byNamespace = {CLIENT: ChainParser(_USUAL, CLIENT), "": ChainParser(_USUAL)}


_parsers = _Parsers()


@implementer(INotificationSyntax)
class PrivateIqs:
    """See L{INotificationSyntax<iris_twisted.interfaces.INotificationSyntax>}."""

    def __init__(self, routingId: RoutingId, senders: TrustedSenders) -> None:
        self._routingId = routingId
        self._senders = senders
        # It is asked in the thread that made it, the reactor's.
        self._parsers = _parsers.byNamespace

    def read(self, iq: Element, jid: str | None) -> Incoming:
        queries = [c for c in iq.children if c.namespace == PRIVATE and c.name == "query"]
        data = [d for query in queries for d in query.named("data", IRIS)]
        if not data:
            return Refused("service-unavailable")
        sender = iq.get("from")
        if not self._senders.trusts(sender):
            return Refused("forbidden")
        # RFC 6120 section 8.2.3: a request has one payload; two would be told apart by chance.
        if len(data) > 1 or len(queries) > 1:
            return Refused("bad-request")
        attributes = data[0].attributes
        kind = attributes.get("type", "")
        if kind == "disconnect":
            return Leave() if self._senders.isServer(sender) else Refused("forbidden")
        if kind in ("", "leave room"):
            return Nothing()
        return Notification(self._complete(dict(attributes)))

    def parseFast(
        self, message: bytes, defaultNamespace: str
    ) -> tuple[dict[str, str], dict[str, Any]] | None:
        begun = self._parsers[defaultNamespace].read(message)
        if begun is None:
            return None
        iq, _, data = begun
        if data.get("type", "") in _NO_NOTIFICATION or isUnusual(iq):
            return None
        if not self._senders.trusts(iq.get("from")):
            return None
        return iq, self._complete(data)

    @staticmethod
    def _complete(info: dict[str, Any]) -> dict[str, Any]:
        """Make of the attributes what the application gets."""
        # The official client counts the declaration among the attributes.
        info["xmlns"] = IRIS
        for name, alias in _ALIASES:
            if name in info and alias not in info:
                info[alias] = info[name]
        userdata = info.get("userdata")
        if userdata is not None:
            try:
                info["userdata"] = decodeJsonToWrite(userdata)
            except ValueError:
                pass  # Left as the string that it is.
        return info

    def reject(self, payload: Mapping[str, Any]) -> tuple[str, Sequence[Element]]:
        room = self._field(payload, "roomId", "roomid")
        trace = self._field(payload, "traceId", "traceid")
        server = self._field(payload, "rtcserver")
        if "/" in room or "@" in room:
            raise IncorrectParameters("roomId must not hold '/' or '@'")
        if "/" in server or "@" in server:
            raise IncorrectParameters("rtcserver must be a host name")
        to = f"{room}@{server.replace('xmpp', 'callcontrol', 1)}/{self._routingId.text}"
        data = Element(
            "data",
            IRIS,
            {
                "action": "reject",
                "roomid": room,
                "traceid": trace,
                "event": "pstncall",
                "rtcserver": server,
                "to": to,
            },
        )
        return to, [Element("query", PRIVATE, {"strict": "false"}), data]

    def statistics(self, event: dict[str, Any]) -> tuple[str, str, Sequence[Element]]:
        return statistics(event, self._routingId)

    @staticmethod
    def _field(payload: Mapping[str, Any], *names: str) -> str:
        for name in names:
            value = payload.get(name)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise IncorrectParameters(f"{name} must be text, not {type(value).__name__}")
            if len(value) > _LONGEST:
                raise IncorrectParameters(f"{name} must have at most {_LONGEST} characters")
            escape(name, value)
            return value
        raise IncorrectParameters(f"the notification has no {names[0]}, which a reject needs")
