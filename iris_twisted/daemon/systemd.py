"""
Telling systemd how we are (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..net.steady_time import steadyTime

__all__ = ["SystemdNotifier"]

# Seconds between two words on how we are, when the watchdog wants none sooner.
_PULSE = 10.0


class SystemdNotifier(Service):
    """
    Says C{READY}, C{STATUS}, C{WATCHDOG} and C{STOPPING} to the socket that
    C{NOTIFY_SOCKET} names; nothing when there is none.

    @param status: gives a line of words on how we are.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, environment: Mapping[str, str], status: Callable[[], str]
    ) -> None:
        self._status = status
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._pulse = LoopingCall(self._tell)
        self._pulse.clock = steadyTime(reactor)
        self._watchdog = False
        self._interval = _PULSE
        micros = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if micros.isascii() and micros.isdigit() and int(micros) > 0 and ours:
            self._watchdog = True
            self._interval = min(_PULSE, int(micros) / 2e6)

    def startService(self) -> None:
        super().startService()
        if self._address:
            self._send("READY=1")
            self._pulse.start(self._interval)

    def stopService(self) -> None:
        super().stopService()
        if self._pulse.running:
            self._pulse.stop()
            self._send("STOPPING=1")

    def _tell(self) -> None:
        watchdog = ["WATCHDOG=1"] if self._watchdog else []
        self._send(f"STATUS={self._status()}", *watchdog)

    def _send(self, *lines: str) -> None:
        # A name in the abstract namespace of Linux begins with a zero byte.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
                to.sendto("\n".join(lines).encode(), address)
        except OSError as e:
            self._log.warn("systemd cannot be told: {reason}", reason=e.strerror)
