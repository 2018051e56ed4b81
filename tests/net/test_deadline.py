"""
Work that may take so long and no longer.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import NoAnswer, NotTaken
from iris_twisted.net.deadline import Deadlines


class Several(SynchronousTestCase):
    """Much that may take as long each."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, 10.0)

    def begin(self, work: Deferred[Any] | None = None) -> Deferred[Any]:
        return self.deadlines.bound(Deferred() if work is None else work, lambda: "too late")

    def test_inTime(self) -> None:
        """What is done in time has its result, in any order; then no timer is left."""
        one, two, three = (self.begin() for _ in range(3))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        two.callback(2)
        three.errback(NotTaken("no"))
        self.assertEqual(self.successResultOf(two), 2)
        self.failureResultOf(three, NotTaken)
        one.callback(1)
        self.assertEqual(self.successResultOf(one), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_eachItsOwn(self) -> None:
        """Each has as long as the others, from when it began."""
        first = self.begin()
        self.clock.advance(4)
        second, done = self.begin(), self.begin()
        done.callback(None)
        self.clock.advance(5.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        self.assertEqual(self.failureResultOf(first, NoAnswer).value.message, "too late")
        self.clock.advance(3.8)
        self.assertNoResult(second)
        self.clock.advance(0.2)
        self.failureResultOf(second, NoAnswer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another(self) -> None:
        """Who begins another when one is late has one timer, and the whole time."""
        first = self.begin()
        again: list[Deferred[Any]] = []
        first.addErrback(lambda _: again.append(self.begin()))
        self.clock.advance(10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(9.9)
        self.assertNoResult(again[0])
        self.clock.advance(0.2)
        self.failureResultOf(again[0], NoAnswer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cleanedUp(self) -> None:
        """What is late is cancelled once, and may take its time to clean up."""
        cleaning: Deferred[None] = Deferred()

        async def clean() -> None:
            try:
                await Deferred()
            except CancelledError:
                await cleaning
                raise NotTaken("cut") from None

        work = self.begin(Deferred.fromCoroutine(clean()))
        self.clock.advance(10)
        self.assertNoResult(work)
        self.clock.advance(60)
        self.assertFalse(cleaning.called)
        cleaning.callback(None)
        self.failureResultOf(work, NoAnswer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Whoever cancels it is not told that it was late."""
        work = self.begin()
        work.cancel()
        self.assertNotIsInstance(self.failureResultOf(work).value, NoAnswer)
        self.assertEqual(self.clock.getDelayedCalls(), [])
