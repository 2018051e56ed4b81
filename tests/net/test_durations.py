"""
Numbers of seconds from callers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.durations import checkSeconds


class Durations(SynchronousTestCase):
    """What is one."""

    def test_numbers(self) -> None:
        """Finite and above zero, or zero where that is allowed."""
        self.assertEqual(checkSeconds("x", 3), 3.0)
        self.assertIsInstance(checkSeconds("x", 3), float)
        self.assertEqual(checkSeconds("x", 0, zero=True), 0.0)

    def test_refused(self) -> None:
        """Everything else is named, in one sentence, however large it is."""
        for value in (0, -1, float("inf"), float("nan"), True, "3", None, int("1" * 400)):
            with self.assertRaises(IncorrectParameters) as caught:
                checkSeconds("x", value)
            self.assertIn("x must be a number of seconds", caught.exception.message)
            self.assertLess(len(caught.exception.message), 100)
