"""
The sandbox's records: calls, sessions, and what can go wrong.
"""

from __future__ import annotations

import secrets
from typing import Any, Protocol

import attrs

from ..rtc.namespaces import IRIS, PRIVATE
from ..xmpp.elements import CLIENT, Element
from ..xmpp.stream_management import StreamManagement

__all__ = [
    "DROPS",
    "HANG_STEPS",
    "TURN",
    "Answer",
    "Call",
    "ManagedSession",
    "SandboxError",
    "UserSession",
    "notification",
]

HANG_STEPS = ("discovery", "upgrade", "stream", "sasl", "bind", "session", "ping")
TURN = {
    "ttl": "3600",
    "ice_servers": [
        {
            "urls": ["turn:turn.sandbox.test:3478?transport=udp"],
            "username": "sandbox",
            "credential": "TURN-PASSWORD",
        }
    ],
}
DROPS = ("abort", "close", "disconnect")


class SandboxError(ValueError):
    """A request to the sandbox that makes no sense; the message says why."""


class ManagedSession(Protocol):
    """The server's side of a session with stream management."""

    management: StreamManagement | None


class UserSession(Protocol):
    """A client that is connected and bound."""

    id: str
    jid: str
    routingId: str
    dialect: str

    def deliver(self, stanza: Element) -> None:
        """Send it a stanza."""

    def abort(self) -> None:
        """Cut its socket."""

    def goAway(self) -> None:
        """Close politely, as a server that restarts does."""


@attrs.define
class Call:
    """
    A call placed by the sandbox.

    @ivar state: C{missed} (nobody was there), C{ringing}, C{acknowledged},
        C{rejected} or C{cancelled}.
    @ivar info: the attributes of its notification.
    """

    id: str
    to: str
    state: str
    info: dict[str, str]

    def asDict(self) -> dict[str, Any]:
        """For JSON, without the room token."""
        shown = {k: v for k, v in self.info.items() if not k.startswith("roomtoken")}
        return {"id": self.id, "to": self.to, "state": self.state, **shown}


@attrs.define
class Answer:
    """What discovery answers instead of the truth."""

    status: int
    body: bytes
    headers: dict[str, str] = attrs.field(factory=dict)


def notification(jid: str, info: dict[str, str], call: str | None) -> Element:
    """The IQ that tells a client about a call, or something else, in the name of its domain."""
    domain = jid.partition("/")[0].rpartition("@")[2]
    data = Element("data", IRIS, dict(info))
    sender = f"notify.{domain}" if call is not None else domain
    id = f"call-{call or secrets.token_hex(4)}"
    attributes = {"type": "set", "id": id, "from": sender, "to": jid}
    return Element("iq", CLIENT, attributes, [Element("query", PRIVATE, children=[data])])
