"""
L{iris_twisted.connection.refused_calls}: however many calls are refused, the log stays short.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.refused_calls import RefusedCalls
from iris_twisted.connection.totals import Totals
from iris_twisted.errors import NotKept, NotTaken

from ..contract.test_contract import ContractCase
from ..doubles import DriftingClock, World

FULL = "the outbox calls.db failed: database or disk is full"


def linesOf(logs: list[Any]) -> list[str]:
    """What an operator reads by default: warnings and errors, without times."""
    return [
        eventAsText(log, includeTimestamp=False, includeSystem=False)
        for log in logs
        if log["log_level"].name in ("warn", "error", "critical")
    ]


class Lines(SynchronousTestCase):
    """What is told of calls that come all the time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.refused = RefusedCalls()
        self.refused.join(self, self.clock)

    def tearDown(self) -> None:
        self.refused.leave(self)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def lines(self, seconds: float, *words: str, each: float = 0.025) -> list[str]:
        """What is told while calls are refused so, for so long; taken, where there are no words."""
        with capturedLogs() as logs:
            for _ in range(round(seconds / each)):
                for word in words:
                    self.refused.refused(word)
                if not words and self.refused.areTold:
                    self.refused.taken()
                self.clock.advance(each)
        return linesOf(logs)

    def test_first(self) -> None:
        """The first one is told at once."""
        with capturedLogs() as logs:
            self.refused.refused(FULL)
        self.assertEqual(linesOf(logs), [f"onNotification failed: {FULL}"])

    def test_more(self) -> None:
        """The next ones are told together, a line a minute, with how many there were."""
        lines = self.lines(180.0, FULL)
        more = f"2400 more calls were refused in the last 60 s: {FULL}"
        self.assertEqual(lines, [f"onNotification failed: {FULL}", more, more])

    def test_noneFollows(self) -> None:
        """What was refused in a short time is told within the minute though no call follows."""
        self.lines(1.0, FULL)
        with capturedLogs() as logs:
            self.clock.advance(59.5)
        self.assertEqual(linesOf(logs), [f"39 more calls were refused in the last 60 s: {FULL}"])

    def test_over(self) -> None:
        """When calls are taken again that is told, once; the next refusal is a new one."""
        self.lines(30.0, FULL)
        lines = self.lines(120.0)
        self.assertEqual(lines, [f"calls are taken again; 1200 were refused: {FULL}"])
        self.assertFalse(self.refused.areTold)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lines(1.0, FULL), [f"onNotification failed: {FULL}"])

    def test_notOver(self) -> None:
        """That no call comes does not mean that they are taken."""
        self.lines(1.0, FULL)
        with capturedLogs() as logs:
            self.clock.advance(3600)
        self.assertEqual(len(linesOf(logs)), 1)
        self.assertEqual(len(self.lines(11.0)), 1)

    def test_someTaken(self) -> None:
        """While some are taken and others refused, nobody is told that it is over."""
        lines = []
        for _ in range(300):
            lines += self.lines(0.5, FULL)
            lines += self.lines(0.5)
        self.assertEqual(len(lines), 5)
        self.assertFalse([line for line in lines if "again" in line])

    def test_reasons(self) -> None:
        """Each reason is told by itself."""
        gone = "nobody takes it"
        lines = self.lines(61.0, FULL, gone, each=1.0)
        self.assertEqual(
            lines,
            [
                f"onNotification failed: {FULL}",
                f"onNotification failed: {gone}",
                f"59 more calls were refused in the last 60 s: {FULL}",
                f"59 more calls were refused in the last 60 s: {gone}",
            ],
        )
        self.assertEqual(len(self.lines(11.0)), 2)

    def test_thousandsOfReasons(self) -> None:
        """Where each account has a reason of its own, they are told together."""
        words = [f"a call for {n}@example.com cannot be written as JSON" for n in range(5000)]
        lines = self.lines(61.0, *words, each=1.0)
        self.assertEqual(len(lines), 11 + 11)
        self.assertEqual(
            lines[-1],
            f"{4990 * 60 - 1} more calls were refused in the last 60 s, for other reasons; the last "
            f"one: {words[-1]}",
        )
        self.assertEqual(
            self.lines(11.0)[-1],
            f"calls are taken again; {4990 * 61} were refused for other reasons; the last one: "
            f"{words[-1]}",
        )


