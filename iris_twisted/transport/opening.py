"""
What every transport over a socket does to open: connect, wait for its own
handshake, and leave nothing behind when either fails or is cancelled.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from ..net.endpoints import clientEndpoint
from ..net.failures import explain
from ..net.interfaces import ITlsTrust
from .destination import Destination
from .interfaces import IMessageTransport

__all__ = ["Opening", "openTransport"]


class Opening(Protocol):
    """
    A protocol on its way to be a transport.

    @ivar opened: fires with the transport when its handshake is done; fails with an
        L{IrisError<iris_twisted.errors.IrisError>} once the socket is gone before.
    @ivar lost: fires when the socket is gone, whatever went before.
    """

    opened: Deferred[IMessageTransport]
    lost: Deferred[None]

    def abort(self) -> None:
        """Close the socket now."""


def openTransport(
    reactor: Any,
    destination: Destination,
    trust: ITlsTrust,
    name: str,
    factory: IProtocolFactory,
    opening: Opening,
) -> Deferred[IMessageTransport]:
    """
    Carry out C{ITransportProvider.open}, whose promises this keeps.

    @param name: what is connected to, as the beginning of a sentence: "the XMPP
        server xmpp.example.test:5223".
    @param factory: builds C{opening}.
    @return: fires as C{opening.opened} does; fails with L{ConnectionFailed
        <iris_twisted.errors.ConnectionFailed>} when there is no connection; can be
        cancelled.
    """

    async def run() -> IMessageTransport:
        endpoint = clientEndpoint(
            reactor,
            trust,
            destination.host,
            destination.port,
            secure=destination.scheme.secure,
            proxy=destination.proxy,
        )
        try:
            await endpoint.connect(factory)
        except CancelledError:
            raise
        except Exception:
            raise explain(name, Failure()) from None
        try:
            return await opening.opened
        except CancelledError:
            opening.abort()
            await opening.lost
            raise

    return Deferred.fromCoroutine(run())
