"""
The interfaces of the floors, from the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from ..values import Destination, Limits, Scheme, ServerInfo

if TYPE_CHECKING:
    from ..rtc.private_iqs import Incoming
    from ..xmpp.elements import Element
    from ..xmpp.events import Resumption, SessionEvent

__all__ = [
    "IEventManager",
    "IIrisListener",
    "IMessageReceiver",
    "IMessageTransport",
    "INotificationSyntax",
    "IRetryPolicy",
    "ITlsTrust",
    "ITransportProvider",
    "IXmppSession",
]


class ITlsTrust(Interface):
    """Which certificates are trusted; shared by discovery and transports."""

    def forHost(host: str) -> IOpenSSLClientConnectionCreator:
        """
        Called for each TLS connection to be opened.

        @return: what verifies the certificate chain and the name C{host}.
        """


class IEventManager(Interface):
    """Floor 1: finds a websocket server."""

    def discover(irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        """
        Called once per attempt (and once more when SASL refuses the websocket token).

        @param traceId: the same for every retry of one connection.
        @return: fires with the answer; fails with L{TokenRefused
            <iris_twisted.errors.TokenRefused>}, L{ApiParameters
            <iris_twisted.errors.ApiParameters>} or L{ConnectionFailed
            <iris_twisted.errors.ConnectionFailed>}. Cancelling it leaves no
            request, socket or timer behind.
        """


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


class IXmppSession(Interface):
    """
    Floor 3: one XMPP session, without I/O. Bytes in, events out; what is to be
    sent is fetched with L{takeOutgoing}; time is told, never asked.
    """

    isUp: bool = Attribute("Whether the session is bound and not ended.")
    jid: str | None = Attribute("The JID bound, or C{None} before.")
    sawFeatures: bool = Attribute("Whether the server said anything that settles the dialect.")

    resumption: Resumption | None = Attribute("What a later session needs to resume this one.")

    def start() -> None:
        """Called first, once, when the transport is open."""

    def receive(message: bytes) -> Sequence[SessionEvent]:
        """Called for each message; the events it brought, in order. Never raises for bad input."""

    surroundings: str | None = Attribute(
        "The namespace in force around the next message, C{''} for none; C{None} when that "
        "message must be read by L{receive}, because the session is not up or in the middle "
        "of a stanza."
    )

    def admit(attributes: dict[str, str]) -> Element:
        """
        Called in the place of L{receive} for a message that is one whole IQ request,
        when L{surroundings} allows it; the caller has read it.

        @return: what to L{reply} to.
        """

    def acknowledge(attributes: dict[str, str]) -> None:
        """Like L{admit} and L{reply} in one, when nothing came in between."""

    def takeOutgoing() -> Sequence[bytes]:
        """The messages to send since the last call, in order."""

    def sendIq(
        kind: str,
        payload: Sequence[Element],
        now: float,
        *,
        to: str | None = None,
        idSuffix: str = "",
    ) -> str:
        """
        Queue an IQ of the type C{kind}.

        @param now: seconds; the answer is due C{iqTimeout} after it.
        @return: its id, unpredictable; C{IqAnswered} or C{IqFailed} follows with it.
        """

    def sendStanza(stanza: Element) -> None:
        """
        Queue a message or a presence.

        @raise IncorrectParameters: for a character that XML does not allow.
        """

    def sendPing(now: float) -> None:
        """Queue a ping (XEP-0199 section 4.2); C{PingAnswered} follows, if anything does."""

    def reply(request: Element, condition: str | None = None) -> None:
        """
        Called for each L{IqRequest}, once it is done with: queue the answer
        (RFC 6120 section 8.2.3). When the connection is lost and the session can
        be resumed, the answer goes with the resumption.

        @param condition: the error to answer with, or C{None} for a result.
        """

    def expire(now: float) -> Sequence[SessionEvent]:
        """Called when the answer to an IQ is due: those that are overdue."""

    def requestAcknowledgement() -> Sequence[SessionEvent]:
        """
        Called now and then: queue what keeps both sides' books short (XEP-0198 section 4),
        or end when the server has kept none for far too long.
        """

    def close() -> None:
        """End the session; queue what ends the stream politely, where the dialect has it."""

    def lost() -> None:
        """Called when the transport is gone."""


class INotificationSyntax(Interface):
    """Floor 4: private IQs and what they mean (protocol.md section 5)."""

    def read(iq: Element, jid: str | None) -> Incoming:
        """
        Called for each IQ request.

        @param jid: the JID bound.
        @return: what it is: a notification, a request to leave, or a refusal.
        """

    def glance(message: bytes, surroundings: str) -> tuple[dict[str, str], dict[str, Any]] | None:
        """
        Called for each message first: whether it is one notification in its usual form.

        @param surroundings: the namespace in force around it.
        @return: the attributes of the IQ, and what L{read} would have made of it; C{None}
            for everything that is to be read the ordinary way.
        """

    def reject(payload: Mapping[str, Any]) -> tuple[str, Sequence[Element]]:
        """
        The reject for a notification.

        @return: the addressee and the payload of the IQ.
        @raise IncorrectParameters: naming the field that is missing or unusable.
        """

    def statistics(event: dict[str, Any]) -> tuple[str, str, Sequence[Element]]:
        """
        Called for each event when telemetry is on.

        @return: the addressee, the end of the id, and the payload of the IQ.
        """


class IRetryPolicy(Interface):
    """When to try again."""

    def delay(attempt: int) -> float | None:
        """
        Called before each reconnecting attempt.

        @param attempt: 1 for the first since a session was last stable.
        @return: seconds to wait before it, or C{None} to give up.
        """


class IIrisListener(Interface):
    """
    Floor 5's callbacks (contract.md). Each is called from the reactor, never
    from within a call of the API or another callback of the same connection. Each may return a
    Deferred or a coroutine. One that fails is logged, and harms nothing else.
    """

    def onConnected() -> object:
        """The session is up: bound, or resumed."""

    def onConnectionError(errorCode: int, errorMessage: str) -> object:
        """An attempt ended for good, or the token was refused and a new one is awaited."""

    def onDisconnected() -> object:
        """Once for each onConnected, when that session is lost or closed."""

    def onReconnecting() -> object:
        """Once per loss, after onDisconnected, before the first new attempt."""

    def onNotification(notificationInfo: dict[str, Any]) -> object:
        """A call or another notification; it is acknowledged when this is done."""

    def onEvent(event: dict[str, Any]) -> object:
        """Every event of protocol.md section 6, just before the callback it belongs to."""

    def onTokenAboutToExpire(secondsLeft: float) -> object:
        """The iris token expires soon; once with 0 when it has expired already."""
