"""
A connection as a service: for applications, and for C{twist iris}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from .addresses import checkToken
from .connection import IrisRtcConnection
from .errors import ConnectionFailed, IrisError, TokenRefused
from .interfaces import IIrisListener
from .retry import FullJitter
from .values import ConnectionState

__all__ = ["IrisRtcService"]


class IrisRtcService(Service):
    """
    Keeps a connection up from start to stop. Unlike C{connect()} it goes on
    trying when the very first attempt fails, if that can help.

    @param waiting: called with the seconds until the next first attempt.
    @param waitForToken: when the token is refused, wait for L{updateToken} instead
        of ending.
    @param settings: see L{Settings<iris_twisted.settings.Settings>}.
    @ivar connection: the L{IrisRtcConnection}.
    @ivar ended: fires with the L{IrisError} when trying on cannot help, or with
        C{None} when the service was stopped.
    """

    _log = Logger()

    def __init__(
        self,
        irisToken: str,
        routingId: str,
        eventManagerUrl: str,
        *,
        reactor: Any = None,
        listener: IIrisListener | None = None,
        waitForToken: bool = True,
        waiting: Callable[[float], None] = lambda seconds: None,
        **settings: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.connection = IrisRtcConnection(reactor, listener=listener, **settings)
        self.ended: Deferred[IrisError | None] = Deferred()
        self._reactor = reactor
        shared = settings.get("settings")
        self._policy = shared.retryPolicy if shared else settings.get("retryPolicy") or FullJitter()
        self._token = irisToken
        self._routingId = routingId
        self._url = eventManagerUrl
        self._failures = 0
        self._again: IDelayedCall | None = None
        self._waitForToken = waitForToken
        self._tellWaiting = waiting
        self._tried = irisToken
        self._needsToken = False
        self._wasUp = False
        self._tellError = self.connection.onConnectionError
        self.connection.onConnectionError = self._errorTold  # type: ignore[method-assign]

    def startService(self) -> None:
        super().startService()
        self._connect()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._needsToken = False
        closed = self.connection.close()
        return closed.addCallback(lambda _: self._end(None))

    def updateToken(self, irisToken: str) -> None:
        """
        Use another token; see L{IrisRtcConnection.updateToken}.

        @raise IncorrectParameters: the old token is kept.
        """
        self._token = checkToken("irisToken", irisToken)
        if self._needsToken:
            self._connect()
        else:
            self.connection.updateToken(irisToken)

    def _connect(self) -> None:
        self._again = None
        self._needsToken = False
        self._tried = self._token
        connecting = self.connection.connect(self._token, self._routingId, self._url)
        connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, _: IrisRtcConnection) -> None:
        self._wasUp = True
        self._failures = 0

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not self.running or not isinstance(error, IrisError):
            return
        if isinstance(error, TokenRefused) and self._waitForToken:
            self._needsToken = self._token == self._tried
            if not self._needsToken:
                self._connect()
            return
        self._failures += 1
        delay = self._policy.delay(self._failures) if error.retryable else None
        if delay is None:
            self._end(error)
            return
        self._log.info("trying again in {delay:.1f} seconds", delay=delay)
        self._again = self._reactor.callLater(delay, self._connect)
        self._tellWaiting(delay)

    def _errorTold(self, errorCode: int, errorMessage: str) -> object:
        result = self._tellError(errorCode, errorMessage)
        if self._wasUp and errorCode == TokenRefused.code and not self._waitForToken:
            self._end(TokenRefused(errorMessage))
        elif self._wasUp and self.connection.state is ConnectionState.DISCONNECTED:
            self._wasUp = False
            self._end(ConnectionFailed(errorMessage))
        return result

    def _end(self, error: IrisError | None) -> None:
        if not self.ended.called:
            self.ended.callback(error)
