"""
Where a transport connects to.
"""

from __future__ import annotations

import attrs

from ..net.proxies import Proxy

__all__ = ["Destination", "Scheme"]


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
