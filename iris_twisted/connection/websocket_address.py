"""
Where the websocket is: what discovery's answer, a C{see-other-uri} and a C{location} name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ..discovery.server_info import ServerInfo
from ..errors import ApiParameters, ConnectionFailed, IrisError
from ..net.addresses import segment, splitUrl, withoutPath
from ..net.loopback import isLoopback
from ..transport.destination import Destination, Scheme, quotedPath, schemeOf

__all__ = ["resumptionDestination", "websocketDestination"]


def _allowed(host: str, allowedHosts: Iterable[str]) -> bool:
    name = host.lower().rstrip(".")
    return any(
        name == suffix or name.endswith("." + suffix)
        for suffix in (allowed.lower().strip(".") for allowed in allowedHosts)
    )


def websocketDestination(
    server: str,
    info: ServerInfo,
    routingId: str,
    schemes: Mapping[str, Scheme],
    *,
    secure: bool,
    insecure: bool,
    allowedHosts: Iterable[str] | None = None,
) -> Destination:
    """
    The destination that an answer of discovery, or a C{see-other-uri}, names.

    A URL with a path is complete; to anything else the path of protocol.md
    section 2 is added, with the websocket token in it.

    @param server: C{host}, C{host:port}, or a URL of one of the C{schemes}.
    @param secure: whether the event manager was reached by https.
    @param insecure: whether the user asked for plain text explicitly.
    @raise ApiParameters: when it is malformed.
    @raise ConnectionFailed: when it is well-formed and may not be used.
    """
    try:
        if "://" not in server:
            server = f"{'wss' if secure else 'ws'}://{server}"
            parts, host, port = splitUrl(server)
            if parts.path:
                raise ValueError("must be host, host:port or a URL")
        else:
            parts, host, port = splitUrl(server)
        scheme = schemeOf(schemes, parts.scheme)
        if any(part in (".", "..") for part in parts.path.split("/")):
            raise ValueError("has '.' or '..' in its path")
        path = parts.path.rstrip("/") or "/".join(
            (
                "/xmpp-websocket/routingid",
                segment("routing id", routingId),
                "timestamp",
                segment("websocket_server_token_expiry_time", info.tokenExpiry),
                "token",
                segment("websocket_server_token", info.websocketToken),
            )
        )
    except IrisError as e:
        raise ApiParameters(f"the event manager's {e.message}") from None
    except ValueError as e:
        raise ApiParameters(f"the websocket server {withoutPath(server)!r} {e}") from None
    if not scheme.secure and not insecure and (secure or not isLoopback(host)):
        raise ConnectionFailed(
            f"{parts.scheme}://{host} would not be encrypted; refused (insecure=True allows it)"
        )
    if allowedHosts is not None and not _allowed(host, allowedHosts):
        raise ConnectionFailed(f"the websocket server {host} is not among the allowed hosts")
    return Destination(scheme, host, port or scheme.defaultPort, quotedPath(path))


def resumptionDestination(
    destination: Destination, location: str, allowedHosts: Iterable[str] | None
) -> Destination | None:
    """
    The same server at the C{location} where it wants a session to be resumed
    (XEP-0198 section 3), C{host} or C{host:port}.

    @return: C{None} when that is malformed or not allowed: it is only a hint.
    """
    try:
        parts, host, port = splitUrl(f"xmpp://{location}")
    except ValueError:
        return None
    same = host.lower() == destination.host.lower()
    if parts.path or not (same if allowedHosts is None else _allowed(host, allowedHosts)):
        return None
    return attrs.evolve(destination, host=host, port=port or destination.scheme.defaultPort)
