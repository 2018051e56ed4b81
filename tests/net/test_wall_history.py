"""
L{iris_twisted.net.wall_history}: ages of dates, whatever the wall clock is set to.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net.wall_history import WallHistory, wallHistory

from ..doubles import DriftingClock


class Ages(SynchronousTestCase):
    """How long ago a date was."""

    def setUp(self) -> None:
        self.clock = DriftingClock()
        self.clock.rightNow = 1_700_000_000.0
        self.history = wallHistory(self.clock)

    def test_one(self) -> None:
        """There is one for a reactor; the dates of another's are not known."""
        self.assertIs(wallHistory(self.clock), self.history)
        self.assertIsNone(WallHistory(Clock()).age(1_700_000_000.0))

    def test_set(self) -> None:
        """A date counts steadily, from the time when the clock showed it."""
        dates = []
        for jump in (3600.0, -7200.0, 1e9, -1.6e9):
            self.clock.advance(10)
            dates.append(self.clock.seconds())
            self.clock.advance(10)
            self.clock.jump(jump)
        for date, age in zip(dates, (70.0, 50.0, 30.0, 10.0), strict=True):
            found = self.history.age(date)
            assert found is not None
            self.assertAlmostEqual(found, age, places=3)

    def test_twice(self) -> None:
        """A date that came twice was the second time."""
        self.clock.advance(100)
        self.clock.jump(-50)
        self.clock.advance(10)
        found = [self.history.age(1_700_000_000.0 + n) for n in (20.0, 55.0, 80.0)]
        self.assertEqual(found, [90.0, 5.0, 30.0])

    def test_unknown(self) -> None:
        """What it never showed is not known: before, in the future, and between."""
        self.clock.advance(10)
        self.clock.jump(3600)
        self.clock.advance(10)
        for seconds in (-5.0, 1800.0, 3640.0):
            self.assertIsNone(self.history.age(1_700_000_000.0 + seconds))

    def test_slewed(self) -> None:
        """A clock that is made to go faster was not set: its dates are as old as it says."""
        for _ in range(100):
            self.clock.advance(10)
            self.clock.rightNow += 0.1
            self.assertEqual(self.history.age(self.clock.seconds()), 0.0)
        self.assertAlmostEqual(self.history.age(self.clock.seconds() - 50.0) or 0.0, 50.0)
        self.assertAlmostEqual(self.history.age(1_700_000_020.0) or 0.0, 990.0, places=3)

    def test_setBeforeItIsNoticed(self) -> None:
        """Up to a second passes until it is noticed: dates of that second are known."""
        self.clock.advance(10)
        self.history.age(0.0)
        self.clock.rightNow += 3600
        self.clock.advance(0.2)
        date = self.clock.seconds()
        self.clock.advance(0.8)
        self.clock.jump(0.0)
        self.assertAlmostEqual(self.history.age(date) or 0.0, 0.8, places=3)

    def test_often(self) -> None:
        """What is remembered of a clock that is set all the time has an end."""
        for _ in range(1000):
            self.clock.advance(1)
            self.clock.jump(3600)
        self.assertIsNone(self.history.age(1_700_000_000.5))
        self.assertEqual(self.history.age(self.clock.seconds()), 0.0)
