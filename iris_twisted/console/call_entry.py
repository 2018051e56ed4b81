"""
A call, as the console remembers and shows it.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..rtc.caller_number import callerNumber

__all__ = ["CallEntry"]


@attrs.define
class CallEntry:
    """
    A call, as the console shows it.

    @ivar state: C{ringing}, C{ended}, C{rejecting}, C{rejected}, or why it could not be.
    @ivar info: the notification; it holds the room token, and is shown to nobody.
    """

    id: int
    account: str
    at: float
    info: dict[str, Any] = attrs.field(repr=False)
    state: str = "ringing"

    def asDict(self) -> dict[str, Any]:
        """What is shown of it."""
        info = self.info
        return {
            "id": self.id,
            "account": self.account,
            "at": self.at,
            "kind": str(info.get("type")),
            "caller": str(info.get("routingid", "somebody")),
            "number": callerNumber(info),
            "room": str(info.get("roomid", "no room")),
            "state": self.state,
        }
