"""
The sandbox, listening.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.static import File

from ..net.http.serving import Connections, QuietSite
from .backend import Backend
from .http import Branch, Control, Discovery, Root
from .login_http import PasswordLogin, services
from .platform import Platform
from .records import Answer, Call, UserSession
from .rtc_server import RtcResource

if TYPE_CHECKING:
    from .certificates import Certificates

__all__ = ["Sandbox", "startSandbox"]


class Sandbox:
    """
    A running sandbox.

    @ivar url: its event manager, for C{connect()}.
    @ivar caFile: with TLS, a PEM file with the certificate to trust, for C{trustRoot}.
    @ivar platform: everything that can be asked of it and done to it.
    @ivar discoveries: the routing ids that discovery was asked for, newest last.
    """

    def __init__(
        self,
        reactor: Any,
        tls: bool | Certificates,
        backend: Backend | None = None,
        pages: str | None = None,
    ) -> None:
        self.platform = Platform(reactor.seconds)
        self.discoveries: list[str] = []
        self.url = ""
        self.caFile: str | None = None
        self._tls = tls
        self._port: IListeningPort | None = None
        self._interface = ""
        self._number = 0
        self._certificates: Certificates | None = None
        root = Root()
        source = backend or self.platform
        known = Discovery(self.platform, source, "routingid", self._asked)
        root.putChild(b"v1", Branch({b"wsturnserverinfo": known}))
        if backend is None:
            directory = self.platform.directory
            anonymous = Discovery(self.platform, source, "anonymoususer", self._asked)
            root.putChild(b"v1", Branch({b"wsturnserverinfo": known, **services(directory)}))
            later = {b"wsturnserver": anonymous, b"login": PasswordLogin(directory)}
            root.putChild(b"v1.1", Branch(later))
            root.putChild(b"xmpp-websocket", RtcResource(reactor, self.platform))
            root.putChild(b"control", Control(self.platform))
        if pages is not None:
            root.putChild(b"pages", File(pages))
        self._site = QuietSite(root, reactor=reactor)
        self._connections: Connections | None = None
        self._reactor = reactor

    def _asked(self, routingId: str) -> None:
        self.discoveries.append(routingId)
        del self.discoveries[:-1000]

    async def listen(self, port: int, interface: str) -> Sandbox:
        """Start."""
        factory: Any = self._site
        if self._tls:
            from .certificates import Certificates

            certificates = Certificates() if self._tls is True else self._tls
            self._certificates = certificates
            self.caFile = certificates.caFile
            factory = TLSMemoryBIOFactory(certificates.options, False, factory, self._reactor)
        self._connections = Connections(factory)
        self._interface = interface
        address = await self._open(port)
        self._number = address.port
        self.url = f"{'https' if self._tls else 'http'}://{interface}:{address.port}"
        return self

    async def _open(self, number: int) -> Any:
        endpoint = TCP4ServerEndpoint(self._reactor, number, interface=self._interface)
        self._port = await endpoint.listen(self._connections)
        return self._port.getHost()

    async def _close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self._connections is not None:
            await self._connections.abortAll()

    async def _stop(self) -> None:
        await self._close()
        certificates, self._certificates = self._certificates, None
        if certificates is not None:
            certificates.remove()

    def stop(self) -> Deferred[None]:
        """Close everything. Fires when nothing is left."""
        return Deferred.fromCoroutine(self._stop())

    def goAway(self) -> Deferred[None]:
        """
        Be gone, as a platform that is down: every connection is cut, and new ones are refused.
        Sessions are kept as for any loss. Fires when that is so.
        """
        return Deferred.fromCoroutine(self._close())

    def comeBack(self) -> Deferred[None]:
        """Listen again where it did before L{goAway}. Fires when it does."""
        return Deferred.fromCoroutine(self._reopen())

    async def _reopen(self) -> None:
        if self._port is None:
            await self._open(self._number)

    @property
    def sessions(self) -> list[UserSession]:
        """Who is connected and bound."""
        return list(self.platform.sessions.values())

    def token(self, routingId: str, lifetime: float = 3600.0, age: float | None = None) -> str:
        """An iris token that is accepted for so many seconds, and that is so many old."""
        return self.platform.token(routingId, lifetime, age)

    def refuseToken(self, token: str) -> None:
        """From now on, discovery refuses this iris token, as one that has expired."""
        self.platform.refusedTokens.add(token)

    def placeCall(self, to: str, **options: Any) -> Call:
        """See L{Platform.placeCall}."""
        return self.platform.placeCall(to, **options)

    def tellAgain(self, id: str) -> Call:
        """See L{Platform.tellAgain}."""
        return self.platform.tellAgain(id)

    def cancelCall(self, id: str) -> Call:
        """See L{Platform.cancelCall}."""
        return self.platform.cancelCall(id)

    def drop(self, how: str = "abort") -> None:
        """End every session; see L{Platform.drop}."""
        for session in self.sessions:
            self.platform.drop(session.id, how)

    def hang(self, step: str) -> None:
        """See L{Platform.hang}."""
        self.platform.hang(step)

    def answerDiscovery(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Let discovery answer this, until L{behave}."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.platform.answer = Answer(status, body, named)

    def behave(self) -> None:
        """Be good again: discovery answers the truth, and no step hangs."""
        self.platform.answer = None
        self.platform.hanging.clear()


def startSandbox(
    reactor: Any = None,
    *,
    tls: bool | Certificates = False,
    port: int = 0,
    interface: str = "127.0.0.1",
    backend: Backend | None = None,
    pages: str | None = None,
) -> Deferred[Sandbox]:
    """
    Start a sandbox.

    @param reactor: C{None} for the global one.
    @param tls: listen with a certificate made for the occasion, or with a given one.
    @param port: 0 for a free one.
    @param backend: a real XMPP server; the sandbox is its event manager, and nothing else.
    @param pages: a folder to serve at C{/pages/}, for clients in browsers.
    @return: fires with the L{Sandbox}; fails when the port cannot be had.
    """
    if reactor is None:
        from twisted.internet import reactor
    return Deferred.fromCoroutine(Sandbox(reactor, tls, backend, pages).listen(port, interface))
