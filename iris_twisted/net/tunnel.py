"""
Tunnels through HTTP proxies (CONNECT, RFC 9110 section 9.3.6), as endpoints.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionFailed, PeerClosed
from .failures import explain
from .proxies import Proxy

__all__ = ["TunnelEndpoint"]

_LONGEST = 16 * 1024
_END = b"\r\n\r\n"


class _Tunnel(Protocol):
    """
    Asks for the tunnel, and is transparent once it has it.

    @ivar opened: fires with the protocol that speaks through it.
    """

    transport: Any

    def __init__(self, proxy: Proxy, target: str, factory: IProtocolFactory) -> None:
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self.transport.abortConnection())
        self._proxy = proxy
        self._target = target
        self._factory = factory
        self._head = b""
        self._inner: Any = None

    def connectionMade(self) -> None:
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        if self.opened.called:
            return
        self._head += data
        head, end, rest = self._head.partition(_END)
        if end:
            self._answered(head, rest)
        elif len(self._head) > _LONGEST:
            self._fail(f"the proxy {self._proxy.name} answered with endless headers")

    def _answered(self, head: bytes, rest: bytes) -> None:
        version, _, status = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        code = status[:3]
        name = self._proxy.name
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
            self._fail(f"{name} does not answer as an HTTP proxy does: check its address")
        elif code == "407":
            self._fail(f"the proxy {name} wants a user and a password, or others (407)")
        elif not code.startswith("2"):
            self._fail(f"the proxy {name} refused to connect to {self._target} ({code})")
        else:
            self._open(rest)

    def _open(self, rest: bytes) -> None:
        inner: Any = self._factory.buildProtocol(self.transport.getPeer())
        if inner is None:
            self.transport.abortConnection()
            self.opened.errback(CancelledError())
            return
        self._inner = inner
        inner.makeConnection(self.transport)
        self.opened.callback(inner)
        if rest:
            inner.dataReceived(rest)

    def _fail(self, message: str) -> None:
        self.opened.errback(ConnectionFailed(message))
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.opened.called:
            self.opened.errback(PeerClosed(f"the proxy {self._proxy.name} closed the connection"))


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    A host as it is reached through a proxy, which looks up its name.

    @param endpoint: connects to the proxy.
    """

    def __init__(self, proxy: Proxy, endpoint: IStreamClientEndpoint, host: str, port: int) -> None:
        self._proxy = proxy
        self._endpoint = endpoint
        name = host if host.isascii() else host.encode("idna").decode()
        self._target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See C{IStreamClientEndpoint}; fails with L{ConnectionFailed} in the proxy's name."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, protocolFactory: IProtocolFactory) -> IProtocol:
        tunnel = _Tunnel(self._proxy, self._target, protocolFactory)
        factory = Factory.forProtocol(lambda: tunnel)
        factory.noisy = False
        try:
            await self._endpoint.connect(factory)
        except (CancelledError, ConnectingCancelledError):
            raise CancelledError from None
        except Exception:
            raise explain(f"the proxy {self._proxy.name}", Failure()) from None
        return await tunnel.opened
