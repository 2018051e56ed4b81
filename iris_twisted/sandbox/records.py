"""
The sandbox's records: calls, sessions, and what can go wrong.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from ..xmpp.elements import Element
from ..xmpp.management import StreamManagement

__all__ = [
    "DROPS",
    "HANG_STEPS",
    "TURN",
    "Answer",
    "Call",
    "ManagedSession",
    "SandboxError",
    "UserSession",
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