class Connections(ContractCase):
    """Connections that share their totals, as all of a fleet do."""

    def worlds(self, count: int) -> list[World]:
        clock, totals = DriftingClock(), Totals()
        worlds = [World(clock=clock, totals=totals) for _ in range(count)]
        for world in worlds:
            world.up().recorder.react["onNotification"] = lambda _: fail(NotKept(FULL))

        def nothingLeft() -> None:
            for world in worlds:
                world.close()
            worlds[0].advance(5)
            self.assertEqual(worlds[0].leftovers(), [])

        self.addCleanup(nothingLeft)
        return worlds

    def test_together(self) -> None:
        """All are counted, each in its own, and told of as one."""
        worlds = self.worlds(5)
        with capturedLogs() as logs:
            for _ in range(61):
                for world in worlds:
                    world.notify()
                worlds[0].advance(1)
        more = f"299 more calls were refused in the last 60 s: {FULL}"
        self.assertEqual(linesOf(logs), [f"onNotification failed: {FULL}", more])
        self.assertEqual([world.connection.stats.callbackErrors for world in worlds], [61] * 5)

    def test_wallClock(self) -> None:
        """Setting the wall clock does not make it come late."""
        (world,) = self.worlds(1)
        with capturedLogs() as logs:
            world.notify(3)
            world.clock.jump(-3600)
            world.advance(60)
        self.assertEqual(len(linesOf(logs)), 2)

    def test_taken(self) -> None:
        """It is over when another of them takes calls: at once, or when its Deferred fires."""
        one, other = self.worlds(2)
        for react in None, lambda _: Deferred():
            one.notify()
            other.recorder.react["onNotification"] = react or (lambda _: None)
            other.notify()
            with capturedLogs() as logs:
                one.advance(11)
            over = [] if react else [f"calls are taken again; 1 were refused: {FULL}"]
            self.assertEqual(linesOf(logs), over)
        waiting: Deferred[None] = Deferred()
        other.recorder.react["onNotification"] = lambda _: waiting
        other.notify()
        waiting.callback(None)
        with capturedLogs() as logs:
            one.advance(11)
        self.assertEqual(linesOf(logs), [f"calls are taken again; 1 were refused: {FULL}"])

    def test_closed(self) -> None:
        """The last that is closed tells what was not told yet, and leaves no timer."""
        one, other = self.worlds(2)
        one.notify(5)
        with capturedLogs() as logs:
            one.close()
            one.settle()
        self.assertEqual(linesOf(logs), [])
        with capturedLogs() as logs:
            other.close()
            other.settle()
        self.assertEqual(linesOf(logs), [f"4 more calls were refused in the last 0 s: {FULL}"])

    def test_failedAfterClose(self) -> None:
        """Calls that fail after that start no timer, and are told by the next connection."""
        (world,) = self.worlds(1)
        waiting: list[Deferred[None]] = []
        world.recorder.react["onNotification"] = lambda _: waiting.append(Deferred()) or waiting[-1]
        world.notify(3)
        world.close()
        world.settle()
        with capturedLogs() as logs:
            for deferred in waiting:
                deferred.errback(NotTaken("nobody takes it"))
        self.assertEqual(linesOf(logs), ["onNotification failed: nobody takes it"])
        world.advance(5)
        self.assertEqual(world.leftovers(), [])
        with capturedLogs() as logs:
            world.connect()
            world.settle()
            world.advance(60)
        self.assertEqual(
            linesOf(logs), ["2 more calls were refused in the last 60 s: nobody takes it"]
        )

    def test_otherCallbacks(self) -> None:
        """Another callback that does the same is told as such, and is no call."""
        world = self.world().up()
        world.recorder.react["onEvent"] = lambda _: fail(NotKept(FULL))
        with capturedLogs() as logs:
            world.notify(2)
        self.assertEqual(linesOf(logs), [f"onEvent failed: {FULL}"] * 2)
