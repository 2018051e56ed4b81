"""
L{iris_twisted.cluster.fruitless}: whom a member asks in vain, and for how long.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster.fruitless import Fruitless


class Memory(SynchronousTestCase):
    """What is remembered from look to look."""

    def setUp(self) -> None:
        self.fruitless = Fruitless()
        self.fruitless.see("who", 0, 100.0)
        self.fruitless.add(7)

    def test_nothingMoves(self) -> None:
        """While nothing is moved nobody is asked again, however long that is."""
        for now in range(100, 10_000, 3):
            self.fruitless.see("who", 0, now)
        self.assertEqual(self.fruitless.sources, {7})

    def test_moved(self) -> None:
        """A move is followed by one attempt more: it may have made room, or put two in one zone."""
        self.fruitless.see("who", 1, 110.0)
        self.fruitless.see("who", 1, 119.0)
        self.assertEqual(self.fruitless.sources, {7})
        self.fruitless.see("who", 1, 120.0)
        self.assertEqual(self.fruitless.sources, set())
        self.fruitless.add(7)
        self.fruitless.see("who", 1, 1000.0)
        self.assertEqual(self.fruitless.sources, {7})

    def test_alwaysMoving(self) -> None:
        """Where something is moved all the time, there is one each ten seconds."""
        asked = 0
        for now in range(100, 200):
            self.fruitless.see("who", now, now)
            if not self.fruitless.sources:
                asked += 1
                self.fruitless.add(7)
        self.assertIn(asked, (9, 10))

    def test_somebodyElse(self) -> None:
        """Who comes, goes or changes makes everybody be asked at once."""
        self.fruitless.see("others", 0, 101.0)
        self.assertEqual(self.fruitless.sources, set())
