"""
Web servers that can be stopped.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.server import Request, Site
from zope.interface import implementer

__all__ = ["Connections", "QuietSite", "headerOf"]


def headerOf(request: Request, name: str) -> str:
    """A header's value, whatever bytes it holds; empty where there is none."""
    value: bytes = request.getHeader(name.encode("ascii")) or b""
    return value.decode("utf-8", "replace")


@implementer(IProtocolNegotiationFactory)
class Connections(WrappingFactory):
    """Knows every open connection, so that stopping can wait for the last."""

    noisy = False

    def __init__(self, factory: Any) -> None:
        super().__init__(factory)
        self._empty: list[Deferred[None]] = []

    def acceptableProtocols(self) -> list[bytes]:
        """
        For TLS (RFC 7301): Twisted lets clients that offer some fail where the server has none.
        """
        return [b"http/1.1"]

    def abortAll(self) -> Deferred[None]:
        """Fires when all are closed."""
        if not self.protocols:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        for protocol in list(self.protocols):
            protocol.transport.abortConnection()
        return done

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        if not self.protocols:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)


class QuietSite(Site):
    """Without an access log: paths may hold tokens, and probes come every few seconds."""

    noisy = False

    def log(self, request: Any) -> None:
        """Nothing."""
