"""
One timer for many: what happens again and again at the same interval shares it.

Thousands of connections ping every few seconds; a delayed call for each beat of each
would cost more than the beats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

__all__ = ["Sweep", "sweepFor"]

# Whoever comes is served at full intervals, early by one of so many parts of it at most. A
# thousand connections are two at a time then: what arrives meanwhile waits a fraction of a
# millisecond.
_PARTS = 500


class Sweep:
    """
    Calls its members once per interval each. While there are none it holds no timer.

    @param interval: seconds.
    @param emptied: called when the last member left.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, interval: float, emptied: Callable[[], object] = lambda: None
    ) -> None:
        self._reactor = reactor
        self._interval = interval
        self._part = interval / _PARTS
        self._emptied = emptied
        # When each batch is due, in order; dicts keep the order of joining.
        self._batches: dict[float, dict[Callable[[], object], None]] = {}
        self._due: dict[Callable[[], object], float] = {}
        self._timer: IDelayedCall | None = None

    def join(self, member: Callable[[], object]) -> None:
        """Call this once per interval, the first time about one interval from now."""
        now = self._reactor.seconds()
        last = next(reversed(self._batches), None)
        due = now + self._interval
        # Those who come soon after one another beat together.
        if last is not None and last <= due < last + self._part:
            due = last
        self._due[member] = due
        self._batches.setdefault(due, {})[member] = None
        self._schedule()

    def leave(self, member: Callable[[], object]) -> None:
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

    def _schedule(self) -> None:
        """Be awake when the first batch is due."""
        due = next(iter(self._batches), None)
        timer = self._timer
        if due is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
        elif timer is None:
            self._timer = self._reactor.callLater(
                max(0.0, due - self._reactor.seconds()), self._beat
            )
        elif due > timer.getTime():
            # The batch that it was set for is empty.
            timer.reset(max(0.0, due - self._reactor.seconds()))

    def _beat(self) -> None:
        self._timer = None
        due = next(iter(self._batches))
        batch = self._batches.pop(due)
        # After a stall of ours the next beat is a whole interval away, as the last was.
        following = max(due, self._reactor.seconds() - self._part) + self._interval
        self._batches[following] = {**self._batches.get(following, {}), **batch}
        for member in batch:
            self._due[member] = following
        self._schedule()
        for member in batch:
            # One of them may have made another leave.
            if member in self._due:
                try:
                    member()
                except Exception:
                    self._log.failure("a bug in what happens at intervals")


# Those that have members, by reactor (which they keep alive) and interval.
_sweeps: dict[tuple[int, float], Sweep] = {}


def sweepFor(reactor: Any, interval: float) -> Sweep:
    """The sweep of that interval which all connections on this reactor share."""
    key = id(reactor), interval
    sweep = _sweeps.get(key)
    if sweep is None:
        sweep = _sweeps[key] = Sweep(reactor, interval, lambda: _sweeps.pop(key, None))
    return sweep
