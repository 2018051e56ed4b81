"""
CPU from the first notification to the last, of this process alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

__all__ = ["Meter"]


class Meter:
    """
    @param count: how many notifications there will be.
    @param done: called when the last one came; the result is on stdout then.
    """

    def __init__(self, count: int, done: Callable[[], object]) -> None:
        self._left = count
        self._count = count
        self._done = done
        self._began = 0.0

    def tick(self) -> None:
        """A notification came."""
        if self._left == self._count:
            self._began = time.process_time()
        self._left -= 1
        if not self._left:
            cpu = time.process_time() - self._began
            print(json.dumps({"cpu": cpu, "count": self._count - 1}), flush=True)
            self._done()
