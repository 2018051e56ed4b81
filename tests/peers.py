"""
Peers of our own for tests: an HTTP proxy, and a web server that takes webhooks.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

__all__ = ["ConnectProxy", "WebServer"]


class _Far(Protocol):
    """The socket to the host that was asked for."""

    def __init__(self, near: Any) -> None:
        self.near = near

    def dataReceived(self, data: bytes) -> None:
        self.near.transport.write(data)

    def connectionLost(self, *_: Any) -> None:
        self.near.transport.loseConnection()


class _Near(Protocol):
    """The socket to whom the proxy serves."""

    factory: Any

    def connectionMade(self) -> None:
        self.head, self.far = b"", None
        self.factory.proxy.open.append(self)

    def connectionLost(self, *_: Any) -> None:
        self.factory.proxy.open.remove(self)
        if self.far is not None:
            self.far.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.far is not None:
            self.far.transport.write(data)
            return
        self.head += data
        if not self.head.startswith(b"CONNECT"[: len(self.head)]):
            self.transport.loseConnection()
        if b"\r\n\r\n" in self.head:
            proxy = self.factory.proxy
            lines = self.head.decode().split("\r\n")
            proxy.asked.append(lines[0].split()[1])
            if proxy.silent:
                return
            user = base64.b64encode(proxy.user.encode()).decode()
            if proxy.user and f"Proxy-Authorization: Basic {user}" not in lines:
                proxy.asked.pop()
                self.transport.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                self.transport.loseConnection()
                return
            port = int(proxy.asked[-1].rpartition(":")[2])
            endpoint = TCP4ClientEndpoint(proxy.reactor, "127.0.0.1", port)
            endpoint.connect(Factory.forProtocol(lambda: _Far(self))).addCallback(self._reached)

    def _reached(self, far: Any) -> None:
        self.far = far
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


class ConnectProxy:
    """
    An HTTP proxy on loopback, which takes any host for this one.

    @ivar asked: C{host:port} of each tunnel.
    @ivar open: its sockets.
    """

    def __init__(self, reactor: Any, user: str, silent: bool) -> None:
        self.reactor = reactor
        self.user = user
        self.silent = silent
        self.asked: list[str] = []
        self.open: list[Any] = []

    @classmethod
    async def start(cls, reactor: Any, user: str = "", silent: bool = False) -> ConnectProxy:
        self = cls(reactor, user, silent)
        factory: Any = Factory.forProtocol(_Near)
        factory.proxy = self
        self._port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            factory
        )
        return self

    def url(self, user: str = "") -> str:
        """Its URL, with credentials."""
        return f"http://{user + '@' if user else ''}127.0.0.1:{self._port.getHost().port}"

    async def stop(self) -> None:
        """Close everything."""
        await maybeDeferred(self._port.stopListening)
        for near in list(self.open):
            near.transport.abortConnection()


class _Answering(Resource):
    isLeaf = True

    def __init__(self, server: WebServer) -> None:
        super().__init__()
        self._server = server

    def render(self, request: Request) -> Any:
        assert request.content is not None
        body = request.content.read()
        headers = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self._server.received.append((headers, body))
        self._server.paths.append(request.uri.decode())
        status, extra = self._server.answer(headers, body)
        if status == 0:
            self._server.silent.append(request)
            return NOT_DONE_YET
        request.setResponseCode(status)
        for name, value in extra.items():
            request.setHeader(name, value)
        return self._server.body


class _Site(Site):
    noisy = False

    def log(self, request: Any) -> None:
        """What is asked may be a secret of the test's."""


class WebServer:
    """
    A web server on loopback.

    @ivar received: headers (lower-case names) and body of each request.
    @ivar paths: as they were asked for.
    @ivar body: of each answer.
    @ivar silent: the requests that got no answer.
    @ivar answer: gives status and headers of the answer; the status 0 is silence.
    """

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.body = b""
        self.silent: list[Request] = []
        self.answer: Callable[[dict[str, str], bytes], tuple[int, dict[str, str]]]
        self.answer = lambda _, __: (200, {})
        self.url = ""

    @classmethod
    async def start(cls, reactor: Any, tls: Any = None) -> WebServer:
        """
        @param tls: C{CertificateOptions}, to speak it.
        """
        self = cls()
        self._site = _Site(_Answering(self))
        endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        if tls is not None:
            endpoint = SSL4ServerEndpoint(reactor, 0, tls, interface="127.0.0.1")
        self._open: list[Any] = []
        build = self._site.buildProtocol

        def built(address: Any) -> Any:
            protocol = build(address)
            self._open.append(protocol)
            return protocol

        self._site.buildProtocol = built  # type: ignore[method-assign]
        self._port: Any = await endpoint.listen(self._site)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._port.getHost().port}/hook"
        return self

    async def stop(self) -> None:
        """Close everything."""
        await maybeDeferred(self._port.stopListening)
        for protocol in self._open:
            # Twisted's own is a shell around that of the version of HTTP.
            transport = protocol._channel.transport
            if transport is not None and transport.connected:
                transport.abortConnection()
