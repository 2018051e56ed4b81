"""
Where a transport connects to.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import attrs

from ..errors import ConnectionFailed, IncorrectParameters
from ..net.addresses import splitUrl, withoutPath
from ..net.loopback import isLoopback
from ..net.proxies import Proxy

__all__ = ["Destination", "Scheme", "quotedPath", "schemeOf"]


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

    @classmethod
    def ofUrl(
        cls, url: str, schemes: Mapping[str, Scheme], *, insecure: bool = False
    ) -> Destination:
        """
        The destination that a whole URL names, for programs that ask no event manager.

        @param schemes: those that can be used, by name:
            L{TransportRegistry.schemes<iris_twisted.transport.registry.TransportRegistry.schemes>}.
        @param insecure: whether plain text may go to other machines.
        @raise IncorrectParameters: when it is malformed, or no transport serves its scheme.
        @raise ConnectionFailed: when it would not be encrypted.
        """
        try:
            parts, host, port = splitUrl(url)
            scheme = schemeOf(schemes, parts.scheme)
        except ValueError as e:
            raise IncorrectParameters(f"the URL {withoutPath(url)!r} {e}") from None
        if not scheme.secure and not insecure and not isLoopback(host):
            raise ConnectionFailed(
                f"{scheme.name}://{host} would not be encrypted; refused (insecure=True allows it)"
            )
        return cls(scheme, host, port or scheme.defaultPort, quotedPath(parts.path or "/"))


def schemeOf(schemes: Mapping[str, Scheme], name: str) -> Scheme:
    """
    @raise ValueError: when no transport serves it; the words follow the name of a URL.
    """
    scheme = schemes.get(name)
    if scheme is None:
        raise ValueError(f"has the scheme {name!r}, which no installed transport serves")
    return scheme


def quotedPath(path: str) -> str:
    """A URL's path as it goes into a request; what is quoted stays as it is."""
    return quote(path, safe="/%@:;,=+!$&'()*~")
