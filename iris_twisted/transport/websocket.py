"""
The websocket transport (RFC 6455): Autobahn under an endpoint of our own, which
verifies TLS and can be cancelled at every step.

Autobahn's timers are all switched off: they ignore the reactor given and are cut
to whole seconds. Whoever opens and closes a transport keeps the time.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..net.interfaces import ITlsTrust
from ..net.limits import Limits
from .destination import Destination, Scheme
from .interfaces import IMessageReceiver, IMessageTransport, ITransportProvider
from .opening import openTransport
from .silent_logger import SilentLogger
from .websocket_connection import WebSocketConnection

__all__ = ["WebSocketTransport"]


class _Options(WebSocketClientFactory):  # type: ignore[misc]
    """What Autobahn wants to know, of many connections."""

    log = SilentLogger()

    def __init__(self, reactor: Any, limits: Limits, deflate: bool) -> None:
        super().__init__(reactor=reactor, protocols=["xmpp"])
        self.setProtocolOptions(
            maxFramePayloadSize=limits.frame,
            maxMessagePayloadSize=limits.frame,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=0,
            tcpNoDelay=True,
        )
        if deflate:

            def accept(response: object) -> PerMessageDeflateResponseAccept | None:
                if isinstance(response, PerMessageDeflateResponse):
                    return PerMessageDeflateResponseAccept(response, max_message_size=limits.frame)
                return None

            self.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()],
                perMessageCompressionAccept=accept,
            )
        # As attributes of a class: Autobahn copies them to every connection otherwise, and
        # prints each time what it copied.
        attributes: dict[str, Any] = {"CONFIG_ATTRS": ()}
        for name in WebSocketConnection.CONFIG_ATTRS:
            value = getattr(self, name)
            attributes[name] = staticmethod(value) if callable(value) else value
        self.connect = type("WebSocketConnection", (WebSocketConnection,), attributes)


class _Factory(Factory):
    """Builds one connection."""

    noisy = False

    def __init__(self, connection: WebSocketConnection, options: _Options) -> None:
        self._connection = connection
        self._options = options

    def buildProtocol(self, _address: object) -> WebSocketConnection:
        self._connection.factory = self._options
        return self._connection


@implementer(IPlugin, ITransportProvider)
class WebSocketTransport:
    """
    C{wss} and C{ws}.

    @param perMessageDeflate: offer compression (RFC 7692). Off by default: it
        costs a quarter more CPU per notification and a compressor per connection.
    """

    schemes = (Scheme("wss", True, 443), Scheme("ws", False, 80))
    dialects = ("stream", "framed")

    def __init__(self, perMessageDeflate: bool = False) -> None:
        self._deflate = perMessageDeflate
        # Those used last, for reactors compare by identity.
        self._options: tuple[Any, Limits, _Options] | None = None

    def open(
        self,
        destination: Destination,
        receiver: IMessageReceiver,
        reactor: Any,
        trust: ITlsTrust,
        limits: Limits,
    ) -> Deferred[IMessageTransport]:
        known = self._options
        if known is None or known[0] is not reactor or known[1] != limits:
            known = self._options = reactor, limits, _Options(reactor, limits, self._deflate)
        connection = known[2].connect(destination, receiver, limits)
        factory = _Factory(connection, known[2])
        name = f"the websocket server {destination.name}"
        return openTransport(reactor, destination, trust, name, factory, connection)
