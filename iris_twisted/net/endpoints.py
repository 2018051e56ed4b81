"""
Where the sockets come from, for discovery and transports alike.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from .interfaces import ITlsTrust
from .proxies import Proxy
from .tunnel import TunnelEndpoint

__all__ = ["clientEndpoint"]


def clientEndpoint(
    reactor: Any,
    trust: ITlsTrust,
    host: str,
    port: int,
    *,
    secure: bool,
    proxy: Proxy | None = None,
    timeout: float = 30.0,
) -> IStreamClientEndpoint:
    """
    @param secure: speak TLS; otherwise plain text.
    @param proxy: what to go through, if anything.
    @param timeout: seconds for each address of the host (RFC 8305), or of the proxy.
    @return: an endpoint whose C{connect} can be cancelled at every step.
    """
    endpoint: IStreamClientEndpoint
    if proxy is None:
        endpoint = HostnameEndpoint(reactor, host, port, timeout=timeout)
    else:
        way = clientEndpoint(
            reactor, trust, proxy.host, proxy.port, secure=proxy.secure, timeout=timeout
        )
        endpoint = TunnelEndpoint(proxy, way, host, port)
    return wrapClientTLS(trust.forHost(host), endpoint) if secure else endpoint
