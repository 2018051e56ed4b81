"""
What a daemon with many accounts says where there is no terminal: whether they are connected,
in one line for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from ..net.steady_time import steadyTime

__all__ = ["FleetReport"]

# Seconds between looks, and for which something must have changed to be told.
_INTERVAL = 5.0
_LASTING = 60.0


class FleetReport(Service):
    """
    Says once that all accounts that can be connected are, or that they are not after a minute;
    and then once whenever that changes for more than a minute.

    @param look: gives how many are connected, how many can be, and how many there are.
    @param write: gets each line.
    """

    def __init__(
        self,
        reactor: Any,
        look: Callable[[], tuple[int, int, int]],
        write: Callable[[str], None],
    ) -> None:
        self._time = steadyTime(reactor)
        self._look = look
        self._write = write
        self._told: bool | None = None
        self._since: float | None = None
        self._looking = LoopingCall(self._see)
        self._looking.clock = self._time

    def startService(self) -> None:
        super().startService()
        self._looking.start(_INTERVAL, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    def _see(self) -> None:
        connected, able, accounts = self._look()
        complete = able > 0 and connected >= able
        if complete == self._told:
            self._since = None
            return
        now = self._time.seconds()
        if self._since is None:
            self._since = now
        atOnce = complete and self._told is None
        if atOnce or now - self._since > _LASTING:
            self._told, self._since = complete, None
            missing = "" if complete else ", not all for more than a minute"
            self._write(f"Connected:     {connected:,} of {accounts:,} accounts{missing}")
