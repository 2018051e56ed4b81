"""
How busy the machine is: by how much a thread that wants to sleep for a moment wakes up too late.
"""

from __future__ import annotations

import threading
import time

__all__ = ["Lateness"]

# Seconds.
_MOMENT = 0.1


class Lateness:
    """
    @ivar most: by how many seconds it woke up too late, at most.
    """

    def __init__(self) -> None:
        self.most = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lateness", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(_MOMENT):
            after = time.monotonic()
            self.most = max(self.most, after - before - _MOMENT)
            before = after

    def begin(self) -> None:
        """Count from now on."""
        self.most = 0.0

    def stop(self) -> None:
        """Measure no more."""
        self._stopped.set()
        self._thread.join()
