"""
Connections, services and a fleet on real sockets, for as long as one likes:

    python -m tests.soak [--minutes N] [--seed S]

A sandbox and the network before it make trouble at random, so do the applications, and all
promises of contract.md are watched (L{tests.invariants}). From time to time all is well, and
what is wanted up must come up. At the end nothing may be left: no timer, no socket, no thread,
and no more objects than at half-time.

What is done, and after which pauses, follows from the seed alone; what the network makes of it
does not.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater, react
from twisted.logger import LogEvent, eventAsText, globalLogBeginner

from iris_twisted import IrisFleet, IrisRtcConnection
from iris_twisted.connection.settings import Settings
from iris_twisted.fleet.service import IrisRtcService
from iris_twisted.net.limits import Limits
from iris_twisted.sandbox import Sandbox, startSandbox
from iris_twisted.sandbox.records import DROPS, HANG_STEPS

from .applications import CALLS, KINDS, PLACES, PROVIDERS, Account, Application, Own, Policy
from .faults.proxy import DOWN, UP, Fault, Proxy
from .invariants import BrokenPromise, WatchedConnection, WatchedFleet, WatchedService

BARE, SERVICES, ACCOUNTS = 4, 2, 6
ATTEMPTS, RAMP = 3, 20.0
# Seconds by which a machine with other work may keep us waiting.
SLACK = 5.0
# Seconds of trouble, and those in which everything comes up afterwards, at the longest.
TROUBLE, COMING_UP = 6.0, 20.0
# How many objects of one class more are no growth: what waits for the next collection.
GROWTH = 8
SETTINGS: dict[str, Any] = {
    "connectTimeout": 3.0,
    "pingInterval": 0.3,
    "pingTimeout": 1.2,
    "iqTimeout": 1.0,
    "closeTimeout": 0.5,
    "stableAfter": 0.5,
    "tokenWarning": 1.0,
    "limits": Limits(unanswered=4),
}


class Soak:
    """
    One run.

    @param seed: of everything that is left to chance.
    @param seconds: how long it lasts, without the end.
    """

    def __init__(self, reactor: Any, seed: int, seconds: float) -> None:
        self.reactor = reactor
        self.random = random.Random(seed)
        self.seconds = seconds
        self.done: Counter[str] = Counter()
        self.applications: list[Application] = []
        self.logged: list[str] = []
        self.blackhole = False
        self.deeds: list[tuple[int, Callable[[], object]]] = [
            (20, self.calls),
            (6, self.callsFrom),
            (3, self.callbackIs),
            (3, self.providerIs),
            (3, self.tokensLive),
            (6, self.whatHangsEnds),
            (20, self.isCalled),
            (6, self.dropped),
            (3, self.serverHangs),
            (4, self.serverWorks),
            (3, self.discoveryIs),
            (3, self.tokenIsRefused),
            (4, self.networkIs),
            (1, self.fleetIs),
        ]

    # What there is

    async def begin(self) -> None:
        """The sandbox, the network before it, and who connects."""
        self.sandbox: Sandbox = await startSandbox(self.reactor)
        port = int(self.sandbox.url.rpartition(":")[2])
        self.proxy = await Proxy(self.reactor, port).start()
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        for number in range(BARE):
            self.bare(number)
        for number in range(SERVICES):
            self.service(number)
        chosen = self.settings(None)
        fleet = IrisFleet(
            self.url, reactor=self.reactor, attempts=ATTEMPTS, ramp=RAMP, settings=chosen
        )
        self.fleet = WatchedFleet(
            "the fleet", time.monotonic, fleet, attempts=ATTEMPTS, ramp=RAMP, slack=SLACK
        )
        for number in range(ACCOUNTS):
            account = Account(f"account{number}@sandbox.test", *self.tools)
            self.applications.append(account.joins(self.fleet))
        fleet.startService()

    def settings(self, giveUpAfter: float | None) -> Settings:
        """Everything happens sooner than in real life."""
        return Settings(retryPolicy=Policy(0.1), giveUpAfter=giveUpAfter, **SETTINGS)

    @property
    def tools(self) -> tuple[str, Callable[[str, float], str], Callable[..., Any]]:
        """What applications need."""
        return self.url, self.sandbox.token, self.reactor.callLater

    def bare(self, number: int) -> None:
        """A connection by itself; every other has a token provider."""
        application = Application(f"bare{number}@sandbox.test", *self.tools)
        application.provided = number % 2 == 0
        chosen = self.settings(2.0 if number == 1 else None)
        watched = WatchedConnection(f"bare{number}", time.monotonic, SLACK)
        provider = application.provide if application.provided else None
        connection = IrisRtcConnection(
            self.reactor, listener=watched, settings=chosen, tokenProvider=provider
        )
        self.applications.append(application.owns(watched.watch(connection, chosen)))

    def service(self, number: int) -> None:
        """A service by itself."""
        application = Application(f"service{number}@sandbox.test", *self.tools)
        chosen = self.settings(None)
        watched = WatchedService(f"service{number}", time.monotonic, SLACK)
        service = IrisRtcService(
            self.sandbox.token(application.routingId),
            application.routingId,
            self.url,
            reactor=self.reactor,
            listener=watched,
            settings=chosen,
            tokenProvider=application.provide,
        )
        self.applications.append(application.owns(watched.watchService(service, chosen)))

    # What happens; each draws as many random numbers whatever the state of things

    def one(self) -> Application:
        """Any application."""
        return self.random.choice(self.applications)

    def calls(self) -> None:
        self.one().do(self.random.choice(("begin", *CALLS)))

    def callsFrom(self) -> None:
        self.one().plans.append((self.random.choice(PLACES), self.random.choice(CALLS)))

    def callbackIs(self) -> None:
        self.one().kinds[self.random.choice(PLACES)] = self.random.choice(KINDS)

    def providerIs(self) -> None:
        self.one().provider = self.random.choice(PROVIDERS)

    def tokensLive(self) -> None:
        self.one().life = self.random.choice([-5.0, 2.0, 60.0, 3600.0])

    def whatHangsEnds(self) -> None:
        self.one().endHanging(good=self.random.random() < 0.8)

    def isCalled(self) -> None:
        routingId = self.one().routingId
        for _ in range(self.random.randint(1, 12)):
            self.sandbox.placeCall(routingId)

    def dropped(self) -> None:
        who, how = self.random.random(), self.random.choice(DROPS)
        sessions = self.sandbox.sessions
        if sessions:
            self.sandbox.platform.drop(sessions[int(who * len(sessions))].id, how)

    def serverHangs(self) -> None:
        self.sandbox.hang(self.random.choice(HANG_STEPS))

    def serverWorks(self) -> None:
        self.sandbox.platform.hanging.clear()
        self.sandbox.platform.answer = None

    def discoveryIs(self) -> None:
        status, body = self.random.choice([(401, b""), (503, b""), (200, b"{"), (302, b"")])
        self.sandbox.answerDiscovery(status, body)

    def tokenIsRefused(self) -> None:
        token = self.one().watched.connection._driver.tokens.token
        if token:
            self.sandbox.platform.refusedTokens.add(token)

    def networkIs(self) -> None:
        random = self.random
        faults = [
            Fault(),
            Fault(slices=True),
            Fault(delay=random.uniform(0.01, 0.5)),
            Fault(random.choice([UP, DOWN]), 0, "reset"),
            Fault(random.choice([UP, DOWN]), random.randint(0, 5000), "half-close"),
            Fault(random.choice([UP, DOWN]), random.randint(0, 5000), "blackhole"),
        ]
        self.proxy.fault = random.choice(faults)

    def fleetIs(self) -> None:
        what = self.random.choice(["stop", "start", "restart"])
        if what != "start" and self.fleet.fleet.running:
            self.fleet.stop()
        if what != "stop" and not self.fleet.fleet.running:
            self.fleet.fleet.startService()

    # The run

    async def run(self) -> None:
        """@raise BrokenPromise: when one is."""
        # The reactor's own things come with its first turn.
        await self.wait(0)
        before = self.counts()
        await self.begin()
        end = time.monotonic() + self.seconds
        half: Counter[str] | None = None
        while time.monotonic() < end:
            await self.trouble(min(TROUBLE, end - time.monotonic()))
            await self.well()
            if half is None and time.monotonic() > end - self.seconds / 2:
                await self.stop()
                half = self.objects()
                self.start()
        await self.stop()
        grown = self.objects() - half if half is not None else Counter()
        await self.sandbox.stop()
        await self.proxy.stop()
        await self.nothingLeft(before)
        grown = Counter({name: count for name, count in grown.items() if count > GROWTH})
        if grown:
            raise BrokenPromise(f"objects that became more: {grown.most_common(20)}")

    async def trouble(self, seconds: float) -> None:
        """Anything may happen."""
        weights, deeds = zip(*self.deeds, strict=True)
        while seconds > 0:
            (deed,) = self.random.choices(deeds, weights)
            self.done[deed.__name__] += 1
            deed()
            pause = self.random.expovariate(1 / 0.02)
            seconds -= pause
            await self.wait(pause)
            self.check()

    async def well(self) -> None:
        """No fault any more: what wants to be up comes up."""
        self.proxy.fault = Fault()
        self.serverWorks()
        for application in self.applications:
            application.behave()
            while application.hanging:
                application.endHanging(good=True)
        # What the network swallowed is not sent again, and its connections are of no use.
        self.proxy.cut()
        await self.wait(0.2)
        for application in self.applications:
            if not application.provided and application.isUnderWay:
                application.do("updateToken")
        end = time.monotonic() + COMING_UP + SLACK
        while time.monotonic() < end and any(a.isUnderWay for a in self.applications):
            await self.wait(0.1)
            self.check()
        # What was told last, too.
        await self.wait(0.1)
        for application in self.applications:
            application.watched.checkWell(COMING_UP)
        self.done["times all was well"] += 1

    def start(self) -> None:
        """Let everything begin."""
        for application in self.applications:
            application.begin()
        self.fleet.fleet.startService()

    async def stop(self) -> None:
        """End everything; nothing of it may stay."""
        for application in self.applications:
            application.behave()
            if not isinstance(application, Account):
                application.end()
        await self.fleet.stop()
        await self.wait(2.0)
        for application in self.applications:
            application.watched.checkEnded()
        self.fleet.checkIdle()
        self.fleet.forgetRemoved()

    def check(self) -> None:
        """What must hold at any time."""
        fault = self.proxy.fault
        dead = fault.happened and fault.how == "blackhole"
        for application in self.applications:
            watched = application.watched
            watched.oneRead, watched.seesRefusals = 200, False
            watched.deadLink(dead and not watched.unanswered)
            watched.tokenWatched(time.time())
            watched.check()
        self.fleet.check()
        self.fleet.forgetRemoved()
        if self.logged:
            raise BrokenPromise(f"an error that is nobody's is logged: {self.logged[0]}")

    def wait(self, seconds: float) -> Deferred[None]:
        """Let the reactor work."""
        return deferLater(self.reactor, seconds, lambda: None)

    # What is left

    def counts(self) -> dict[str, Any]:
        """What must be no more at the end than at the beginning."""
        return {
            "timers": [str(call) for call in self.reactor.getDelayedCalls()],
            "sockets": [*map(str, {*self.reactor.getReaders(), *self.reactor.getWriters()})],
            # The reactor keeps those that look up names.
            "threads": [
                thread.name
                for thread in threading.enumerate()
                if not thread.name.startswith("PoolThread-")
            ],
        }

    async def nothingLeft(self, before: dict[str, Any]) -> None:
        """Promise 17, of the whole process."""
        end = time.monotonic() + SLACK
        while True:
            # Its own timer is gone when it looks.
            await self.wait(0.1)
            left = {
                what: sorted(set(now) - set(before[what])) for what, now in self.counts().items()
            }
            if not any(left.values()):
                return
            if time.monotonic() > end:
                raise BrokenPromise(f"left at the end: {left}")

    def objects(self) -> Counter[str]:
        """How many there are of each class that matters, while everything is stopped."""
        platform = self.sandbox.platform
        # What the sandbox remembers for a while.
        platform.calls.clear()
        patience, platform.resumptionPatience = platform.resumptionPatience, -1.0
        platform.sessionsOf("nobody@sandbox.test")
        platform.resumptionPatience = patience
        gc.collect()
        packages = ("iris_twisted", "twisted", "autobahn", "treq")
        return Counter(
            f"{kind.__module__}.{kind.__qualname__}"
            for kind in map(type, gc.get_objects())
            # The reactor keeps timers that were cancelled until they would have been due.
            if kind is not DelayedCall and str(kind.__module__).partition(".")[0] in packages
        )

    def observe(self, event: LogEvent) -> None:
        """Nothing fails but what the applications did wrong."""
        failure = event.get("log_failure")
        if failure is not None and not failure.check(Own):
            self.logged.append(eventAsText(event, includeTraceback=True))


async def _main(reactor: Any, seed: int, minutes: float) -> None:
    soak = Soak(reactor, seed, minutes * 60)
    globalLogBeginner.beginLoggingTo([soak.observe], redirectStandardIO=False, discardBuffer=True)
    broken = ""
    try:
        await soak.run()
    except BrokenPromise as e:
        broken = str(e)
    except Exception:
        # Out of a turn of ours: as bad as a promise that is broken.
        broken = traceback.format_exc()
    done = ", ".join(f"{count} {name}" for name, count in sorted(soak.done.items()))
    stats = Counter[str]()
    for application in soak.applications:
        each = application.watched.connection.stats
        stats.update(connects=each.connects, notifications=each.notifications)
    print(
        f"soak, {minutes:g} minutes, seed {seed}: {done}; of those in it at the end: {dict(stats)}"
    )
    if broken:
        print(f"broken: {broken}\nagain: python -m tests.soak --minutes {minutes:g} --seed {seed}")
    print(
        "0 passed, 1 failed, 0 skipped" if broken else "1 passed, 0 failed, 0 skipped", flush=True
    )
    if broken:
        sys.exit(1)


def main() -> None:
    """Exits with 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    chosen = parser.parse_args()
    seed = chosen.seed
    if seed is None:
        # The same in CI each time; anywhere else a new one, to find new things.
        seed = 20261123 if os.environ.get("CI") else random.randrange(2**32)
    print(f"soak, seed {seed}", flush=True)
    react(lambda reactor: ensureDeferred(_main(reactor, seed, chosen.minutes)))


if __name__ == "__main__":
    main()
