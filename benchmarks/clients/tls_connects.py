"""
What a websocket over TLS costs to open, without discovery and XMPP.

    python -m benchmarks.clients.tls_connects WHO URL CA-FILE COUNT

WHO is C{autobahn}: as it comes, with one TLS context for all; or C{ours}: the transport
of this package alone. Fifty are under way at a time. It prints the CPU of each.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import react
from zope.interface import implementer

from iris_twisted.interfaces import IMessageReceiver
from iris_twisted.net.limits import Limits
from iris_twisted.net.tls import TlsTrust
from iris_twisted.transport.destination import Destination, Scheme
from iris_twisted.transport.websocket import WebSocketTransport

_PATH = "/xmpp-websocket"
_UNDER_WAY = 50

Connecting = Callable[[], Awaitable[Any]]


@implementer(IOpenSSLClientConnectionCreator)
class Shared:
    """One context, which verifies the chain; the least that TLS can do."""

    def __init__(self, caFile: str) -> None:
        self.context = CertificateOptions(trustRoot=TlsTrust(caFile)._trustRoot).getContext()

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self.context, None)
        connection.set_app_data(protocol)
        return connection


class Opening(WebSocketClientProtocol):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()

    def onOpen(self) -> None:
        self.opened.callback(None)


def autobahn(reactor: Any, host: str, port: int, caFile: str) -> Connecting:
    factory = WebSocketClientFactory(f"wss://{host}:{port}{_PATH}", protocols=["xmpp"])
    factory.protocol = Opening
    factory.setProtocolOptions(autoPingInterval=0, openHandshakeTimeout=0)
    shared = Shared(caFile)

    async def connect() -> Any:
        endpoint = wrapClientTLS(shared, HostnameEndpoint(reactor, host, port))
        protocol = await endpoint.connect(factory)
        await protocol.opened
        return protocol

    return connect


@implementer(IMessageReceiver)
class Nobody:
    def messageReceived(self, message: bytes) -> None:
        """The server speaks second."""

    def transportLost(self, error: Exception) -> None:
        """At the end of the measurement."""


def ours(reactor: Any, host: str, port: int, caFile: str) -> Connecting:
    provider, trust, limits = WebSocketTransport(), TlsTrust(caFile), Limits()
    place = Destination(Scheme("wss", True, 443), host, port, _PATH)

    async def connect() -> Any:
        return await provider.open(place, Nobody(), reactor, trust, limits)

    return connect


async def main(reactor: Any, who: str, url: str, caFile: str, count: str) -> None:
    host, _, port = url.partition("//")[2].partition(":")
    connect = {"autobahn": autobahn, "ours": ours}[who](reactor, host, int(port), caFile)
    # The first pays for what is loaded and kept.
    held = [await connect()]
    gate = DeferredSemaphore(_UNDER_WAY)
    cpu = time.process_time()
    held += await gatherResults(
        gate.run(lambda: Deferred.fromCoroutine(connect()))  # type: ignore[arg-type]
        for _ in range(int(count))
    )
    cpu = time.process_time() - cpu
    print(json.dumps({"cpuMillisecondsPerConnect": cpu / int(count) * 1e3}), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
