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
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from ...errors import ConnectionFailed
from ..endpoints import clientEndpoint
from ..interfaces import ITlsTrust
from ..proxies import Proxies

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
                f"{self.factory.name} answered with more than "
                f"{self.factory.limit} bytes, headers included: check the URL"
            )
            reason = Failure(error)
        super().connectionLost(reason)


class _Factory(WrappingFactory):
    protocol = _Bounded
    noisy = False

    def __init__(self, factory: IProtocolFactory, limit: int, name: str) -> None:
        super().__init__(factory)
        self.limit = limit
        self.name = name


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, endpoint: IStreamClientEndpoint, limit: int, name: str) -> None:
        self._endpoint = endpoint
        self._limit = limit
        self._name = name

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = _Factory(protocolFactory, self._limit, self._name)
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """
    @param what: what is at their other ends, as in "the event manager".
    @param trust: whose certificates count.
    @param limit: how many bytes an answer may have, headers included.
    @param timeout: seconds that opening a connection may take.
    @param proxies: what is on the way.
    """

    def __init__(
        self,
        reactor: Any,
        what: str,
        trust: ITlsTrust,
        limit: int,
        timeout: float,
        proxies: Proxies,
    ) -> None:
        self._reactor = reactor
        self._what = what
        self._trust = trust
        self._limit = limit
        self._timeout = timeout
        self._proxies = proxies

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See C{IAgentEndpointFactory}."""
        secure = uri.scheme == b"https"
        host = uri.host.decode("ascii").strip("[]")
        endpoint = clientEndpoint(
            self._reactor,
            self._trust,
            host,
            uri.port,
            secure=secure,
            proxy=self._proxies.choose(host, secure),
            timeout=self._timeout,
        )
        name = f"{self._what} {uri.scheme.decode()}://{uri.netloc.decode()}"
        return _Endpoint(endpoint, self._limit, name)
