"""
The values that travel between the floors: frozen, and with their secrets kept
out of every C{repr}.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

from .errors import IncorrectParameters

if TYPE_CHECKING:
    from .proxies import Proxy

__all__ = [
    "ConnectionState",
    "Destination",
    "IceServer",
    "Limits",
    "Scheme",
    "ServerInfo",
    "Stats",
    "TurnCredentials",
    "positive",
    "withoutPath",
]


class ConnectionState(Enum):
    """What an L{IrisRtcConnection<iris_twisted.IrisRtcConnection>} is doing."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"


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


@attrs.frozen
class Scheme:
    """One URL scheme that a transport serves."""

    name: str
    secure: bool
    defaultPort: int


@attrs.frozen
class Destination:
    """
    Where a transport connects to.

    @ivar path: the request path, with the secret websocket token in it; for
        transports that have no paths it means nothing.
    @ivar proxy: what to go through, if anything.
    """

    scheme: Scheme
    host: str
    port: int
    path: str = attrs.field(default="/", repr=False)
    proxy: Proxy | None = None

    @property
    def name(self) -> str:
        """C{scheme://host:port}: what may be shown of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme.name}://{host}:{self.port}"


def withoutPath(server: str) -> str:
    """What of a server's address may be shown: not its path, which may hold a token."""
    head, separator, rest = server.partition("://")
    authority = re.split(r"[/?#]", rest if separator else head, maxsplit=1)[0].rpartition("@")[2]
    return (head + separator + authority if separator else authority)[:120]


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    """
    A number of seconds from a caller, checked.

    @raise IncorrectParameters: when it is no finite number above zero.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
        or (value == 0 and not zero)
    ):
        least = "zero or more" if zero else "more than zero"
        raise IncorrectParameters(f"{name} must be a number of seconds, {least}, not {value!r}")
    return float(value)


def _count(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise IncorrectParameters(
            f"limits.{attribute.name} must be a whole number of at least 1, not {value!r}"
        )


@attrs.frozen
class Limits:
    """
    How much a peer may send.

    @ivar discoveryBody: bytes of a discovery answer, after decompression.
    @ivar frame: bytes of a websocket message, and of one stanza.
    @ivar depth: how deep elements may nest; the stanza is 1.
    @ivar children: elements directly inside one element.
    @ivar unanswered: notifications handed over and not done with.
    """

    discoveryBody: int = attrs.field(default=64 * 1024, validator=_count)
    frame: int = attrs.field(default=256 * 1024, validator=_count)
    depth: int = attrs.field(default=32, validator=_count)
    children: int = attrs.field(default=256, validator=_count)
    unanswered: int = attrs.field(default=1000, validator=_count)


@attrs.define
class Stats:
    """
    Counters of one connection, for reading only.

    @ivar connects: sessions that came up, the first and the later ones.
    @ivar reconnects: those of them that followed a loss.
    @ivar notifications: handed to C{onNotification}.
    @ivar rejected: sessions rejected with success.
    @ivar forbidden: private IQs refused because of their sender.
    @ivar callbackErrors: callbacks that failed.
    @ivar pingRoundTrip: seconds that the last answered ping took, or C{None}.
    """

    connects: int = 0
    reconnects: int = 0
    notifications: int = 0
    rejected: int = 0
    forbidden: int = 0
    callbackErrors: int = 0
    pingRoundTrip: float | None = None
