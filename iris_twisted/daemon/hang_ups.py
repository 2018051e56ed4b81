"""
SIGHUP: everything is read again. It ends the process neither while that starts nor while it
stops: C{logrotate} does not know when.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..errors import IncorrectParameters
from .accounts import Account
from .configuration import Configuration
from .daemon import Daemon

__all__ = ["EarlyHangUps", "HangUps"]


class EarlyHangUps:
    """
    Notes SIGHUP before there is a L{HangUps}, and after it.

    @ivar came: whether there was one.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def begin(self) -> None:
        """From now on."""
        self._before = signal.signal(signal.SIGHUP, self._hungUp)

    def end(self) -> None:
        """Not any more: it does again what it did before."""
        if self._before is not None:
            signal.signal(signal.SIGHUP, self._before)
            self._before = None

    def _hungUp(self, *_: object) -> None:
        self.came = True


class HangUps(Service):
    """
    Reads everything again on SIGHUP.

    @param read: gives the new configuration and its tokens.
    @param early: knows whether there was one already; what it was read before may be old.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        daemon: Daemon,
        read: Callable[[], tuple[Configuration, Mapping[Account, str | None]]],
        early: EarlyHangUps,
    ) -> None:
        self._reactor = reactor
        self._daemon = daemon
        self._read = read
        self._early = early
        self._before: Any = None

    def startService(self) -> None:
        super().startService()
        self._before = signal.signal(signal.SIGHUP, self._hungUp)
        if self._early.came:
            self._hungUp()

    def stopService(self) -> None:
        super().stopService()
        # In a program that is C{EarlyHangUps}'s: a signal amid closing is noted, and no more.
        signal.signal(signal.SIGHUP, self._before)

    def _hungUp(self, *_: object) -> None:
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Read everything again; what is wrong with it is logged, and changes nothing."""
        if not self.running:
            return
        self._daemon.reopen()
        try:
            configuration, tokens = self._read()
        except IncorrectParameters as e:
            self._log.error("not reloaded: {reason}", reason=e.message)
            return
        adopting: Deferred[None] = self._daemon.adopt(configuration, tokens)
        adopting.addErrback(lambda failure: self._log.failure("a bug in reloading", failure))
