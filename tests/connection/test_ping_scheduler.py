"""
One timer for many.
"""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.ping_scheduler import (
    _PARTS,
    _TURN,
    PingScheduler,
    _schedulers,
    pingSchedulerFor,
)

PART = 3.0 / _PARTS


class Scheduling(SynchronousTestCase):
    """What happens again and again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = PingScheduler(self.clock, 3.0)
        self.calls: list[tuple[str, float]] = []

    def member(self, name: str) -> object:
        def call() -> None:
            self.calls.append((name, round(self.clock.seconds(), 3)))

        self.scheduler.add(call)
        return call

    def pump(self, seconds: float, step: float = 0.01) -> None:
        self.clock.pump([step] * round(seconds / step))

    def test_alone(self) -> None:
        """One member calls exactly at its interval, with one timer."""
        self.member("a")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1.0] * 9)
        self.assertEqual(self.calls, [("a", 3.0), ("a", 6.0), ("a", 9.0)])

    def test_together(self) -> None:
        """Thousands need one timer, and each calls once per interval, hardly early."""
        joined = {}
        for number in range(3000):
            self.member(str(number))
            joined[str(number)] = self.clock.seconds()
            self.clock.advance(0.001)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pump(10)
        times: dict[str, list[float]] = {name: [at] for name, at in joined.items()}
        for name, time in self.calls:
            times[name].append(time)
        for name, (joining, *calls) in times.items():
            self.assertGreaterEqual(len(calls), 3, name)
            # Early by a part at most, and late by a step of this clock's.
            self.assertTrue(3 - PART < calls[0] - joining < 3.02, (name, joining, calls))
            gaps = [b - a for a, b in pairwise(calls)]
            self.assertTrue(all(2.97 < gap < 3.03 for gap in gaps), (name, gaps))

    def test_inTurns(self) -> None:
        """Between so many members of a batch the reactor has its turn."""
        for number in range(2 * _TURN + 1):
            self.member(str(number))
        for turn in (_TURN, 2 * _TURN, 2 * _TURN + 1):
            (timer,) = self.clock.getDelayedCalls()
            # Only what is due already, and nothing that this makes due.
            self.clock.rightNow = timer.getTime()
            self.clock.calls.remove(timer)
            timer.func()
            self.assertEqual(len(self.calls), turn)
        self.clock.advance(3)
        self.assertEqual(len(self.calls), 2 * (2 * _TURN + 1))

    def test_leavingBetweenTurns(self) -> None:
        """Whoever waits for the next turn may leave, or all of them."""
        members = [self.member(str(number)) for number in range(_TURN + 2)]

        def leave() -> None:
            for member in members[1:]:
                self.scheduler.remove(member)  # type: ignore[arg-type]

        self.clock.callLater(3, leave)
        self.clock.calls[:] = sorted(self.clock.calls, key=lambda call: call.func is leave)
        self.clock.advance(3)
        self.assertEqual(len(self.calls), _TURN)
        self.clock.advance(3)
        self.assertEqual([name for name, _ in self.calls[_TURN:]], ["0"])

    def test_leaving(self) -> None:
        """Who left calls no more; when nobody is left there is no timer."""
        a, b = self.member("a"), self.member("b")
        self.clock.advance(3)
        self.scheduler.remove(a)  # type: ignore[arg-type]
        self.scheduler.remove(a)  # type: ignore[arg-type]
        self.clock.advance(3)
        self.scheduler.remove(b)  # type: ignore[arg-type]
        self.assertEqual([name for name, _ in self.calls], ["a", "b", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leavingWithinABeat(self) -> None:
        """A member may make another leave, or itself, while they call."""

        def first() -> None:
            self.calls.append(("first", self.clock.seconds()))
            self.scheduler.remove(second)
            self.scheduler.remove(first)

        def second() -> None:
            self.calls.append(("second", self.clock.seconds()))

        self.scheduler.add(first)
        self.scheduler.add(second)
        self.clock.advance(3)
        self.assertEqual(self.calls, [("first", 3.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_laterWhenTheFirstLeaves(self) -> None:
        """The timer follows the members that are left."""
        a = self.member("a")
        self.clock.advance(1)
        self.member("b")
        self.scheduler.remove(a)  # type: ignore[arg-type]
        (timer,) = self.clock.getDelayedCalls()
        self.assertApproximates(timer.getTime(), 4.0, PART)
        self.clock.advance(3)
        self.assertEqual(self.calls, [("b", 4.0)])

    def test_failing(self) -> None:
        """One that fails is logged, and harms no other."""

        def bad() -> None:
            raise ValueError("as the test wants it")

        self.scheduler.add(bad)
        self.member("good")
        self.clock.advance(3)
        self.assertEqual(self.calls, [("good", 3.0)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_stall(self) -> None:
        """After a stall of the reactor nobody calls twice in a hurry."""
        self.member("a")
        self.clock.advance(1)
        self.member("b")
        self.clock.advance(30)
        self.clock.pump([0.01] * 100)
        self.assertEqual([name for name, _ in self.calls], ["a", "b"])
        self.pump(3)
        self.assertEqual([name for name, _ in self.calls], ["a", "b", "a", "b"])

    def test_shared(self) -> None:
        """All connections with that interval on a reactor share one; none is kept."""
        other = Clock()
        one = pingSchedulerFor(self.clock, 3.0)

        def call() -> None:
            pass

        one.add(call)
        self.assertIs(pingSchedulerFor(self.clock, 3.0), one)
        self.assertIsNot(pingSchedulerFor(self.clock, 2.0), one)
        self.assertIsNot(pingSchedulerFor(other, 3.0), one)
        one.remove(call)
        self.assertNotIn((id(self.clock), 3.0), _schedulers)
