"""
When to try again: exponential backoff with full jitter.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from zope.interface import implementer

from .interfaces import IRetryPolicy
from .values import positive

__all__ = ["FullJitter"]


@implementer(IRetryPolicy)
class FullJitter:
    """
    The delay before attempt n is uniform in [0, min(cap, base * factor^(n-1))],
    so that thousands of clients of one server do not come back in step.

    @param base: seconds, the longest wait before the first attempt.
    @param factor: how much longer each next one may be.
    @param cap: seconds, the longest wait at all.
    @param uniform: gives a random number between two.
    """

    def __init__(
        self,
        base: float = 1.0,
        factor: float = 2.0,
        cap: float = 30.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base = positive("base", base)
        self._factor = positive("factor", factor)
        self._cap = positive("cap", cap)
        self._uniform = uniform

    def delay(self, attempt: int) -> float | None:
        try:
            longest = self._base * self._factor ** (attempt - 1)
        except OverflowError:
            longest = self._cap
        return self._uniform(0.0, min(self._cap, longest))
