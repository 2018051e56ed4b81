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

from ..connection.connection import IrisRtcConnection
from ..connection.interfaces import IIrisListener
from ..connection.retry import FullJitter, delayBefore
from ..connection.state import ConnectionState
from ..errors import ConnectionFailed, IrisError, TokenRefused
from ..net.addresses import checkToken
from ..net.steady_time import steadyTime

__all__ = ["IrisRtcService"]


class IrisRtcService(Service):
    """
    Keeps a connection up from start to stop. Unlike C{connect()} it goes on
    trying when the very first attempt fails, if that can help.

    @param waiting: called with the seconds until the next first attempt.
    @param waitForToken: when the token is refused, wait for L{updateToken} instead
        of closing the connection and ending. A C{tokenProvider} is asked again in either
        case, as long as the connection goes on.
    @param settings: see L{Settings<iris_twisted.connection.settings.Settings>}.
    @ivar connection: the L{IrisRtcConnection}.
    @ivar ended: fires with the L{IrisError} when trying on cannot help, or with
        C{None} when the service was stopped; each start of a service that was stopped
        makes a new one.
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
        self._starts = 0
        self._needsToken = False
        self._wasUp = False
        self._stopping = False
        self.connection._driver.whenErrorTold(self._errorTold)

    def startService(self) -> None:
        super().startService()
        if self._stopping or self.ended.called:
            # The one before is for the run that was stopped.
            self.ended = Deferred()
            self._stopping = False
        self._failures = 0
        self._connect()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._needsToken = self._wasUp = False
        self._starts += 1
        ended = self.ended
        # Not by the Deferred that is returned, which whoever stops the service may cancel.
        self.connection.close().addCallback(lambda _: self._end(None, ended))
        return self.connection.close()

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
        self._starts += 1
        driver, tried = self.connection._driver, self._token
        connecting = driver.connect(tried, self._routingId, self._url, waitForToken=True)
        about = self._starts, tried
        connecting.addCallbacks(
            self._connected, self._failed, callbackArgs=about, errbackArgs=about
        )

    def _connected(self, _: IrisRtcConnection, start: int, tried: str) -> None:
        if start == self._starts:
            self._wasUp = True
            self._failures = 0

    def _failed(self, failure: Failure, start: int, tried: str) -> None:
        error = failure.value
        if start != self._starts or not self.running or not isinstance(error, IrisError):
            return
        if self._token == tried:
            # The token provider may have had a better one meanwhile.
            self._token = self.connection._driver.tokens.token or tried
        if isinstance(error, TokenRefused) and self._waitForToken:
            self._needsToken = self._token == tried
            if not self._needsToken:
                self._connect()
            return
        self._failures += 1
        delay = delayBefore(self._policy, self._failures) if error.retryable else None
        if delay is None:
            self._end(error, self.ended)
            return
        self._log.info("trying again in {delay:.1f} seconds", delay=delay)
        self._again = steadyTime(self._reactor).callLater(delay, self._connect)
        self._tellWaiting(delay)

    def _errorTold(self, error: IrisError) -> None:
        if not self.running:
            return
        state = self.connection.state
        if isinstance(error, TokenRefused) and state is not ConnectionState.DISCONNECTED:
            if not self._waitForToken and not self.connection._driver.tokens.hasProvider:
                self._wasUp = False
                self.connection.close()
                self._end(error, self.ended)
        elif self._wasUp and state is ConnectionState.DISCONNECTED:
            self._wasUp = False
            self._end(ConnectionFailed(error.message, cause=error), self.ended)

    @staticmethod
    def _end(error: IrisError | None, ended: Deferred[IrisError | None]) -> None:
        if not ended.called:
            ended.callback(error)
