"""
Tests for L{iris_twisted.connection.pending_answers}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.pending_answers import PendingAnswers
from iris_twisted.errors import NotConnected


class Pending(SynchronousTestCase):
    """Requests that wait for their answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pending = PendingAnswers()

    def test_taken(self) -> None:
        """Each is taken once, by its id, and its timer is gone then."""
        answered = self.pending.add("a", self.clock.callLater(1.0, self.fail), needed=True)
        self.assertIsNone(self.pending.take("b"))
        self.assertIs(self.pending.take("a"), answered)
        self.assertIsNone(self.pending.take("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_takenByItsTimer(self) -> None:
        """The timer itself may take it."""
        taken: list[object] = []
        overdue = self.clock.callLater(1.0, lambda: taken.append(self.pending.take("a")))
        answered = self.pending.add("a", overdue, needed=True)
        self.clock.advance(1.0)
        self.assertEqual(taken, [answered])

    def test_needed(self) -> None:
        """Those that somebody waits for are counted, and no others."""
        counts = [self.pending.needed]
        for id, needed in (("a", True), ("b", False), ("c", True)):
            self.pending.add(id, self.clock.callLater(1.0, self.fail), needed=needed)
            counts.append(self.pending.needed)
        for id in ("b", "c", "c", "a"):
            self.pending.take(id)
            counts.append(self.pending.needed)
        self.assertEqual(counts, [0, 1, 1, 2, 2, 1, 1, 0])

    def test_failed(self) -> None:
        """All fail, each in its turn with an error of its own, and nothing is left."""
        turns: list[Callable[[], None]] = []
        both = [
            self.pending.add(id, self.clock.callLater(1.0, self.fail), needed=True) for id in "ab"
        ]
        self.pending.failAll(lambda: NotConnected("gone"), turns.append)
        self.assertEqual((self.pending.needed, self.clock.getDelayedCalls()), (0, []))
        for answered in both:
            self.assertNoResult(answered)
        for turn in turns:
            turn()
        failures = [self.failureResultOf(answered, NotConnected).value for answered in both]
        self.assertIsNot(*failures)

    def test_late(self) -> None:
        """What is sent while they fail is not one of them."""

        def send(work: Callable[[], None]) -> None:
            self.late = self.pending.add("c", self.clock.callLater(1.0, self.fail), needed=True)

        self.pending.add("a", self.clock.callLater(1.0, self.fail), needed=True)
        self.pending.failAll(lambda: NotConnected("gone"), send)
        self.assertIs(self.pending.take("c"), self.late)
