"""
XMPP over direct TLS (RFC 6120 section 3, XEP-0368) as a transport of iris-twisted.

The stream dialect cuts its one endless document anywhere, so a byte stream fits it
as it is: what one read brings is a message.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from iris_twisted.interfaces import (
    IMessageReceiver,
    IMessageTransport,
    ITlsTrust,
    ITransportProvider,
)
from iris_twisted.net.limits import Limits
from iris_twisted.transport import explain, openTransport
from iris_twisted.transport.destination import Destination, Scheme

__all__ = ["TlsStreamTransport"]


@implementer(IMessageTransport, IHandshakeListener)
class _Stream(Protocol):
    """One connection; open when its TLS handshake is done."""

    transport: Any

    def __init__(self, name: str, receiver: IMessageReceiver) -> None:
        self.bytesReceived = 0
        self.opened: Deferred[IMessageTransport] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._name = name
        self._receiver = receiver
        self._isOpen = False

    def handshakeCompleted(self) -> None:
        if not self.opened.called:
            self._isOpen = True
            self.opened.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.bytesReceived += len(data)
        self._receiver.messageReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = explain(self._name, reason)
        if self._isOpen:
            self._receiver.transportLost(error)
        elif not self.opened.called:
            self.opened.errback(error)
        self.lost.callback(None)

    def send(self, message: bytes) -> None:
        self.transport.write(message)

    def close(self) -> None:
        # RFC 6120 section 4.4.
        self.transport.write(b"</stream:stream>")
        self.transport.loseConnection()

    def abort(self) -> None:
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()


@implementer(IPlugin, ITransportProvider)
class TlsStreamTransport:
    """C{xmpps}."""

    schemes = (Scheme("xmpps", True, 5223),)
    dialects = ("stream",)

    def open(
        self,
        destination: Destination,
        receiver: IMessageReceiver,
        reactor: Any,
        trust: ITlsTrust,
        limits: Limits,
    ) -> Deferred[IMessageTransport]:
        name = f"the XMPP server {destination.name}"
        stream = _Stream(name, receiver)
        factory = Factory.forProtocol(lambda: stream)
        factory.noisy = False
        return openTransport(reactor, destination, trust, name, factory, stream)
