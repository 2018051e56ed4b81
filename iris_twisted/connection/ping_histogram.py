"""
How long pings took, counted as they are answered: thousands of connections share one count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["PingHistogram"]

# Seconds; the longest that a ping can take is the ping timeout.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PingHistogram:
    """
    A histogram of ping round-trip times; it only grows.

    @ivar total: the sum of all, in seconds.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """A ping took so long."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def cumulative(self) -> Sequence[tuple[float, int]]:
        """Upper bounds in seconds, the last of them infinite, and how many took no longer."""
        passed, result = 0, []
        for bound, count in zip((*_BOUNDS, float("inf")), self._counts, strict=True):
            passed += count
            result.append((bound, passed))
        return result
