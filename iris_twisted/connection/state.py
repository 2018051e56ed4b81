"""
What a connection is doing.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["ConnectionState"]


class ConnectionState(Enum):
    """What an L{IrisRtcConnection<iris_twisted.IrisRtcConnection>} is doing."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
