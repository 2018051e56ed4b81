"""
Where the sockets come from, for discovery and transports alike.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from .interfaces import ITlsTrust
from .proxies import Proxy
from .tunnel import TunnelEndpoint

__all__ = ["clientEndpoint"]


@implementer(IStreamClientEndpoint)
class _TlsEndpoint:
    """
    TLS over another endpoint, as Twisted's C{wrapClientTLS} makes it. That one counts its time
    on the global reactor, though, which another than the given one may be, or none at all.
    """

    def __init__(
        self, reactor: Any, creator: IOpenSSLClientConnectionCreator, way: IStreamClientEndpoint
    ) -> None:
        self._reactor = reactor
        self._creator = creator
        self._way = way

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = TLSMemoryBIOFactory(self._creator, True, protocolFactory, self._reactor)
        connecting: Deferred[Any] = self._way.connect(factory)
        return connecting.addCallback(lambda protocol: protocol.wrappedProtocol)


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
    return _TlsEndpoint(reactor, trust.forHost(host), endpoint) if secure else endpoint
