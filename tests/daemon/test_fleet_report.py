"""
What a daemon says of many accounts where there is no terminal.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.fleet_report import FleetReport
from iris_twisted.daemon.option_table import OPTIONS
from iris_twisted.errors import IncorrectParameters


class Lines(SynchronousTestCase):
    """One line for all accounts, when it matters."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connected = 0
        self.lines: list[str] = []
        look = lambda: (self.connected, 4999, 5000)  # noqa: E731
        service = FleetReport(self.clock, look, self.lines.append)
        service.startService()

        def stop() -> None:
            service.stopService()
            self.assertEqual(self.clock.getDelayedCalls(), [])

        self.addCleanup(stop)

    def after(self, seconds: float, connected: int) -> list[str]:
        """The lines that follow a change, within so many seconds."""
        self.connected = connected
        self.lines.clear()
        for _ in range(int(seconds / 5)):
            self.clock.advance(5)
        return list(self.lines)

    def test_complete(self) -> None:
        """All that can be are connected: that is told at once, and once."""
        self.assertEqual(self.after(30, 4000), [])
        told = ["Connected:     4,999 of 5,000 accounts"]
        self.assertEqual(self.after(600, 4999), told)

    def test_neverComplete(self) -> None:
        """That they are not is told after a minute."""
        told = ["Connected:     4,000 of 5,000 accounts, not all for more than a minute"]
        self.assertEqual(self.after(600, 4000), told)

    def test_changes(self) -> None:
        """A change of less than a minute is not told; a longer one is, and its end."""
        self.after(10, 4999)
        self.assertEqual(self.after(55, 10), [])
        self.assertEqual(self.after(60, 4999), [])
        self.assertEqual(len(self.after(75, 10)), 1)
        self.assertEqual(self.after(75, 4999), ["Connected:     4,999 of 5,000 accounts"])


class Shares(SynchronousTestCase):
    """--ready-share."""

    def test_values(self) -> None:
        """A number above 0 and at most 1; anything else is named."""
        (option,) = [option for option in OPTIONS if option.name == "ready-share"]
        self.assertEqual([option.ofText("1"), option.check(0.5)], [1.0, 0.5])
        for wrong in (0, 1.5, True, "x", float("nan"), None):
            error = self.assertRaises(IncorrectParameters, option.check, wrong)
            self.assertIn("above 0 and at most 1", error.message)
        self.assertRaises(IncorrectParameters, option.ofText, "many")
