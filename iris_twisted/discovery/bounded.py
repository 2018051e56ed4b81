"""
Connections for an HTTP client that bring so many bytes and no more.

Twisted bounds a header's line and treq bounds nothing: a server could send headers
without end, and its hundred kilobytes of gzip become a hundred megabytes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from ..endpoints import clientEndpoint
from ..errors import ConnectionFailed

__all__ = ["BoundedEndpoints"]

# Compressed data grows a thousandfold at most: 256 bytes of it cannot hurt, before
# whoever decompresses has counted what came of the last ones.
_SLICE = 256


class _Bounded(ProtocolWrapper):
    transport: Any
    _left: int
    _overfull = False

    def makeConnection(self, transport: Any) -> None:
        self._left = self.factory.limit
        super().makeConnection(transport)

    def write(self, data: bytes) -> None:
        # Another request, on a connection that was kept.
        self._left = self.factory.limit
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._overfull = True
            self.transport.abortConnection()
            return
        for start in range(0, len(data), _SLICE):
            super().dataReceived(data[start : start + _SLICE])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._overfull:
            error = ConnectionFailed(
                f"the event manager {self.factory.origin} answered with more than "
                f"{self.factory.limit} bytes, headers included: check that it is one"
            )
            reason = Failure(error)
        super().connectionLost(reason)


class _Factory(WrappingFactory):
    protocol = _Bounded
    noisy = False

    def __init__(self, factory: IProtocolFactory, limit: int, origin: str) -> None:
        super().__init__(factory)
        self.limit = limit
        self.origin = origin


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, endpoint: IStreamClientEndpoint, limit: int, origin: str) -> None:
        self._endpoint = endpoint
        self._limit = limit
        self._origin = origin

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = _Factory(protocolFactory, self._limit, self._origin)
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """
    @param trust: whose certificates count.
    @param limit: how many bytes an answer may have, headers included.
    @param timeout: seconds that opening a connection may take.
    """

    def __init__(self, reactor: Any, trust: IPolicyForHTTPS, limit: int, timeout: float) -> None:
        self._reactor = reactor
        self._trust = trust
        self._limit = limit
        self._timeout = timeout

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See C{IAgentEndpointFactory}."""
        tls = None
        if uri.scheme == b"https":
            tls = self._trust.creatorForNetloc(uri.host, uri.port)
        host = uri.host.decode("ascii")
        endpoint = clientEndpoint(self._reactor, host, uri.port, tls, self._timeout)
        origin = f"{uri.scheme.decode()}://{uri.netloc.decode()}"
        return _Endpoint(endpoint, self._limit, origin)
