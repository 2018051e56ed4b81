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
from .assembly import Floors
from .attempt import Reached
from .call_signaling import Calls
from .events import Announcements
from .link import Link
from .pending_deferreds import Waiters
from .retry_schedule import Retrying
from .settings import Settings
from .state import ConnectionState
from .stats import Stats
from .token_keeper import TokenKeeper
from .totals import Tally

__all__ = ["LifecycleDriver"]


class LifecycleDriver:
    """
    @param connection: whose callbacks are made.
    @ivar jid: the JID bound last, while there is one; C{serverInfo}: what discovery said last.
    @ivar tally: what is counted of it.
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
        self.tally = Tally(reactor, settings.totals)
        observe = self._observe if settings.telemetry else None
        self._tell = Announcements(reactor, connection, self.tally, observe)
        self._calls = Calls(self._tell, settings.limits, self.tally)
        self.messageGlanced, self.iqRequested = self._calls.glanced, self._calls.requested
        self.pingAnswered = self.tally.pingAnswered
        self._connects = Waiters(self._tell.queue, connection, self._abandoned)
        self._closes = Waiters(self._tell.queue, None, lambda: None)
        self._retrying = Retrying(
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
        self._floors: Floors | None = None
        self._attempt: Deferred[Any] | None = None
        self._attemptStopped = False
        self._tokenTried = ""
        self._waitForFirstToken = False
        self._reached: Reached | None = None
        self._link: Link | None = None
        self._lostLink: Link | None = None
        self._hop: tuple[str, ServerInfo, str] | None = None

    # For the API

    @property
    def state(self) -> ConnectionState:
        return self.tally.state

    @property
    def stats(self) -> Stats:
        return attrs.evolve(self.tally.stats)

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
        if self._floors is not None:
            self._log.info("connect() while {state} starts nothing new", state=self.state.value)
        else:
            try:
                token = checkToken("irisToken", irisToken)
                where = self._dialects, routingId, eventManagerUrl
                self._floors = Floors(self._reactor, self._settings, *where)
            except IncorrectParameters as e:
                self._tell.error(e)
                return Waiters.refused(self._tell.queue, e)
            self._retrying.begin()
            self._hop = None
            self._waitForFirstToken = waitForToken
            self.tokens.begin(token)
        deferred = self._connects.join()
        self._input(self._machine.connect)
        return deferred

    def close(self) -> Deferred[Any]:
        deferred = self._closes.join()
        self._input(self._machine.close)
        return deferred

    def reject(self, payload: Any) -> Deferred[None]:
        return self._calls.reject(self._aliveLink(), payload)

    def _aliveLink(self) -> Link | None:
        link = self._link if self.state is ConnectionState.CONNECTED else None
        return link if link is not None and link.isAlive else None

    # LinkOwner, with C{messageGlanced}, C{iqRequested} and C{pingAnswered}

    def linkLost(self, link: Link, error: IrisError) -> None:
        self._link = None
        if self.state is not ConnectionState.CONNECTED:
            self._input(self._machine.freed)
            return
        self._log.info("session lost: {reason}", reason=error.message)
        self._lostLink = link
        if isinstance(error, SeeOther) and self._reached is not None:
            self._hop = (error.uri, self._reached.info, self._reached.host)
        if self._retrying.isHopeless(error):
            self._input(self._machine.sessionHopeless, error)
        else:
            self._input(self._machine.sessionLost, error)

    def inTurn(self, work: Callable[[], None]) -> None:
        self._tell.queue.do(work, always=True)

    # Inputs of the machine

    def _input(self, transition: Any, *args: object) -> None:
        transition(*args)
        self.tally.enter(self._machine.state())
        if self._performing:
            return
        self._performing = True
        try:
            while self._core.effects:
                self._perform(self._core.effects.pop(0))
        finally:
            self._performing = False

    def _attemptUp(self, reached: Reached) -> None:
        self._attempt = None
        self._link = reached.link
        if self._attemptStopped or self._floors is None:
            reached.link.drop()
            return
        self._reached = reached
        self.serverInfo = reached.info
        self.jid = reached.link.session.jid
        self._calls.speak(self._floors.syntax(reached.host), reached.link)
        if reached.link.resumed and self._lostLink is not None:
            reached.link.succeed(self._lostLink)
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
        elif self._retrying.isHopeless(error):
            self._input(self._machine.attemptHopeless, error)
        else:
            self._input(self._machine.attemptFailed, error)

    def _abandoned(self) -> None:
        """Nobody waits for connect() any more; before the first session that ends it."""
        early = self.state in (ConnectionState.CONNECTING, ConnectionState.DISCONNECTED)
        if self._floors is not None and early:
            self._input(self._machine.close)

    def _observe(self, event: dict[str, Any]) -> None:
        self._calls.report(self._aliveLink(), event)

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
                    self._link.leave()
            case lifecycle.StopWaiting():
                self._retrying.stop()
            case lifecycle.SessionUp(again=again):
                self._sessionUp(again)
            case lifecycle.Confirm():
                self._connects.settle()
            case lifecycle.SessionGone(error=error):
                self._retrying.sessionLost()
                self._tell.disconnected(error.message)
            case lifecycle.ScheduleRetry(error=error, first=first):
                self._scheduleRetry(error, first)
            case lifecycle.AwaitToken(error=error):
                self._retrying.holdPatience()
                self.tokens.refused(self._tokenTried, error)
            case lifecycle.Fail(error=error):
                self._end()
                self._tell.error(error)
                self._connects.settle(error)
                self._tell.queue.do(self.tokens.cancelStopped, always=True)
            case lifecycle.Farewell():
                self._tell.farewell()
                self._calls.forget()
                self._end()
                closed = InvalidState("the connection was closed before it was up")
                self._connects.withdraw(closed)
            case lifecycle.Freed():
                self._closes.settle()
                self._tell.queue.do(self.tokens.cancelStopped, always=True)

    def _startAttempt(self) -> None:
        assert self._floors is not None
        self._attemptStopped = False
        self._retrying.runPatience()
        self._tokenTried = self.tokens.token
        hop, self._hop = self._hop, None
        resumption = None if self._lostLink is None else self._lostLink.resumable()
        attempt = self._floors.attempt(self._tokenTried, self, resumption, hop).run()
        self._attempt = attempt
        attempt.addCallbacks(self._attemptUp, self._attemptFailed)
        attempt.addErrback(lambda failure: self._log.failure("a bug", failure=failure))

    def _sessionUp(self, again: bool) -> None:
        self.tally.sessionUp(again=again)
        self._retrying.sessionUp()
        self.tokens.accepted()
        self._log.info("connected as {jid}", jid=self.jid)
        lost = self._abandonLost()
        if lost is not None and lost.session.resumption is not None:
            self._tell.notResumed(lost.lastHeardDate)
        self._tell.connected(self.jid)
        self._connects.settle()

    def _scheduleRetry(self, error: IrisError, first: bool) -> None:
        plan = self._retrying.next(error)
        if plan is None:
            self._input(self._machine.gaveUp, self._retrying.surrender("by the retry policy"))
            return
        attempt, delay = plan
        self._tell.reconnecting(self.jid, attempt, delay, first=first)
        # The wait begins when the application knows of it.
        self._tell.queue.do(lambda: self._retrying.wait(delay))

    def _end(self) -> None:
        self._floors = None
        self.jid = None
        self._abandonLost()
        self.tokens.stop()

    def _abandonLost(self) -> Link | None:
        """The session lost last will not be resumed."""
        lost, self._lostLink = self._lostLink, None
        if lost is not None:
            lost.abandon()
        return lost
