"""
Where the sockets come from, for discovery and transports alike.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint

__all__ = ["clientEndpoint"]


def clientEndpoint(
    reactor: Any,
    host: str,
    port: int,
    tls: IOpenSSLClientConnectionCreator | None,
    timeout: float = 30.0,
) -> IStreamClientEndpoint:
    """
    @param tls: C{None} for plain text.
    @param timeout: seconds for each address of the host (RFC 8305).
    @return: an endpoint whose C{connect} can be cancelled at every step.
    """
    endpoint = HostnameEndpoint(reactor, host, port, timeout=timeout)
    return endpoint if tls is None else wrapClientTLS(tls, endpoint)
