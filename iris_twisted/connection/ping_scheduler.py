"""
One timer for many: what happens again and again at the same interval shares it.

Thousands of connections ping every few seconds; a delayed call for each ping of each
would cost more than the pings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ..net.steady_time import steadyTime

__all__ = ["PingScheduler", "pingSchedulerFor"]

# Whoever comes is served at full intervals, off by one of so many parts of it at most. Those
# of the same part are served together: a process that wakes for each pays for each.
_PARTS = 30
# After so many of them the reactor has its turn: what arrives waits a fraction of a
# millisecond.
_TURN = 8


class PingScheduler:
    """
    Calls its members once per interval each. While there are none it holds no timer.

    @param interval: seconds.
    @param emptied: called when the last member left.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, interval: float, emptied: Callable[[], object] = lambda: None
    ) -> None:
        self._time = steadyTime(reactor)
        self._interval = interval
        self._part = interval / _PARTS
        self._emptied = emptied
        # Time is counted in parts since then. Each batch by when it is due, in order; dicts
        # keep the order of joining.
        self._epoch = self._time.seconds()
        self._batches: dict[int, dict[Callable[[], object], None]] = {}
        self._due: dict[Callable[[], object], int] = {}
        self._timer: IDelayedCall | None = None

    def add(self, member: Callable[[], object]) -> None:
        """Call this once per interval, the first time about one interval from now."""
        self._due[member] = due = self._now() + _PARTS
        self._batches.setdefault(due, {})[member] = None
        self._schedule()

    def remove(self, member: Callable[[], object]) -> None:
        """Call this no more."""
        due = self._due.pop(member, None)
        if due is None:
            return
        batch = self._batches[due]
        del batch[member]
        if not batch:
            del self._batches[due]
            self._schedule()
        if not self._due:
            self._emptied()

    def _now(self) -> int:
        """In whole parts, whatever binary fractions make of them."""
        passed = self._time.seconds() - self._epoch
        return math.floor(passed / self._part + 1e-3)

    def _schedule(self) -> None:
        """Be awake when the first batch is due."""
        first = next(iter(self._batches), None)
        timer = self._timer
        if first is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
            return
        due = self._epoch + first * self._part
        delay = max(0.0, due - self._time.seconds())
        if timer is None:
            self._timer = self._time.callLater(delay, self._runBatch)
        elif due > timer.getTime():
            # The batch that it was set for is empty.
            timer.reset(delay)

    def _runBatch(self) -> None:
        self._timer = None
        due, batch = next(iter(self._batches.items()))
        turn = list(islice(batch, _TURN))
        # After a stall of ours the next call is a whole interval away, as the last was.
        following = self._now() + _PARTS
        for member in turn:
            del batch[member]
            self._due[member] = following
            self._batches.setdefault(following, {})[member] = None
        if not batch:
            del self._batches[due]
        self._schedule()
        for member in turn:
            # One of them may have made another leave.
            if member in self._due:
                try:
                    member()
                except Exception:
                    self._log.failure("a bug in what happens at intervals")


# Those that have members, by reactor (which they keep alive) and interval.
_schedulers: dict[tuple[int, float], PingScheduler] = {}


def pingSchedulerFor(reactor: Any, interval: float) -> PingScheduler:
    """The scheduler of that interval which all connections on this reactor share."""
    key = id(reactor), interval
    scheduler = _schedulers.get(key)
    if scheduler is None:
        scheduler = _schedulers[key] = PingScheduler(
            reactor, interval, lambda: _schedulers.pop(key, None)
        )
    return scheduler
