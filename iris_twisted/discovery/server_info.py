"""
The answer of the event manager, with the TURN credentials in it; their secrets are kept out of
every C{repr}.
"""

from __future__ import annotations

import attrs

from ..net.addresses import withoutPath

__all__ = ["IceServer", "ServerInfo", "TurnCredentials"]


@attrs.frozen
class IceServer:
    """One STUN or TURN server, as a WebRTC peer connection wants it."""

    urls: tuple[str, ...]
    username: str | None = attrs.field(default=None, repr=False)
    credential: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class TurnCredentials:
    """
    The ICE servers of a session.

    @ivar expiresAt: epoch seconds after which they are void, or C{None}.
    """

    iceServers: tuple[IceServer, ...]
    expiresAt: float | None = None


@attrs.frozen
class ServerInfo:
    """
    The answer of the event manager (protocol.md section 1).

    @ivar websocketServer: C{host}, C{host:port} or a URL, as it was given.
    @ivar websocketToken: authenticates the websocket; a secret.
    @ivar tokenExpiry: its expiry, epoch seconds, as text: it goes into the path.
    """

    websocketServer: str = attrs.field(repr=lambda server: repr(withoutPath(server)))
    websocketToken: str = attrs.field(repr=False)
    tokenExpiry: str = ""
    turnCredentials: TurnCredentials | None = None
