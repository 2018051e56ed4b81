"""
L{IrisRtcConnection}: the API and its callbacks (contract.md).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..discovery.server_info import ServerInfo
from ..errors import IncorrectParameters, InvalidState
from ..net.addresses import checkToken
from .interfaces import IIrisListener
from .lifecycle_driver import LifecycleDriver
from .settings import Settings, checkProvider
from .state import ConnectionState
from .stats import Stats

__all__ = ["IrisListener", "IrisRtcConnection"]


@implementer(IIrisListener)
class IrisListener:
    """A listener that ignores everything: override what is of interest."""

    def onConnected(self) -> object:
        return None

    def onConnectionError(self, errorCode: int, errorMessage: str) -> object:
        return None

    def onDisconnected(self) -> object:
        return None

    def onReconnecting(self) -> object:
        return None

    def onNotification(self, notificationInfo: dict[str, Any]) -> object:
        return None

    def onEvent(self, event: dict[str, Any]) -> object:
        return None

    def onTokenAboutToExpire(self, secondsLeft: float) -> object:
        return None


@implementer(IIrisListener)
class IrisRtcConnection:
    """
    One connection to an Iris RTC platform, kept up for as long as it is wanted.

    Callbacks are given by subclassing, by assigning an attribute
    (C{connection.onNotification = ring}), or by a C{listener}.

    @param reactor: C{None} for the global one.
    @param listener: provides L{IIrisListener}.
    @param settings: to be shared with other connections; C{None} to make them of
        the C{keywords}.
    @param keywords: see L{Settings<iris_twisted.connection.settings.Settings>}; with C{settings},
        C{tokenProvider} only.
    @raise IncorrectParameters: naming the argument of the wrong type or value.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        listener: IIrisListener | None = None,
        settings: Settings | None = None,
        **keywords: Any,
    ) -> None:
        if listener is not None and not IIrisListener.providedBy(listener):
            raise IncorrectParameters(
                f"listener must provide IIrisListener, and {listener!r} does not"
            )
        if reactor is None:
            from twisted.internet import reactor
        self._listener: IIrisListener = IrisListener() if listener is None else listener
        if settings is None:
            settings = Settings(**keywords)
        elif set(keywords) - {"tokenProvider"}:
            raise IncorrectParameters("settings and keywords exclude each other")
        provider = keywords.get("tokenProvider")
        checkProvider("tokenProvider", provider)
        if provider is None:
            provider = settings.tokenProvider
        self._driver = LifecycleDriver(reactor, settings, self, provider)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value} {self.jid or ''}>".replace(" >", ">")

    @property
    def state(self) -> ConnectionState:
        """What the connection is doing."""
        return self._driver.state

    @property
    def jid(self) -> str | None:
        """The JID bound last, or C{None}."""
        return self._driver.jid

    @property
    def serverInfo(self) -> ServerInfo | None:
        """What discovery said last, with the TURN credentials; C{None} before."""
        return self._driver.serverInfo

    @property
    def tokenExpiry(self) -> float | None:
        """When the iris token in use expires, epoch seconds; C{None} when nothing says so."""
        return self._driver.tokens.expiry

    @property
    def stats(self) -> Stats:
        """The counters so far: a copy."""
        return self._driver.stats

    @property
    def pingRoundTrip(self) -> float | None:
        """Seconds that the last answered ping took, or C{None}."""
        return self._driver.counters.stats.pingRoundTrip

    def connect(
        self, irisToken: str, routingId: str, eventManagerUrl: str
    ) -> Deferred[IrisRtcConnection]:
        """
        Bring up a session and keep it up until L{close}.

        While connected, connecting or reconnecting it starts nothing: its
        arguments are ignored, and its Deferred follows what is under way.

        @param irisToken: a JWT, for the event manager.
        @param routingId: C{user@domain}.
        @param eventManagerUrl: C{host}, C{host:port} or an C{https://} URL.
        @return: fires with this connection when it is up; fails with the error that
            C{onConnectionError} gets: L{IncorrectParameters}, L{ConnectionFailed
            <iris_twisted.errors.ConnectionFailed>}, ...; with L{InvalidState} when
            it is closed meanwhile. Cancelling it closes the connection, unless
            another C{connect()} waits for the same or it is up.
        """
        return self._driver.connect(irisToken, routingId, eventManagerUrl)

    def close(self) -> Deferred[None]:
        """
        End everything, from any state. The only callback that follows is the
        C{onDisconnected} owed.

        @return: fires with C{None} when the socket is closed and nothing is pending.
        """
        return self._driver.close()

    def isConnectionAlive(self) -> bool:
        """Whether the XMPP session is up and the server not overdue with an answer."""
        return self._driver.isAlive

    def rejectSession(self, notificationPayload: dict[str, Any]) -> Deferred[None]:
        """
        Reject the call that a notification announced.

        @param notificationPayload: as C{onNotification} got it.
        @return: fires with C{None} when the server answered; fails with
            L{NotConnected<iris_twisted.errors.NotConnected>}, with
            L{IncorrectParameters} naming the field that is missing, with the server's
            L{StanzaError<iris_twisted.errors.StanzaError>}, or with L{NoAnswer
            <iris_twisted.errors.NoAnswer>} after C{iqTimeout}.
        """
        return self._driver.reject(notificationPayload)

    def updateToken(self, irisToken: str | None = None) -> None:
        """
        Use another token from the next attempt on, and at once if one waits for it.

        @param irisToken: C{None} asks the token provider.
        @raise IncorrectParameters: the old token is kept.
        @raise InvalidState: without an argument, when there is no connection.
        """
        if irisToken is not None:
            self._driver.tokens.replace(checkToken("irisToken", irisToken))
        elif self.state is ConnectionState.DISCONNECTED:
            raise InvalidState("updateToken() without a token needs a connection: call connect()")
        else:
            self._driver.tokens.ask()

    # The callbacks: each goes to the listener unless it is overridden or assigned.

    def onConnected(self) -> object:
        return self._listener.onConnected()

    def onConnectionError(self, errorCode: int, errorMessage: str) -> object:
        return self._listener.onConnectionError(errorCode, errorMessage)

    def onDisconnected(self) -> object:
        return self._listener.onDisconnected()

    def onReconnecting(self) -> object:
        return self._listener.onReconnecting()

    def onNotification(self, notificationInfo: dict[str, Any]) -> object:
        return self._listener.onNotification(notificationInfo)

    def onEvent(self, event: dict[str, Any]) -> object:
        return self._listener.onEvent(event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> object:
        return self._listener.onTokenAboutToExpire(secondsLeft)
