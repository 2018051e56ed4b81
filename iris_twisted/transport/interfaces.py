"""
The interfaces of floor 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from ..net.interfaces import ITlsTrust
from ..net.limits import Limits
from .destination import Destination, Scheme

__all__ = ["IMessageReceiver", "IMessageTransport", "ITransportProvider"]


class IMessageReceiver(Interface):
    """What a transport delivers to: floor 5 on behalf of floor 3."""

    def messageReceived(message: bytes) -> None:
        """
        Called in order for each text message; for a byte stream, for each read.
        Never before C{open}'s Deferred was given to the caller has fired.

        It may make callbacks of the application, which may call C{send}, C{close} and
        C{abort}: so it must not be called from within a call of the transport.

        @param message: UTF-8. It need not be checked yet: the XML parser does.
        """

    def transportLost(error: Exception) -> None:
        """
        Called exactly once, last, when the socket is gone; only after C{open} fired.

        @param error: an L{IrisError<iris_twisted.errors.IrisError>}:
            C{PeerClosed}, C{ServerLeaving} for a polite going-away (RFC 6455
            1001), or C{ProtocolViolation}.
        """


class IMessageTransport(Interface):
    """Floor 2: one open connection."""

    bytesReceived: int = Attribute(
        "How many bytes have come in so far: any change is a sign of life."
    )

    def send(message: bytes) -> None:
        """Send one text message. Does nothing once the connection is closing."""

    def close() -> None:
        """
        Close politely; C{transportLost} follows when the peer agrees, which may
        be never: the caller keeps the time and calls C{abort}.
        """

    def abort() -> None:
        """Close now; C{transportLost} follows within a reactor turn or two."""

    def pauseProducing() -> None:
        """Stop reading from the socket: the receiver cannot take more."""

    def resumeProducing() -> None:
        """Read from the socket again."""


class ITransportProvider(IPlugin):
    """
    Opens transports for some URL schemes. The built-in websocket transport and
    those of other distributions come through the same door: an instance in a
    module of C{twisted.plugins}, or the C{transport} argument.
    """

    schemes: Sequence[Scheme] = Attribute("The URL schemes that it serves.")
    dialects: Sequence[str] = Attribute(
        "The dialects (protocol.md section 3) that make sense on it, the likelier first."
    )

    def open(
        destination: Destination,
        receiver: IMessageReceiver,
        reactor: Any,
        trust: ITlsTrust,
        limits: Limits,
    ) -> Deferred[IMessageTransport]:
        """
        Called for each attempt, with a destination of one of its schemes.

        @param reactor: for C{IReactorTCP} and C{IReactorTime}.
        @param limits: C{limits.frame} bounds what may be buffered of one message.
        @return: fires with the open transport; fails with
            L{ConnectionFailed<iris_twisted.errors.ConnectionFailed>} (or its
            C{CertificateRefused}) once the socket is gone. Cancelling it
            closes the socket.
        """
