"""
What a private IQ means.
"""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Incoming", "Leave", "Nothing", "Notification", "Refused"]


@attrs.frozen
class Notification:
    """To be handed to C{onNotification}. Its repr shows no room token."""

    info: dict[str, Any] = attrs.field(repr=False)


@attrs.frozen
class Leave:
    """The server asks us to leave and come back: it is about to go down."""


@attrs.frozen
class Nothing:
    """Understood, and of no interest: the answer is a result."""


@attrs.frozen
class Refused:
    """The answer is this error condition."""

    condition: str


Incoming = Notification | Leave | Nothing | Refused
