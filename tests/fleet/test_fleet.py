"""
Many connections from one configuration.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from iris_twisted import IrisFleet
from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import ConnectionFailed, IncorrectParameters

from ..doubles import URL, FixedDelay, Recorder, World
from ..network import NetworkCase

UP = ConnectionState.CONNECTED


class FleetCase(SynchronousTestCase):
    """A fleet in a world with a clock and no network."""

    def fleet(self, **options: Any) -> IrisFleet:
        self.world = World()
        settings = {
            "reactor": self.world.clock,
            "discovery": self.world.discovery,
            "transport": self.world.provider,
            "retryPolicy": FixedDelay(1.0),
            **options,
        }
        fleet = IrisFleet(URL, **settings)
        self.addCleanup(self.ended, fleet)
        return fleet

    def ended(self, fleet: IrisFleet) -> None:
        if fleet.running:
            stopped = fleet.stopService()
            self.world.advance(1)
            self.successResultOf(stopped)
        self.assertEqual(self.world.leftovers(), [])

    def add(self, fleet: IrisFleet, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            fleet.add(f"u{number}@example.test", "token")

    def test_service(self) -> None:
        """It is an IService."""
        self.assertTrue(verifyObject(IService, self.fleet()))

    def test_upAndDown(self) -> None:
        """All accounts come up, and stopping leaves nothing."""
        fleet = self.fleet()
        self.add(fleet, 20)
        fleet.startService()
        self.world.advance(5)
        self.assertEqual(fleet.states, {UP: 20})
        self.assertEqual(fleet.stats.connects, 20)
        self.assertEqual(fleet.attemptsUnderWay, 0)

    def test_ramp(self) -> None:
        """Accounts are started so many per second."""
        fleet = self.fleet(ramp=10.0)
        self.add(fleet, 25)
        fleet.startService()
        for second, started in ((1, 11), (2, 21), (3, 25)):
            self.world.advance(second - (self.world.clock.seconds() - 1_700_000_000), step=0.1)
            self.assertEqual(len(self.world.discovery.tokens), started)

    def test_attempts(self) -> None:
        """Never more attempts under way than allowed; the others wait without a deadline."""
        fleet = self.fleet(attempts=3, connectTimeout=2.0, ramp=1000.0)
        hanging = [self.world.discovery.hanging() for _ in range(6)]
        self.world.discovery.outcomes = list(hanging)
        self.add(fleet, 10)
        fleet.startService()
        self.world.advance(1)
        self.assertEqual(fleet.attemptsUnderWay, 3)
        self.assertEqual(len(self.world.discovery.tokens), 3)
        # Two rounds of time-outs, then the good answers; nobody else had one.
        self.world.advance(4.5)
        self.assertGreaterEqual(fleet.states[UP], 4)
        self.world.advance(10)
        self.assertEqual(fleet.states, {UP: 10})
        self.assertEqual(self.world.discovery.cancelled, 6)

    def test_stoppedWhileWaiting(self) -> None:
        """Stopping ends what waits for its turn too."""
        fleet = self.fleet(attempts=1, ramp=1000.0)
        self.world.discovery.outcomes = [self.world.discovery.hanging()]
        self.add(fleet, 5)
        fleet.startService()
        self.world.advance(1)
        stopped = fleet.stopService()
        self.world.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.world.discovery.cancelled, 1)
        self.assertEqual(len(self.world.discovery.tokens), 1)
        self.assertEqual(fleet.attemptsUnderWay, 0)

    def test_addedAndRemoved(self) -> None:
        """Accounts come and go while it runs."""
        fleet = self.fleet()
        self.add(fleet, 2)
        fleet.startService()
        self.world.advance(1)
        self.add(fleet, 1, first=2)
        self.world.advance(1)
        self.assertEqual(fleet.states, {UP: 3})
        removed = fleet.remove("u0@example.test")
        self.world.advance(1)
        self.successResultOf(removed)
        self.assertEqual(sorted(fleet.accounts), ["u1@example.test", "u2@example.test"])
        self.assertEqual(fleet.states, {UP: 2})
        self.assertRaises(KeyError, fleet.remove, "u0@example.test")
        # What the removed one counted stays counted.
        self.assertEqual(fleet.stats.connects, 3)

    def test_stoppedWhileOneLeaves(self) -> None:
        """Stopping fires when nothing is left of accounts that were removed before, too."""
        fleet = self.fleet()
        self.add(fleet, 2)
        fleet.startService()
        self.world.advance(1)
        for transport in self.world.transports:
            transport.polite = transport.routingId != "u0@example.test"
        removed = fleet.remove("u0@example.test")
        removed.addErrback(lambda _: None).cancel()
        stopped = fleet.stopService()
        self.world.advance(1)
        self.assertNoResult(stopped)
        self.assertEqual([t.open for t in self.world.transports], [True, False])
        self.world.advance(4)
        self.successResultOf(stopped)
        self.assertEqual(self.world.leftovers(), [])

    def test_removedBeforeItsTurn(self) -> None:
        """What is removed before it was started is not started."""
        fleet = self.fleet(ramp=10.0)
        self.add(fleet, 3)
        fleet.startService()
        fleet.remove("u2@example.test")
        self.world.advance(2)
        self.assertEqual(fleet.states, {UP: 2})
        self.assertEqual(len(self.world.discovery.tokens), 2)

    def test_listenersAndTokens(self) -> None:
        """Each account has its own listener and its own source of tokens."""
        fleet = self.fleet()
        one, two = Recorder(), Recorder()
        fleet.add("a@example.test", "token-a", one)
        fleet.add("b@example.test", "token-b", two, tokenProvider=lambda: "token-c")
        fleet.startService()
        self.world.advance(1)
        self.world.platform.placeCall("b@example.test")
        self.world.settle()
        self.assertEqual(sorted(self.world.discovery.tokens), ["token-a", "token-b"])
        self.assertEqual((one.names(), two.names()[:1]), (["onConnected"], ["onConnected"]))
        fleet.accounts["b@example.test"].connection.updateToken()
        self.world.settle()
        keepers = [fleet.accounts[f"{n}@example.test"].connection._driver.tokens for n in "ab"]
        self.assertEqual([keeper.token for keeper in keepers], ["token-a", "token-c"])

    def test_trouble(self) -> None:
        """A server that goes down: all come back, each by its own retry policy."""
        fleet = self.fleet(attempts=4)
        self.add(fleet, 12)
        fleet.startService()
        self.world.advance(3)
        for transport in list(self.world.transports):
            transport.lose()
        self.world.provider.outcomes = [ConnectionFailed("down")] * 30
        self.world.advance(10)
        self.assertEqual(fleet.states, {UP: 12})
        self.assertEqual(fleet.stats.reconnects, 12)

    def test_mistakes(self) -> None:
        """Bad arguments are named at once."""
        for options, words in (
            ({"attempts": 0}, "attempts"),
            ({"attempts": True}, "attempts"),
            ({"ramp": 0}, "ramp"),
            ({"pingInterval": -1}, "pingInterval"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                IrisFleet(URL, reactor=Clock(), **options)
            self.assertIn(words, str(caught.exception))
        self.assertRaises(IncorrectParameters, IrisFleet, "http://far.test", reactor=Clock())
        fleet = self.fleet()
        fleet.add("a@example.test", "t")
        for routingId, token in (("a@example.test", "t"), ("b", "t"), ("b@example.test", "")):
            self.assertRaises(IncorrectParameters, fleet.add, routingId, token)


class Real(NetworkCase):
    """Over sockets, on the sandbox."""

    async def test_many(self) -> None:
        """A hundred by TLS: few connections to the event manager, every call arrives."""
        sandbox = await self.sandbox(tls=True)
        fleet = IrisFleet(sandbox.url, trustRoot=sandbox.caFile, attempts=10, ramp=1e6)
        recorders = [Recorder() for _ in range(100)]
        for number, recorder in enumerate(recorders):
            routingId = f"u{number}@sandbox.test"
            fleet.add(routingId, sandbox.token(routingId), recorder)
        fleet.startService()
        self.addCleanup(fleet.stopService)
        peak = 0

        def allUp() -> bool:
            nonlocal peak
            peak = max(peak, fleet.attemptsUnderWay)
            return fleet.states[UP] == 100

        await self.until(allUp)
        self.assertEqual(peak, 10)
        for number in range(100):
            sandbox.placeCall(f"u{number}@sandbox.test")
        await self.until(lambda: all(len(r.of("onNotification")) == 1 for r in recorders))
        sandbox.drop()
        await self.until(lambda: fleet.stats.reconnects == 100 and fleet.states[UP] == 100)
        done: Deferred[Any] = fleet.stopService()
        await done
        self.assertEqual(fleet.states, {ConnectionState.DISCONNECTED: 100})
