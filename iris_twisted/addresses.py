"""
Names and addresses: what a routing id, an event manager URL and a websocket
server may look like, and the paths that are made of them.

Nothing here repairs: a value is used exactly as given, percent-encoded where it
becomes a path segment, or it is refused with a sentence that names it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import attrs

from .errors import ApiParameters, ConnectionFailed, IncorrectParameters, IrisError
from .values import Destination, Scheme, ServerInfo, withoutPath

__all__ = [
    "EventManagerAddress",
    "RoutingId",
    "checkToken",
    "isLoopback",
    "locate",
    "relocate",
    "segment",
]

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HOST = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?")


def segment(name: str, value: str) -> str:
    """
    One path segment, percent-encoded, C{@} kept as every official client does.

    @param name: what the value is called in the error.
    @raise IncorrectParameters: for what cannot be a segment (RFC 3986 3.3):
        nothing, C{.}, C{..}, control characters.
    """
    if value in ("", ".", ".."):
        raise IncorrectParameters(f"{name} must not be {value!r}")
    if _CONTROL.search(value):
        raise IncorrectParameters(f"{name} must not hold control characters")
    return quote(value, safe="@")


def checkToken(name: str, value: Any) -> str:
    """
    An iris token, fit for an HTTP header.

    @raise IncorrectParameters: without repeating the value, which is a secret.
    """
    if not isinstance(value, str):
        raise IncorrectParameters(f"{name} must be text, not {type(value).__name__}")
    if not value:
        raise IncorrectParameters(f"{name} must not be empty")
    if not value.isascii() or _UNPRINTABLE.search(value):
        raise IncorrectParameters(
            f"{name} must be one line of visible ASCII characters without spaces"
        )
    return value


@attrs.frozen
class RoutingId:
    """
    A routing id, C{local@domain}.

    @ivar text: as it was given.
    """

    text: str
    local: str
    domain: str

    @classmethod
    def parse(cls, value: Any) -> RoutingId:
        """
        @raise IncorrectParameters: naming what is wrong with it.
        """
        if not isinstance(value, str):
            raise IncorrectParameters(f"routingId must be text, not {type(value).__name__}")
        local, at, domain = value.rpartition("@")
        if not (at and local and domain):
            raise IncorrectParameters(
                f"routingId must look like user@domain, with something on either side "
                f"of the @, not {value!r}"
            )
        segment("routingId", value)
        if not _isHost(domain):
            raise IncorrectParameters(
                f"routingId must end with a domain name, and {domain!r} is none"
            )
        return cls(value, local, domain)

    @property
    def bare(self) -> str:
        """The bare JID, lower-cased as the platform authenticates it."""
        return self.text.lower()


def _isHost(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def isLoopback(host: str) -> bool:
    """Whether a host name or address literal cannot leave this machine (RFC 6761 6.3)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(text: str) -> tuple[SplitResult, str, int | None]:
    """
    A URL's parts, its host and its port.

    @raise ValueError: with half a sentence that says what is wrong with it.
    """
    if _UNPRINTABLE.search(text) or "\\" in text:
        raise ValueError("holds spaces, backslashes or control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        raise ValueError(f"is no URL ({e})") from None
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if not _isHost(host):
        raise ValueError("names no valid host")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("names no valid port")
    if "?" in text or "#" in text:
        raise ValueError("must not hold a query or fragment")
    return parts, host, port


@attrs.frozen
class EventManagerAddress:
    """Where discovery asks."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(
        cls, value: Any, insecure: bool = False, name: str = "eventManagerUrl"
    ) -> EventManagerAddress:
        """
        @param value: C{host}, C{host:port}, or an C{https://} URL with an optional
            path; C{http://} only for a loopback host, or when C{insecure}.
        @param name: what it is called in the error.
        @raise IncorrectParameters: naming what is wrong with it.
        """
        if not isinstance(value, str):
            raise IncorrectParameters(f"{name} must be text, not {type(value).__name__}")
        if not value:
            raise IncorrectParameters(f"{name} must not be empty")
        text = value if "://" in value else f"https://{value}"
        try:
            parts, host, port = _split(text)
            if parts.scheme not in ("https", "http"):
                raise ValueError("must be https")
            if parts.scheme == "http" and not (insecure or isLoopback(host)):
                raise ValueError(
                    "is not encrypted: use https (http is for loopback, or for insecure=True)"
                )
            prefix = parts.path.rstrip("/")
            if any(part in (".", "..") for part in prefix.split("/")) or "//" in prefix:
                raise ValueError("has '.', '..' or empty path segments")
        except ValueError as e:
            raise IncorrectParameters(f"{name} {value!r} {e}") from None
        default = 443 if parts.scheme == "https" else 80
        # What is percent-encoded already stays as it is.
        return cls(parts.scheme, host, port or default, quote(prefix, safe="/%@:;,=+!$&'()*~"))

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        """C{scheme://host:port}: what may be shown of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def url(self, path: str) -> str:
        """The URL of a path below it, whose segments are encoded already."""
        return f"{self.origin}{self.prefix}/{path}"

    def discoveryUrl(self, routingId: str, anonymous: bool) -> str:
        """The URL to GET (protocol.md section 1)."""
        kind = "v1.1/wsturnserver/anonymoususer" if anonymous else "v1/wsturnserverinfo/routingid"
        return self.url(f"{kind}/{segment('routingId', routingId)}")


def _allowed(host: str, allowedHosts: Iterable[str]) -> bool:
    name = host.lower().rstrip(".")
    return any(
        name == suffix or name.endswith("." + suffix)
        for suffix in (allowed.lower().strip(".") for allowed in allowedHosts)
    )


def locate(
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
            parts, host, port = _split(server)
            if parts.path:
                raise ValueError("must be host, host:port or a URL")
        else:
            parts, host, port = _split(server)
        scheme = schemes.get(parts.scheme)
        if scheme is None:
            raise ValueError(
                f"has the scheme {parts.scheme!r}, which no installed transport serves"
            )
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
    return Destination(
        scheme, host, port or scheme.defaultPort, quote(path, safe="/%@:;,=+!$&'()*~")
    )


def relocate(
    place: Destination, location: str, allowedHosts: Iterable[str] | None
) -> Destination | None:
    """
    The same server at the C{location} where it wants a session to be resumed
    (XEP-0198 section 3), C{host} or C{host:port}.

    @return: C{None} when that is malformed or not allowed: it is only a hint.
    """
    try:
        parts, host, port = _split(f"xmpp://{location}")
    except ValueError:
        return None
    same = host.lower() == place.host.lower()
    if parts.path or not (same if allowedHosts is None else _allowed(host, allowedHosts)):
        return None
    return attrs.evolve(place, host=host, port=port or place.scheme.defaultPort)
