"""
What Prometheus's own tool says of the metrics.
"""

from __future__ import annotations

import shutil
import subprocess

from prometheus_client import generate_latest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import IrisFleet
from iris_twisted.daemon.metrics import Metrics

PROMTOOL = shutil.which("promtool")


class Promtool(SynchronousTestCase):
    """C{promtool check metrics}."""

    if PROMTOOL is None:
        skip = "promtool is missing: apt-get install prometheus"

    def test_check(self) -> None:
        """It finds nothing to complain of."""
        assert PROMTOOL is not None
        clock = Clock()
        fleet = IrisFleet("https://evm.example.test", reactor=clock)
        fleet.roundTrips.observe(0.002)
        metrics = Metrics(clock, fleet)
        metrics.accepted(0.1)
        metrics.ended("stdout", "taken", 0.1)
        self.successResultOf(Deferred.fromCoroutine(metrics.look()))
        # How the interpreter names its own is not ours to say.
        ours = generate_latest(metrics.registry).decode().splitlines(keepends=True)
        text = "".join(line for line in ours if " python_" not in line and line[:6] != "python")
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60
        )
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, b"", b""))
        self.assertIn('iris_ping_round_trip_seconds_bucket{le="0.0025"} 1.0', text)
