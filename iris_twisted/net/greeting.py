"""
A connection that is opened and closed, and says nothing: whether somebody is there, and whether
both sides accept each other's certificate.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import IrisError
from .failures import explain
from .steady_time import steadyTime

__all__ = ["greet"]

# Seconds for the other side to close too.
_CLOSING = 3.0


@implementer(IHandshakeListener)
class _Greeting(Protocol):
    """
    @ivar outcome: fires when all is right, fails with what is not.
    @ivar gone: fires when it is closed.
    """

    transport: Any

    def __init__(self, reactor: Any, secure: bool) -> None:
        self._time = steadyTime(reactor)
        self._secure = secure
        self._isThere = False
        self._closing: IDelayedCall | None = None
        self.outcome: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        if not self._secure:
            self._close()

    def handshakeCompleted(self) -> None:
        # What a server thinks of our certificate it says behind the handshake (RFC 8446 section
        # 4.4.2), before it answers that we close.
        self._close()

    def _close(self) -> None:
        self._isThere = True
        self._closing = self._time.callLater(_CLOSING, self.transport.abortConnection)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.gone.callback(None)
        if self.outcome.called:
            return
        # How it was closed says nothing, but for an alert.
        if self._isThere and not reason.check(SSL.Error):
            self.outcome.callback(None)
        else:
            self.outcome.errback(reason)


async def greet(reactor: Any, what: str, endpoint: IStreamClientEndpoint, secure: bool) -> None:
    """
    @param what: is at the other end, for errors.
    @param secure: whether TLS is spoken there.
    @raise ConnectionFailed: when nobody is there; L{CertificateRefused} or L{CertificateWanted}
        when it is a certificate that is not accepted.
    """
    greeting = _Greeting(reactor, secure)
    factory = Factory.forProtocol(lambda: greeting)
    factory.noisy = False
    try:
        await endpoint.connect(factory)
        try:
            await greeting.outcome
        finally:
            if not greeting.gone.called:
                greeting.transport.abortConnection()
                await greeting.gone
    except (IrisError, CancelledError):
        raise
    except Exception:
        raise explain(what, Failure()) from None
