"""
The promises of contract.md as code, for whatever drives connections: the state machines of
hypothesis with a clock and no network, the soak with sockets.

Each L{WatchedConnection} is the listener of one connection and the way to its API. What is
promised of single calls is looked at as they happen; what is promised of times, counters and
states, whenever C{check} is called.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from iris_twisted import IrisFleet, IrisRtcConnection
from iris_twisted.connection.settings import Settings
from iris_twisted.connection.state import ConnectionState
from iris_twisted.connection.stats import Stats
from iris_twisted.errors import IrisError, TokenRefused
from iris_twisted.fleet.service import IrisRtcService
from iris_twisted.interfaces import IIrisListener

__all__ = ["BrokenPromise", "WatchedConnection", "WatchedFleet", "WatchedService", "counters"]

# Notifications that one read may bring, where nobody says otherwise.
_ONE_READ = 8
# What may be told of tokens that are refused, besides once for each: the one in use, and once
# that the provider gives none.
_OWN_REFUSALS = 2
_DISCONNECTED = "SDK_WebSocketServerDisconnected"


class BrokenPromise(AssertionError):
    """Says which promise, who broke it, and what happened there last."""


def counters(stats: Stats) -> tuple[int, ...]:
    """What never falls."""
    return (
        stats.connects,
        stats.reconnects,
        stats.notifications,
        stats.rejected,
        stats.forbidden,
        stats.callbackErrors,
    )


@attrs.define(eq=False)
class Owed:
    """
    A Deferred of the API.

    @ivar within: seconds in which it must fire; C{None} where nothing is promised.
    """

    call: str
    deferred: Deferred[Any]
    since: float
    within: float | None


class Watched:
    """
    @param name: in reports.
    @param now: steady seconds.
    @ivar last: what happened last.
    """

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.name = name
        self.now = now
        self.last: deque[str] = deque(maxlen=40)
        self._breaches: list[str] = []

    def note(self, what: str) -> None:
        """Something happened."""
        self.last.append(f"{self.now():.3f} {what}")

    def breach(self, promise: int | str, words: str) -> None:
        """A promise is broken; L{check} will tell, since who is called may catch exceptions."""
        self._breaches.append(f"{self.name}, promise {promise}: {words}")
        self.note(f"BROKEN: promise {promise}: {words}")

    def check(self) -> None:
        """@raise BrokenPromise: when one is."""
        if self._breaches:
            raise BrokenPromise("\n  ".join([self._breaches[0], *self.last]))


@implementer(IIrisListener)
class WatchedConnection(Watched):
    """
    One connection.

    @ivar react: called with the name and the arguments of each callback, and with e.g.
        C{"close()"} and the outcome where a Deferred fires; what it returns or raises is
        what the callback does.
    @ivar peerIsPolite: whether the peer joins in a close at once.
    @ivar oneRead: notifications that one read may bring.
    @ivar seesRefusals: whether somebody calls L{tokenIsRefused}.
    @ivar slack: seconds by which anything may be late: the length of a test's steps, or how
        long a machine with better things to do lets us wait.
    """

    connection: IrisRtcConnection
    settings: Settings

    def __init__(self, name: str, now: Callable[[], float], slack: float = 1.0) -> None:
        super().__init__(name, now)
        self.react: Callable[[str, tuple[Any, ...]], Any] = lambda name, args: None
        self.peerIsPolite: Callable[[], bool] = lambda: False
        self.slack = slack
        self.oneRead = _ONE_READ
        self.seesRefusals = True
        self.owed: list[Owed] = []
        self.settled: list[Owed] = []
        self.unanswered = 0
        self._generation = 0
        self._inApi: list[str] = []
        self._inCallback: list[str] = []
        self._up = self._reconnecting = self._runFailed = False
        # The callbacks since close() was called; None while it is not closed.
        self._sinceClose: list[str] | None = None
        self._closeFired = False
        self._tokens: set[str] = set()
        self._refusals = 0
        self._counted: tuple[int, ...] = ()
        self._deadSince: float | None = None
        self._provided: tuple[float, float] | None = None
        self._warned: set[float | None] = {None}
        self._expired: tuple[float, float] | None = None

    def watch(self, connection: IrisRtcConnection, settings: Settings) -> WatchedConnection:
        """This is the connection."""
        self.connection, self.settings = connection, settings
        return self

    @property
    def isClosed(self) -> bool:
        """Whether close() was called last."""
        return self._sinceClose is not None

    # The API

    def connect(self, token: str, routingId: str, url: str) -> Deferred[Any]:
        first = self.connection.state is ConnectionState.DISCONNECTED
        if first:
            self.began(token)
        within = self.settings.connectTimeout + self.settings.closeTimeout if first else None
        work = lambda: self.connection.connect(token, routingId, url)  # noqa: E731
        return self._asked("connect()", work, within)

    def close(self) -> Deferred[Any]:
        return self._ending("close()", self.connection.close)

    def reject(self, payload: dict[str, Any]) -> Deferred[Any]:
        work = lambda: self.connection.rejectSession(payload)  # noqa: E731
        return self._asked("rejectSession()", work, self.settings.iqTimeout)

    def updateToken(self, token: str | None = None) -> None:
        """An error of the API is none of the connection's."""
        self._provided = None
        if token is not None:
            self.given(token)
        try:
            self.within("updateToken()", lambda: self._updateToken(token))
        except IrisError as e:
            self.note(f"updateToken() raised {type(e).__name__}")

    def cancel(self, owed: Owed) -> None:
        """Cancel a Deferred of the API."""
        self.within(f"cancelling {owed.call}", owed.deferred.cancel)

    def _updateToken(self, token: str | None) -> None:
        self.connection.updateToken(token)

    def within(self, call: str, work: Callable[[], Any]) -> Any:
        """Call the API, which must make no callback meanwhile."""
        self.note(call)
        self._inApi.append(call)
        try:
            return work()
        finally:
            self._inApi.pop()

    def began(self, token: str) -> None:
        """A run of the connection begins."""
        self._sinceClose = None
        self._closeFired = self._runFailed = False
        self._tokens.clear()
        self._refusals = 0
        self._provided = None
        self.given(token)

    def _ending(self, call: str, work: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        # Before it: nothing may be told while it runs either, and its Deferred may fire at once.
        self._sinceClose = []
        self._closeFired = False
        self.unanswered = 0
        self._generation += 1
        polite = self.connection.state is ConnectionState.CONNECTED and self.peerIsPolite()
        return self._asked(call, work, 0.0 if polite else self.settings.closeTimeout)

    def _asked(
        self, call: str, work: Callable[[], Deferred[Any]], within: float | None
    ) -> Deferred[Any]:
        deferred = self.within(call, work)
        owed = Owed(call, deferred, self.now(), within)
        self.owed.append(owed)
        deferred.addBoth(self._fired, owed)
        return deferred

    def _fired(self, outcome: Any, owed: Owed) -> None:
        outcome = outcome.value if isinstance(outcome, Failure) else outcome
        self.note(f"the Deferred of {owed.call} fires: {outcome!r}"[:200])
        self.owed.remove(owed)
        self.settled.append(owed)
        if owed.call in ("close()", "stopService()") and outcome is None and self.isClosed:
            self._closeFired = True
            if self._up:
                self.breach(4, f"{owed.call} is done, and the onDisconnected owed did not come")
        if owed.call == "connect()" and isinstance(outcome, IrisError):
            # A connect() of a run that was closed since is of no concern to the one after it.
            latest = [o for o in (*self.settled, *self.owed) if o.call == "connect()"][-1]
            self._runFailed = self._runFailed or (latest is owed and not self.isClosed)
        self.react(owed.call, (outcome,))

    # Tokens

    def given(self, token: str) -> None:
        """The connection got this token."""
        self._tokens.add(token)

    def provides(self, token: str | None, life: float | None = None) -> None:
        """
        The token provider answers.

        @param life: seconds for which it is good, where nothing but its age speaks against it.
        """
        if token is not None:
            self.given(token)
        self._provided = None if life is None else (self.now(), life)

    def tokenIsRefused(self) -> None:
        """The event manager did not accept the token."""
        self._provided = None

    def wallClockIsSet(self) -> None:
        """The token in use may have expired unseen, or seem to have."""
        self._provided = None
        self._warned.add(self.connection.tokenExpiry)

    def asked(self) -> None:
        """The token provider is called."""
        self.note("the token provider is asked")
        if self._inApi or self._inCallback:
            self.breach(3, f"the token provider from inside {(self._inApi + self._inCallback)[-1]}")
        if self.isClosed:
            self.breach(4, "the token provider was asked after close()")
        if self._provided is not None and self.seesRefusals:
            since, life = self._provided
            if self.now() - since < life / 2:
                self.breach(6, f"a token good for {life:g} s is replaced at {self.now() - since:g}")

    # The callbacks

    def onConnected(self) -> Any:
        if self._up:
            self.breach("order", "onConnected twice without onDisconnected")
        if self._runFailed:
            self.breach(1, "onConnected, though its connect() failed")
        self._up, self._reconnecting = True, False
        self._refusals = 0
        self._tokens.clear()
        return self._told("onConnected")

    def onConnectionError(self, errorCode: int, errorMessage: str) -> Any:
        if errorCode == TokenRefused.code:
            self._refusals += 1
            if self._refusals > _OWN_REFUSALS + len(self._tokens):
                self.breach(
                    6, f"-116 is told {self._refusals} times for {len(self._tokens)} tokens"
                )
        else:
            self._refusals = 0
        return self._told("onConnectionError", errorCode, errorMessage)

    def onDisconnected(self) -> Any:
        if not self._up:
            self.breach("order", "onDisconnected without onConnected")
        self._up = False
        return self._told("onDisconnected")

    def onReconnecting(self) -> Any:
        if self._up or self._reconnecting:
            self.breach("order", "onReconnecting twice, or before onDisconnected")
        self._reconnecting = True
        return self._told("onReconnecting")

    def onNotification(self, notificationInfo: dict[str, Any]) -> Any:
        if "roomid" not in notificationInfo:
            self.breach("callbacks", f"a notification without its room: {notificationInfo}")
        result = self._told("onNotification", notificationInfo)
        if isinstance(result, Deferred) and not result.called and not self.isClosed:
            self.unanswered += 1
            result.addBoth(self._answered, self._generation)
        return result

    def onEvent(self, event: dict[str, Any]) -> Any:
        return self._told("onEvent", event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> Any:
        if secondsLeft < 0:
            self.breach("callbacks", f"a token expires in {secondsLeft} seconds")
        self._warned.add(self.connection.tokenExpiry)
        return self._told("onTokenAboutToExpire", secondsLeft)

    def _answered(self, result: Any, generation: int) -> Any:
        if generation == self._generation:
            self.unanswered -= 1
        return result

    def _told(self, name: str, *args: Any) -> Any:
        shown = args[0]["state"] if name == "onEvent" else args if name != "onNotification" else ""
        self.note(f"{name} {shown}")
        if self._inApi or self._inCallback:
            self.breach(3, f"{name} from inside {(self._inApi + self._inCallback)[-1]}")
        if self._sinceClose is not None:
            self._sinceClose.append(name if name != "onEvent" else args[0]["state"])
            if self._closeFired or self._sinceClose not in (
                [_DISCONNECTED],
                [_DISCONNECTED, "onDisconnected"],
                ["onDisconnected"],
            ):
                self.breach(4, f"after close(): {', '.join(self._sinceClose)}")
        self._inCallback.append(name)
        try:
            return self.react(name, args)
        finally:
            self._inCallback.pop()

    # What holds at any time

    def deadLink(self, dead: bool) -> None:
        """Promise 10; to be called often. C{dead}: whether the peer is silent, and is read."""
        times, now = self.settings, self.now()
        if not dead or self.connection.state is not ConnectionState.CONNECTED:
            self._deadSince = None
        elif self._deadSince is None:
            self._deadSince = now
        elif now - self._deadSince > times.pingTimeout + 2 * times.pingInterval + self.slack:
            self.breach(10, f"a dead link is up for {now - self._deadSince:g} seconds")

    def lostForSilence(self, *, pinged: bool) -> None:
        """Promise 10: silence ends a session only when a ping had no answer."""
        if not pinged:
            self.breach(10, "the session is lost for its silence, and was not pinged")

    def tokenWatched(self, date: float) -> None:
        """No token in use expires without a word. C{date}: now, epoch seconds."""
        expiry, now = self.connection.tokenExpiry, self.now()
        if self.connection.state is ConnectionState.DISCONNECTED or expiry in self._warned:
            return
        if expiry is None or date <= expiry:
            return
        if self._expired is None or self._expired[0] != expiry:
            self._expired = expiry, now
        elif now - self._expired[1] > self.slack:
            self.breach("callbacks", "the token has expired without onTokenAboutToExpire")

    def check(self) -> None:
        connection, now = self.connection, self.now()
        if connection.isConnectionAlive() and connection.state is not ConnectionState.CONNECTED:
            self.breach("API", f"alive, and {connection.state.value}")
        for owed in self.owed:
            if owed.within is not None and now - owed.since > owed.within + self.slack:
                promise = {"connect()": 1, "rejectSession()": 13}.get(owed.call, 17)
                self.breach(promise, f"{owed.call} has not ended for {now - owed.since:g} seconds")
        del self.settled[:-1]
        counted = counters(connection.stats)
        if any(new < old for new, old in zip(counted, self._counted, strict=False)):
            self.breach("stats", f"{counted} after {self._counted}")
        self._counted = counted
        room, held = self.settings.limits.unanswered, len(connection._driver._calls._delivery._held)
        if self.unanswered > room or held > room + self.oneRead:
            self.breach(16, f"{self.unanswered} notifications unanswered, {held} held, of {room}")
        super().check()

    def checkWell(self, seconds: float) -> None:
        """
        Promise 5 and 6: to be called when all has been well for so long: the network, the
        platform, the tokens.
        """
        state = self.connection.state
        if state not in (ConnectionState.CONNECTED, ConnectionState.DISCONNECTED):
            self.breach(5, f"still {state.value}, when all has been well for {seconds:g} seconds")
        if (state is ConnectionState.CONNECTED) != self._up:
            self.breach("order", f"{state.value}, and the callbacks say otherwise")
        self.check()

    def checkEnded(self) -> None:
        """To be called when it was closed, and time passed."""
        if self.connection.state is not ConnectionState.DISCONNECTED:
            self.breach(17, f"{self.connection.state.value} after close()")
        for owed in self.owed:
            self.breach("API", f"the Deferred of {owed.call} never fires")
        self.settled.clear()
        self.check()


class WatchedService(WatchedConnection):
    """The connection of a service, and the service."""

    service: IrisRtcService

    def __init__(self, name: str, now: Callable[[], float], slack: float = 1.0) -> None:
        super().__init__(name, now, slack)
        self.whenStarted: Callable[[], None] = lambda: None
        self._heard: Deferred[Any] | None = None
        self._stopped: list[Deferred[Any]] = []

    def watchService(self, service: IrisRtcService, settings: Settings) -> WatchedService:
        """This is the service, whoever starts and stops it: its fleet does too."""
        self.service = service
        self.watch(service.connection, settings)
        start, stop = service.startService, service.stopService
        self.hear()

        def startService() -> None:
            self.starts()
            self.within("startService()", start)
            if service.ended.called:
                self.breach("ended", "it has fired already when the service starts")
            self.hear()

        def stopService() -> Deferred[None]:
            self._stopped.append(service.ended)
            return self._ending("stopService()", stop)

        # The instance's own: those who call them need not know that they are watched.
        service.startService = startService  # type: ignore[method-assign]
        service.stopService = stopService  # type: ignore[method-assign]
        return self

    def starts(self) -> None:
        """A run of it begins."""
        self.whenStarted()
        self.began(self.service._token)

    def hear(self) -> None:
        """Hear of the end of this run."""
        ended = self.service.ended
        if ended is not self._heard:
            self._heard = ended
            ended.addCallback(self._hasEnded, ended)

    @property
    def isWanted(self) -> bool:
        """Whether it is started, and did not end by itself."""
        return bool(self.service.running) and not self.service.ended.called

    def _updateToken(self, token: str | None) -> None:
        if token is None:
            self.connection.updateToken()
        else:
            self.service.updateToken(token)

    def _hasEnded(self, outcome: Any, ended: Deferred[Any]) -> Any:
        self.note(f"ended fires: {outcome!r}"[:200])
        if any(ended is stopped for stopped in self._stopped):
            if outcome is not None:
                self.breach("ended", f"{outcome!r} for a service that was stopped")
        elif not isinstance(outcome, IrisError):
            self.breach("ended", f"{outcome!r} for a service that was not stopped")
        self.react("ended", (outcome,))
        return outcome

    def checkWell(self, seconds: float) -> None:
        if self.isWanted and self.connection.state is not ConnectionState.CONNECTED:
            self.breach(
                5,
                f"the service is {self.connection.state.value} and has not ended, when all has "
                f"been well for {seconds:g} seconds",
            )
        super().checkWell(seconds)

    def checkEnded(self) -> None:
        if any(not ended.called for ended in self._stopped):
            self.breach("ended", "it did not fire, though the service was stopped")
        self._stopped.clear()
        super().checkEnded()


class WatchedFleet(Watched):
    """
    A fleet, whoever starts and stops it.

    @ivar accounts: of those that are in it.
    """

    def __init__(
        self,
        name: str,
        now: Callable[[], float],
        fleet: IrisFleet,
        *,
        attempts: int,
        ramp: float,
        slack: float = 1.0,
    ) -> None:
        super().__init__(name, now)
        self.fleet = fleet
        self.slack = slack
        self.accounts: dict[str, WatchedService] = {}
        self.everybody: list[WatchedService] = []
        self._attempts, self._ramp = attempts, ramp
        self._counted: tuple[int, ...] = ()
        self._starts: deque[float] = deque()
        self._stopping: list[float] = []
        # What those counted that nobody looks at any more.
        self._gone: tuple[int, ...] = counters(Stats())

    def added(self, routingId: str, account: WatchedService) -> None:
        """An account is in it now."""
        self.note(f"{routingId} is added")
        self.accounts[routingId] = account
        self.everybody.append(account)
        account.whenStarted = self._accountStarts

    def removed(self, routingId: str) -> None:
        """An account will be removed."""
        self.note(f"{routingId} is removed")
        del self.accounts[routingId]

    def forgetRemoved(self) -> None:
        """Keep nothing of accounts that were removed and are done but what they counted."""
        for account in list(self.everybody):
            if account not in self.accounts.values() and not account.owed:
                account.checkEnded()
                counted = counters(account.connection.stats)
                self._gone = tuple(map(sum, zip(self._gone, counted, strict=True)))
                self.everybody.remove(account)

    def stop(self) -> Deferred[None]:
        """Stop it; all at once, however many they are."""
        since = self.now()
        self.note("stopService()")
        self._stopping.append(since)
        stopped = self.fleet.stopService()

        def done(result: Any) -> None:
            self.note(f"the Deferred of stopService() fires: {result!r}")
            self._stopping.remove(since)
            if not self.fleet.running and self.fleet.attemptsUnderWay:
                self.breach("fleet", f"stopped, {self.fleet.attemptsUnderWay} attempts under way")

        return stopped.addBoth(done)

    def _accountStarts(self) -> None:
        now, starts = self.now(), self._starts
        starts.append(now)
        while starts[0] <= now - 1.0:
            starts.popleft()
        # What one second brings, one that waited, and one that binary fractions bring along.
        if len(starts) > self._ramp + max(1.0, self._ramp / 10) + 1:
            self.breach("fleet", f"{len(starts)} accounts are started in a second")

    def check(self) -> None:
        fleet = self.fleet
        if set(fleet.accounts) != set(self.accounts):
            self.breach("fleet", f"it has {sorted(fleet.accounts)}")
        states = Counter(service.connection.state for service in fleet.accounts.values())
        if +fleet.states != states or any(count < 0 for count in fleet.states.values()):
            self.breach("fleet", f"the states are {states}, and it says {fleet.states}")
        if not 0 <= fleet.attemptsUnderWay <= self._attempts:
            self.breach("fleet", f"{fleet.attemptsUnderWay} attempts of {self._attempts}")
        closing = fleet._settings.closeTimeout + self.slack
        if any(self.now() - since > closing for since in self._stopping):
            self.breach(17, f"stopService() takes more than {closing:g} seconds")
        counted = counters(fleet.stats)
        if any(new < old for new, old in zip(counted, self._counted, strict=False)):
            self.breach("stats", f"{counted} after {self._counted}")
        each = [self._gone, *(counters(account.connection.stats) for account in self.everybody)]
        if counted != tuple(map(sum, zip(*each, strict=True))):
            self.breach("stats", f"the fleet counts {counted}, its accounts {each}")
        self._counted = counted
        super().check()

    def checkIdle(self) -> None:
        """To be called when no account can be on its way up."""
        if self.fleet.attemptsUnderWay:
            self.breach("fleet", f"its gate keeps {self.fleet.attemptsUnderWay} tokens")
        self.check()
