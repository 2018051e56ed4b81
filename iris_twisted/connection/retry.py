"""
When to try again: exponential backoff with full jitter.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.logger import Logger
from zope.interface import implementer

from ..net.durations import checkSeconds
from .interfaces import IRetryPolicy

__all__ = ["FullJitter", "delayBefore"]

_log = Logger()


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
        self._base = checkSeconds("base", base)
        self._factor = checkSeconds("factor", factor)
        self._cap = checkSeconds("cap", cap)
        self._uniform = uniform

    def delay(self, attempt: int) -> float | None:
        try:
            longest = self._base * self._factor ** (attempt - 1)
        except OverflowError:
            longest = self._cap
        return self._uniform(0.0, min(self._cap, longest))


def delayBefore(policy: IRetryPolicy, attempt: int) -> float | None:
    """
    What an application's policy says, in seconds.

    @return: C{None} where it ends, and where it raises or answers nonsense, which is logged.
    """
    try:
        delay = policy.delay(attempt)
        return None if delay is None else checkSeconds("retryPolicy.delay()", delay, zero=True)
    except Exception:
        _log.failure("the retry policy failed")
        return None
