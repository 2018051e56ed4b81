"""
The address of the event manager, and of the platform's other HTTP services.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import attrs

from ..errors import IncorrectParameters
from ..net.addresses import segment, splitUrl
from ..net.loopback import isLoopback

__all__ = ["EventManagerAddress"]


def _shown(value: str) -> str:
    """It without a user and password, which it must not hold."""
    before, at, rest = value.rpartition("@")
    scheme, found, _ = before.partition("://")
    return f"{scheme + found if found else ''}...@{rest}" if at else value


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
            parts, host, port = splitUrl(text)
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
            raise IncorrectParameters(f"{name} {_shown(value)!r} {e}") from None
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
