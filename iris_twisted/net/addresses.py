"""
Names and addresses: what a routing id, a host and a URL may look like.

Nothing here repairs: a value is used exactly as given, percent-encoded where it
becomes a path segment, or it is refused with a sentence that names it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import attrs

from ..errors import IncorrectParameters

__all__ = ["RoutingId", "checkToken", "segment", "withoutPath"]

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


def splitUrl(text: str) -> tuple[SplitResult, str, int | None]:
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


def withoutPath(server: str) -> str:
    """What of a server's address may be shown: not its path, which may hold a token."""
    head, separator, rest = server.partition("://")
    authority = re.split(r"[/?#]", rest if separator else head, maxsplit=1)[0].rpartition("@")[2]
    return (head + separator + authority if separator else authority)[:120]
