"""
The same promises as in C{test_lifecycle_properties}, with all that applications can do at odd
moments: several connections, services and a fleet on one reactor; calls from every callback and
every Deferred; callbacks, token providers and retry policies of every kind; tokens that are
about to expire, several stanzas in one message, a reactor that is busy, a wall clock that is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import IrisFleet, IrisRtcConnection
from iris_twisted.connection.settings import Settings
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import (
    ConnectionFailed,
    IncorrectParameters,
    ServerLeaving,
    TokenRefused,
)
from iris_twisted.fleet.service import IrisRtcService
from iris_twisted.net.limits import Limits

from ..applications import (
    CALLS,
    KINDS,
    PLACES,
    POLICIES,
    PROVIDERS,
    Account,
    Application,
    Own,
    Policy,
)
from ..doubles import URL, Discovery, DriftingClock, MemoryTransport, World
from ..invariants import WatchedConnection, WatchedFleet, WatchedService
from .test_corners import notification
from .test_lifecycle_properties import FAULTS, FRAMES

# How many connections, services, and accounts of a fleet there are: few, so that much happens
# to each.
CASTS = [(1, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 2), (0, 0, 6), (1, 1, 1)]
ATTEMPTS, RAMP = 1, 10.0
# Frames between a turn, or a call of the API, and the discovery that it leads to: about 20.
DEEPEST = 40


class AskedDiscovery(Discovery):
    """
    Discovery that looks who asks, and how.

    @ivar always: fails so, whoever asks; C{None} for not.
    @ivar open: the questions that it has not answered.
    """

    def __init__(self, world: World, machine: WholeApi) -> None:
        super().__init__(world.platform)
        self.always: Exception | None = None
        self.open: list[tuple[Deferred[ServerInfo], WatchedConnection]] = []
        self._machine = machine

    def discover(self, irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        watched = next(a.watched for a in self._machine.all if a.routingId == routingId)
        watched.note("discovery")
        if self._depth() > DEEPEST:
            watched.breach("fleet", f"discovery {self._depth()} frames deep")
        if irisToken.startswith("bad") or not self._platform.accepts(irisToken):
            watched.tokenIsRefused()
            return fail(TokenRefused("refused"))
        if self.always is not None:
            return fail(self.always)
        answer = super().discover(irisToken, routingId, traceId)
        if not answer.called:
            self.open.append((answer, watched))
        elif isinstance(getattr(answer.result, "value", None), TokenRefused):
            watched.tokenIsRefused()
        return answer

    def answer(self, error: Exception) -> None:
        """Fail all open questions."""
        waiting, self.open = self.open, []
        for answer, watched in waiting:
            if not answer.called:
                if isinstance(error, TokenRefused):
                    watched.tokenIsRefused()
                answer.errback(error)

    @staticmethod
    def _depth() -> int:
        frame, depth = sys._getframe(2), 0
        while frame is not None and "/tests/" not in frame.f_code.co_filename:
            if frame.f_code.co_name == "advance":
                break
            frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
        return depth


class WholeApi(RuleBasedStateMachine):
    """Everything that applications, a network, a server and clocks can do."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = clock = DriftingClock()
        self.world = world = World(clock)
        self.discovery = AskedDiscovery(world, self)
        self.policy = Policy()
        self.all: list[Application] = []
        self.accounts: list[Account] = []
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self.observe)

    def observe(self, event: LogEvent) -> None:
        """Nothing fails but what the application did wrong."""
        failure = event.get("log_failure")
        if failure is not None and not failure.check(Own, IncorrectParameters):
            self.logged.append(failure.getTraceback())

    @initialize(
        pingInterval=st.sampled_from([3.0, 20.0]),
        giveUpAfter=st.sampled_from([120.0, 5.0, None]),
        cast=st.sampled_from(CASTS),
        provided=st.booleans(),
        waits=st.booleans(),
        assigned=st.booleans(),
        up=st.booleans(),
    )
    def begin(
        self,
        pingInterval: float,
        giveUpAfter: float | None,
        cast: tuple[int, int, int],
        provided: bool,
        waits: bool,
        assigned: bool,
        up: bool,
    ) -> None:
        bare, services, accounts = cast
        options: dict[str, Any] = {
            "discovery": self.discovery,
            "transport": self.world.provider,
            "retryPolicy": self.policy,
            "giveUpAfter": giveUpAfter,
            "limits": Limits(unanswered=4),
        }
        try:
            chosen = Settings(pingInterval=pingInterval, **options)
        except IncorrectParameters:
            chosen = Settings(**options)
        for number in range(bare):
            self.all.append(self.bare(f"bare{number}", chosen, provided=provided))
        for number in range(services):
            options = {"waitForToken": waits, "assigned": assigned}
            self.all.append(self.service(f"service{number}", chosen, **options))
        fleet = IrisFleet(URL, reactor=self.clock, attempts=ATTEMPTS, ramp=RAMP, settings=chosen)
        now = self.clock.monotonicSeconds
        self.fleet = WatchedFleet("the fleet", now, fleet, attempts=ATTEMPTS, ramp=RAMP)
        for number in range(accounts):
            application = Account(f"account{number}@example.test", *self.tools)
            self.accounts.append(application.joins(self.fleet, waitForToken=waits))
        self.all += self.accounts
        self.fleet.fleet.startService()
        for application in self.all:
            application.peer = partial(self.newest, application)
            if up:
                application.begin()
        self.world.settle()

    @property
    def tools(self) -> tuple[str, Callable[[str, float], str], Callable[..., Any]]:
        """What applications need."""
        return URL, self.world.platform.token, self.clock.callLater

    def bare(self, name: str, chosen: Settings, *, provided: bool) -> Application:
        """A connection by itself."""
        application = Application(f"{name}@example.test", *self.tools)
        watched = WatchedConnection(name, self.clock.monotonicSeconds)
        provider = application.provide if provided else None
        connection = IrisRtcConnection(
            self.clock, listener=watched, settings=chosen, tokenProvider=provider
        )
        application.provided = provided
        return application.owns(watched.watch(connection, chosen))

    def service(
        self, name: str, chosen: Settings, *, waitForToken: bool, assigned: bool
    ) -> Application:
        """A service by itself; its callbacks may be assigned."""
        application = Application(f"{name}@example.test", *self.tools)
        watched = WatchedService(name, self.clock.monotonicSeconds)
        service = IrisRtcService(
            "token",
            application.routingId,
            URL,
            reactor=self.clock,
            listener=None if assigned else watched,
            waitForToken=waitForToken,
            settings=chosen,
            tokenProvider=application.provide,
        )
        if assigned:
            for callback in PLACES:
                if callback.startswith("on"):
                    setattr(service.connection, callback, getattr(watched, callback))
        return application.owns(watched.watchService(service, chosen))

    def one(self, which: int) -> Application:
        """One of the applications."""
        return self.all[which % len(self.all)]

    def newest(self, which: int | Application) -> MemoryTransport | None:
        """The newest transport of an application."""
        application = self.one(which) if isinstance(which, int) else which
        routingId = application.routingId
        mine = (t for t in reversed(self.world.transports) if t.routingId == routingId)
        return next(mine, None)

    WHICH = st.sampled_from([0, 0, 1, 2])

    # Applications

    @rule(which=WHICH, call=st.sampled_from(CALLS))
    def calls(self, which: int, call: str) -> None:
        self.one(which).do(call)

    @rule(which=WHICH, seconds=st.sampled_from([0.0, 1.5]))
    def comesUp(self, which: int, seconds: float) -> None:
        self.one(which).begin()
        self.world.advance(seconds)

    @rule(which=WHICH, place=st.sampled_from(PLACES), call=st.sampled_from(CALLS))
    def callsFrom(self, which: int, place: str, call: str) -> None:
        self.one(which).plans.append((place, call))

    @rule(which=WHICH, place=st.sampled_from(PLACES), kind=st.sampled_from(KINDS))
    def callbackIs(self, which: int, place: str, kind: str) -> None:
        self.one(which).kinds[place] = kind

    @rule(
        which=WHICH,
        calls=st.lists(st.sampled_from(CALLS), min_size=2, max_size=4),
        place=st.sampled_from(PLACES),
        call=st.sampled_from(CALLS),
    )
    def callsInOneTurn(self, which: int, calls: list[str], place: str, call: str) -> None:
        self.one(which).plans.append((place, call))
        for each in calls:
            self.one(which).do(each)

    @rule(which=WHICH, answered=st.booleans(), call=st.sampled_from(CALLS))
    def rejects(self, which: int, answered: bool, call: str) -> None:
        # What the answer brings along in its message, or no answer at all.
        application, transport = self.one(which), self.newest(which)
        if transport is None or not transport.open:
            return
        application.plans.append(("rejectSession()", call))
        transport.silent = not answered
        transport.together = [notification().encode()]
        application.do("reject")
        self.world.settle()

    @rule(which=WHICH, good=st.booleans())
    def whatHangsEnds(self, which: int, good: bool) -> None:
        self.one(which).endHanging(good=good)

    @rule(which=WHICH, kind=st.sampled_from(PROVIDERS), lost=st.booleans())
    def providerIs(self, which: int, kind: str, lost: bool) -> None:
        self.one(which).provider = kind
        transport = self.newest(which)
        if lost and transport is not None:
            # It will be asked.
            self.discovery.outcomes.insert(0, TokenRefused("no"))
            transport.lose()
            self.world.advance(15.0, step=1.0)

    @rule(which=WHICH, life=st.sampled_from([None, -5.0, 5.0, 310.0]))
    def tokensLive(self, which: int, life: float | None) -> None:
        self.one(which).life = life

    @rule(kind=st.sampled_from(POLICIES))
    def policyIs(self, kind: str) -> None:
        self.policy.kind = kind

    @rule(call=st.sampled_from(["start", "stop", "restart", "leave and join"]))
    def fleetIs(self, call: str) -> None:
        if call == "leave and join":
            # More of them than may start in a second.
            for account in self.accounts * 3:
                account.do("again")
            return
        if call != "start" and self.fleet.fleet.running:
            self.fleet.stop()
        if call != "stop" and not self.fleet.fleet.running:
            self.fleet.fleet.startService()

    @precondition(lambda self: len(self.accounts) > 1)
    @rule()
    def allWaitForOne(self) -> None:
        """Every account that starts waits for the gate, which one has passed."""
        self.discovery.outcomes.insert(0, self.discovery.hanging())
        self.fleetIs("restart")
        self.world.advance(4.0)

    @rule(name=st.sampled_from(["tokenProvider", "retryPolicy", "pingInterval"]))
    def wrongArgument(self, name: str) -> None:
        wrong: Any = {name: "x"}
        makers: list[Callable[[], Any]] = [
            lambda: IrisRtcConnection(self.clock, **wrong),
            lambda: IrisRtcService("t", "a@example.test", URL, reactor=self.clock, **wrong),
            lambda: IrisFleet(URL, reactor=self.clock, **wrong),
        ]
        if name == "tokenProvider":
            makers.append(lambda: IrisRtcConnection(self.clock, settings=Settings(), **wrong))
            makers.append(lambda: IrisFleet(URL, reactor=self.clock).add("a@b.test", "t", **wrong))
        for make in makers:
            try:
                made = make()
            except IncorrectParameters:
                continue
            raise AssertionError(f"{made!r} was made, with {wrong}")

    # The network and the server

    @rule(fault=FAULTS)
    def discoveryFails(self, fault: Exception) -> None:
        self.discovery.outcomes.append(fault)

    @rule(count=st.integers(1, 3))
    def discoveryHangs(self, count: int) -> None:
        self.discovery.outcomes += [self.discovery.hanging() for _ in range(count)]

    @rule(fault=FAULTS, busy=st.sampled_from([0.0, 5.5]))
    def discoveryAnswersLate(self, fault: Exception, busy: float) -> None:
        # What the socket brought is read before the timers have their turn.
        self.clock.isBusy(busy)
        self.discovery.answer(fault)
        self.world.settle()

    @rule(fails=st.booleans())
    def discoveryFailsAtOnce(self, fails: bool) -> None:
        self.discovery.always = ConnectionFailed("the circuit is open") if fails else None
        if fails:
            self.discovery.answer(self.discovery.always)

    @rule(fault=FAULTS.filter(lambda fault: not isinstance(fault, TokenRefused)))
    def transportFails(self, fault: Exception) -> None:
        self.world.provider.outcomes.append(fault)

    @rule(step=st.sampled_from(["stream", "sasl", "bind", "session", "ping", None]))
    def serverHangs(self, step: str | None) -> None:
        self.world.platform.hanging.clear()
        if step is not None:
            self.world.platform.hang(step)

    @rule()
    def serverForgets(self) -> None:
        self.world.platform.managed.clear()

    @rule(which=WHICH, frame=FRAMES)
    def serverSays(self, which: int, frame: bytes) -> None:
        transport = self.newest(which)
        if transport is not None and transport.open:
            transport.say(frame)

    @rule(which=WHICH, error=st.sampled_from([None, ServerLeaving("bye")]))
    def socketLost(self, which: int, error: Exception | None) -> None:
        transport = self.newest(which)
        if transport is not None:
            transport.lose(error)

    @rule(which=WHICH, jump=st.sampled_from([0.0, 0.0, -3600.0]))
    def linkDies(self, which: int, jump: float) -> None:
        transport = self.newest(which)
        if transport is not None:
            if jump:
                self.wallClockIsSet(jump)
            transport.silent = True
            self.promises()
            self.world.advance(25.0, step=1.0)

    @rule(which=WHICH, silent=st.booleans(), polite=st.booleans())
    def networkChanges(self, which: int, silent: bool, polite: bool) -> None:
        transport = self.newest(which)
        if transport is not None:
            transport.silent, transport.polite = silent, polite

    @rule(which=WHICH, count=st.integers(1, 2))
    def call(self, which: int, count: int) -> None:
        for _ in range(count):
            self.world.platform.placeCall(self.one(which).routingId)

    @rule(which=WHICH, count=st.integers(1, 7), kind=st.sampled_from(["hangs", *KINDS]))
    def notificationsInOneMessage(self, which: int, count: int, kind: str) -> None:
        transport, message = self.newest(which), "".join(map(notification, range(count))).encode()
        if transport is not None and transport.open and not transport.paused:
            self.one(which).kinds["onNotification"] = kind
            transport.say(message)

    # Time

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.5, 4.0, 31.0]))
    def timePasses(self, seconds: float) -> None:
        self.world.advance(seconds, step=1.0)

    @rule(seconds=st.sampled_from([-3600.0, -5.0, 5.0, 3600.0]))
    def wallClockIsSet(self, seconds: float) -> None:
        # What waits for the next turn is over within a millisecond: not in the way of this.
        self.world.settle()
        for application in self.all:
            application.watched.wallClockIsSet()
        self.clock.jump(seconds)

    @rule()
    def allIsWell(self) -> None:
        """No fault any more, anywhere: what wants to be up must come up."""
        self.discovery.always = None
        self.discovery.outcomes.clear()
        self.world.provider.outcomes.clear()
        self.world.platform.hanging.clear()
        self.policy.kind = "a second"
        for application in self.all:
            application.behave()
        for transport in self.world.transports:
            transport.silent, transport.polite = False, True
        for application in self.all:
            if not application.provided and application.isUnderWay:
                application.do("updateToken")
        for _ in range(10):
            self.world.advance(10.0, step=1.0)
            if not any(application.isUnderWay for application in self.all):
                break
        for application in self.all:
            application.watched.checkWell(100.0)
        self.fleet.checkIdle()

    # What must hold

    @invariant()
    def promises(self) -> None:
        """See L{tests.invariants}."""
        if not self.all:
            return
        now = self.clock.seconds()
        for which, application in enumerate(self.all):
            watched, transport = application.watched, self.newest(which)
            if transport is not None:
                watched.deadLink(transport.silent and not transport.paused)
            watched.tokenWatched(now)
            watched.check()
        self.fleet.check()
        assert not self.logged, self.logged[0]

    @invariant()
    def oneSocket(self) -> None:
        """Promises 2 and 5: one attempt at a time, one session at a time."""
        for application in self.all:
            if application in self.accounts:
                # One that was removed closes while the next one under its name begins.
                continue
            mine = [t for t in self.world.transports if t.routingId == application.routingId]
            # One that was cancelled while it was being opened is gone in the next turn.
            assert sum(t.open and (t.wasOpen or not t.opened.called) for t in mine) <= 1

    def teardown(self) -> None:
        globalLogPublisher.removeObserver(self.observe)
        if not self.all:
            return
        self.allIsWell()
        for application in self.all:
            if application not in self.accounts:
                application.end()
        self.fleet.stop()
        self.world.advance(5.0)
        for application in self.all:
            application.watched.checkEnded()
        for account in self.fleet.everybody:
            account.checkEnded()
        self.fleet.checkIdle()
        assert self.world.leftovers() == [], self.world.leftovers()


class Properties(SynchronousTestCase):
    """hypothesis, as a test of trial; C{IRIS_HYPOTHESIS_EXAMPLES} for a longer search."""

    def test_promises(self) -> None:
        """No sequence of events and calls breaks a promise."""
        from hypothesis.stateful import run_state_machine_as_test

        examples = int(os.environ.get("IRIS_HYPOTHESIS_EXAMPLES", "100"))
        run_state_machine_as_test(
            WholeApi,
            settings=settings(
                max_examples=examples, stateful_step_count=40, report_multiple_bugs=False
            ),
        )
        # Callbacks, providers and policies that failed on purpose were logged.
        self.flushLoggedErrors(Own, IncorrectParameters)
