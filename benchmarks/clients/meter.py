"""
What it takes until all calls are where they shall be: the CPU of this process alone, and seconds.
"""

from __future__ import annotations

import json
import time

from twisted.internet.defer import Deferred

from iris_twisted.outbox import OutboxObserver

__all__ = ["Meter"]


class Meter(OutboxObserver):
    """
    From the first call's arrival to the last one's delivery, and acknowledgement.

    @ivar ended_: fires when so many were taken; fails when one was not, for then it is
        something else that is measured.
    """

    def __init__(self, count: int) -> None:
        self.ended_: Deferred[None] = Deferred()
        self._count = count
        self._left = count
        self._began: float | None = None
        self._clock = 0.0

    def came(self) -> None:
        """A call came."""
        if self._began is None:
            self._began = time.process_time()
            self._clock = time.monotonic()

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        self._left -= 1
        if self.ended_.called:
            return
        if outcome != "taken":
            self.ended_.errback(RuntimeError(f"a call for {sink} is {outcome}"))
        elif not self._left:
            self.ended_.callback(None)

    def tell(self) -> None:
        """Print it."""
        assert self._began is not None
        cpu, seconds = time.process_time() - self._began, time.monotonic() - self._clock
        print(json.dumps({"cpu": cpu, "seconds": seconds, "count": self._count}), flush=True)
