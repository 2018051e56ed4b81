"""
Carries out what the lifecycle machine decides: feeds it inputs, and performs
its effects after each transition, never inside one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..discovery.server_info import ServerInfo
from ..errors import (
    ConnectionFailed,
    IncorrectParameters,
    InvalidState,
    IrisError,
    SeeOther,
    TokenRefused,
)
from ..net.addresses import checkToken
from . import lifecycle
from .attempt import Connected
from .call_signaling import CallSignaling
from .events import ConnectionEvents
from .link import Link
from .pending_deferreds import PendingDeferreds
from .protocol_stack import ProtocolStack
from .retry_schedule import RetrySchedule
from .settings import Settings
from .state import ConnectionState
from .stats import Stats
from .token_keeper import TokenKeeper
from .totals import ConnectionCounters

__all__ = ["LifecycleDriver"]


class LifecycleDriver:
    """
    @param connection: whose callbacks are made.
    @ivar jid: the JID bound last, while there is one; C{serverInfo}: what discovery said last.
    @ivar counters: what is counted of it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        connection: object,
        tokenProvider: Callable[[], Any] | None,
    ) -> None:
        self.jid: str | None = None
        self.serverInfo: ServerInfo | None = None
        self._reactor = reactor
        self._settings = settings
        self._core = lifecycle.Core()
        self._machine = machine = lifecycle.newLifecycle(self._core)
        self._performing = False
        self.counters = ConnectionCounters(reactor, settings.totals)
        observe = self._observe if settings.telemetry else None
        self._tell = ConnectionEvents(reactor, connection, self.counters, observe)
        self._calls = CallSignaling(self._tell, settings.limits, self.counters)
        self.tryFastPath, self.iqRequested = self._calls.tryFastPath, self._calls.handleIqRequest
        self.pingAnswered = self.counters.pingAnswered
        self._connects = PendingDeferreds(self._tell.queue, connection, self._abandoned)
        self._closes = PendingDeferreds(self._tell.queue, None, lambda: None)
        self._retries = RetrySchedule(
            reactor,
            settings,
            lambda: self._input(machine.retryDue),
            lambda error: self._input(machine.gaveUp, error),
        )
        self.tokens = TokenKeeper(
            reactor,
            settings,
            tokenProvider,
            lambda: self._input(machine.tokenChanged),
            self._tell.error,
            self._tell.tokenExpiring,
        )
        self._dialects: dict[str, str] = {}
        self._stack: ProtocolStack | None = None
        self._attempt: Deferred[Any] | None = None
        self._attemptStopped = False
        self._tokenTried = ""
        self._waitForFirstToken = False
        self._reached: Connected | None = None
        self._link: Link | None = None
        self._lostLink: Link | None = None
        self._redirect: tuple[str, ServerInfo, str] | None = None

    # For the API

    @property
    def state(self) -> ConnectionState:
        return self.counters.state

    @property
    def stats(self) -> Stats:
        return attrs.evolve(self.counters.stats)

    def whenErrorTold(self, hear: Callable[[IrisError], None]) -> None:
        """Call this after each C{onConnectionError}."""
        self._tell.errorTold = hear

    @property
    def isAlive(self) -> bool:
        return self._aliveLink() is not None

    def connect(
        self,
        irisToken: Any,
        routingId: Any,
        eventManagerUrl: Any,
        *,
        waitForToken: bool = False,
    ) -> Deferred[Any]:
        """
        @param waitForToken: when the very first token is refused, ask the token provider
            for another, as for every later one.
        """
        if self._stack is not None:
            self._log.info("connect() while {state} starts nothing new", state=self.state.value)
        else:
            try:
                token = checkToken("irisToken", irisToken)
                where = self._dialects, routingId, eventManagerUrl
                self._stack = ProtocolStack(self._reactor, self._settings, *where)
            except IncorrectParameters as e:
                self._tell.error(e)
                return PendingDeferreds.refused(self._tell.queue, e)
            self.counters.refused.join(self, self._reactor)
            self._retries.begin()
            self._redirect = None
            self._waitForFirstToken = waitForToken
            self.tokens.begin(token)
        deferred = self._connects.add()
        self._inputByCall(self._machine.connect)
        return deferred

    def close(self) -> Deferred[Any]:
        deferred = self._closes.add()
        self._inputByCall(self._machine.close)
        return deferred

    def reject(self, payload: Any) -> Deferred[None]:
        return self._calls.reject(self._aliveLink(), payload)

    def _aliveLink(self) -> Link | None:
        link = self._link if self.state is ConnectionState.CONNECTED else None
        return link if link is not None and link.isAlive else None

    # LinkOwner, with C{tryFastPath}, C{iqRequested} and C{pingAnswered}

    def linkLost(self, link: Link, error: IrisError) -> None:
        self._link = None
        if self.state is not ConnectionState.CONNECTED:
            self._input(self._machine.freed)
            return
        self._log.info("session lost: {reason}", reason=error.message)
        self._lostLink = link
        if isinstance(error, SeeOther) and self._reached is not None:
            self._redirect = (error.uri, self._reached.info, self._reached.host)
        if self._retries.isHopeless(error):
            self._input(self._machine.sessionHopeless, error)
        else:
            self._input(self._machine.sessionLost, error)

    def inTurn(self, work: Callable[[], None]) -> None:
        self._tell.queue.do(work, always=True)

    # Inputs of the machine

    def _input(self, transition: Any, *args: object) -> None:
        transition(*args)
        self.counters.enter(self._machine.state())
        if not self._performing:
            self._performAll()

    def _inputByCall(self, transition: Any) -> None:
        """
        An input that the application gave. It may be called from within an effect, by its
        event manager or retry policy: the next call must not find half of this one undone.
        """
        transition()
        self.counters.enter(self._machine.state())
        self._performAll()

    def _performAll(self) -> None:
        outer, self._performing = self._performing, True
        try:
            while self._core.effects:
                self._perform(self._core.effects.pop(0))
        finally:
            self._performing = outer

    def _attemptUp(self, reached: Connected) -> None:
        self._attempt = None
        self._link = reached.link
        if self._attemptStopped or self._stack is None:
            reached.link.abort()
            return
        self._reached = reached
        self.serverInfo = reached.info
        self.jid = reached.link.session.jid
        self._calls.sessionUp(self._stack.syntax(reached.host), reached.link)
        if reached.link.resumed and self._lostLink is not None:
            reached.link.takeOverFrom(self._lostLink)
            self._lostLink = None
        self._input(self._machine.attemptUp)

    def _attemptFailed(self, failure: Failure) -> None:
        self._attempt = None
        if self._attemptStopped:
            self._input(self._machine.freed)
            return
        error = failure.value
        if not isinstance(error, IrisError):
            self._log.failure("an attempt failed by a bug", failure=failure)
            error = ConnectionFailed(
                f"the attempt failed by a bug: {type(error).__name__}", cause=error
            )
        self._log.info("attempt failed: {reason}", reason=error.message)
        if isinstance(error, TokenRefused):
            early = self.state is ConnectionState.CONNECTING
            waits = early and self._waitForFirstToken and self.tokens.hasProvider
            refused = self._machine.firstTokenRefused if waits else self._machine.tokenRefused
            self._input(refused, error)
        elif self._retries.isHopeless(error):
            self._input(self._machine.attemptHopeless, error)
        else:
            self._input(self._machine.attemptFailed, error)

    def _abandoned(self) -> None:
        """Nobody waits for connect() any more; before the first session that ends it."""
        early = self.state in (ConnectionState.CONNECTING, ConnectionState.DISCONNECTED)
        if self._stack is not None and early:
            self._inputByCall(self._machine.close)

    def _observe(self, event: dict[str, Any]) -> None:
        self._calls.sendStatistics(self._aliveLink(), event)

    # Effects of the machine

    def _perform(self, effect: lifecycle.Effect) -> None:
        match effect:
            case lifecycle.StartAttempt():
                self._startAttempt()
            case lifecycle.StopAttempt():
                self._attemptStopped = True
                if self._attempt is not None:
                    self._attempt.cancel()
            case lifecycle.Close():
                if self._link is not None:
                    self._link.closeGracefully()
            case lifecycle.StopWaiting():
                self._retries.stop()
            case lifecycle.SessionUp(again=again):
                self._sessionUp(again)
            case lifecycle.CompleteConnects():
                self._connects.settle()
            case lifecycle.SessionGone(error=error):
                self._retries.sessionLost()
                self._tell.disconnected(error.message)
            case lifecycle.ScheduleRetry(error=error, first=first):
                self._scheduleRetry(error, first)
            case lifecycle.AwaitToken(error=error):
                self._retries.pauseGiveUpTimer()
                self.tokens.refused(self._tokenTried, error)
            case lifecycle.Fail(error=error):
                self._end()
                self._tell.error(error)
                self._connects.settle(error)
                self._tell.queue.do(self.tokens.cancelStopped, always=True)
            case lifecycle.DiscardCallbacks():
                self._tell.closed()
                self._calls.sessionEnded()
                self._end()
                closed = InvalidState("the connection was closed before it was up")
                self._connects.withdraw(closed)
            case lifecycle.CompleteCloses():
                self._closes.settle()
                self._tell.queue.do(self.tokens.cancelStopped, always=True)

    def _startAttempt(self) -> None:
        assert self._stack is not None
        self._attemptStopped = False
        self._retries.startGiveUpTimer()
        self._tokenTried = self.tokens.token
        redirect, self._redirect = self._redirect, None
        resumption = None if self._lostLink is None else self._lostLink.resumable()
        attempt = self._stack.attempt(self._tokenTried, self, resumption, redirect).run()
        self._attempt = attempt
        attempt.addCallbacks(self._attemptUp, self._attemptFailed)
        if self._attemptStopped and self._attempt is not None:
            # By whom it asked to begin with.
            self._attempt.cancel()
        attempt.addErrback(lambda failure: self._log.failure("a bug", failure=failure))

    def _sessionUp(self, again: bool) -> None:
        self.counters.sessionUp(again=again)
        self._retries.sessionUp()
        self.tokens.accepted()
        self._log.info("connected as {jid}", jid=self.jid)
        lost = self._abandonLost()
        if lost is not None and lost.session.resumption is not None:
            self._tell.notResumed(lost.lastHeardDate)
        self._tell.connected(self.jid)
        self._connects.settle()

    def _scheduleRetry(self, error: IrisError, first: bool) -> None:
        plan = self._retries.next(error)
        if not self._retries.isWanted:
            # The policy closed the connection.
            return
        if plan is None:
            self._input(self._machine.gaveUp, self._retries.giveUp("by the retry policy"))
            return
        attempt, delay = plan
        self._tell.reconnecting(self.jid, attempt, delay, first=first)
        # The wait begins when the application knows of it.
        self._tell.queue.do(lambda: self._retries.wait(delay))

    def _end(self) -> None:
        self._retries.sessionEnded()
        self._stack = None
        self.jid = None
        self._reached = None
        self._abandonLost()
        self.tokens.stop()
        self.counters.refused.leave(self)

    def _abandonLost(self) -> Link | None:
        """The session lost last will not be resumed."""
        lost, self._lostLink = self._lostLink, None
        if lost is not None:
            lost.failPending()
        return lost
