"""
C{twist iris-cluster-demo}: a cluster on this machine whose members are killed, and no call is
missed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from ..command_line.exit_status import ExitStatus, stopWith
from ..command_line.options import PlainOptions
from ..command_line.terminal import lineWriter
from ..daemon.terminal_output import TerminalOutput
from ..errors import IrisError
from .demo import ClusterDemo, Settings

__all__ = ["Options", "makeService"]


class Options(PlainOptions):
    """The options of C{twist iris-cluster-demo}."""

    command = "twist iris-cluster-demo"
    synopsis = "[options]"
    longdesc = (
        "Starts a PostgreSQL of its own, a sandbox, and members of a cluster on this machine, "
        "places calls all the time, kills a member now and then, and shows that no call is missed."
    )
    metavars = {
        **dict.fromkeys(("members", "accounts", "copies", "rate"), "N"),
        **dict.fromkeys(("kill-every", "seconds"), "SECONDS"),
    }
    optParameters = [
        ["members", "m", 3, "How many members."],
        ["accounts", "a", 60, "How many accounts."],
        ["copies", "c", 2, "How many members keep a connection for each account."],
        ["rate", "r", 10, "How many calls are placed per second."],
        ["kill-every", "k", 60, "Seconds between two kills."],
        ["seconds", "s", None, "End after so long; the status is 1 if a call was missed."],
    ]

    settings: Settings
    seconds: float | None = None

    def parseArgs(self, *surplus: str) -> None:
        if surplus:
            raise UsageError(f"{surplus[0]!r} is no option")

    def postOptions(self) -> None:
        self.settings = Settings(
            int(self._number("members", 2, 20)),
            int(self._number("accounts", 1, 5000)),
            int(self._number("copies", 1, 9)),
            self._number("rate", 0.1, 1000),
            self._number("kill-every", 20, 86_400),
        )
        if self["seconds"] is not None:
            self.seconds = self._number("seconds", 1, 1e9)
        twist: Any = self.parent
        if twist is not None and not any(a.startswith("--log-l") for a in sys.argv[1:]):
            twist["logLevel"] = LogLevel.warn

    def _number(self, name: str, least: float, most: float) -> float:
        try:
            value = float(self[name])
            if not least <= value <= most:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"--{name} must be a number from {least:g} to {most:g}, not {self[name]!r}"
            ) from None
        return value


class _Shown(Service):
    """The demonstration on a terminal."""

    _log = Logger()

    def __init__(self, options: Options, reactor: Any) -> None:
        self._options = options
        self._reactor = reactor
        self._output = TerminalOutput(sys.stdout, os.environ)
        self._complain = lineWriter(sys.stderr)
        self._demo = ClusterDemo(reactor, options.settings, self._output.write)
        self._end: IDelayedCall | None = None
        self._output.broken = self._nobodyReads

    def _nobodyReads(self) -> None:
        self._output.broken = None
        stopWith(self._reactor, int(ExitStatus.EX_IOERR))

    def _hungUp(self, *_: object) -> None:
        self._reactor.callFromThread(lambda: self._output.broken and self._output.broken())

    def startService(self) -> None:
        super().startService()
        # A terminal that is closed ends the demonstration as Ctrl-C does, with all that it started.
        signal.signal(signal.SIGHUP, self._hungUp)
        self._demo.startService()
        assert self._demo.started is not None
        self._demo.started.addCallbacks(self._started, self._failed)

    def _started(self, _: None) -> None:
        if self.running:
            self._output.show(self._demo.lines, self._reactor)
            if self._options.seconds is not None:
                self._end = self._reactor.callLater(self._options.seconds, self._over)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, IrisError):
            self._log.failure("a bug in the demonstration", failure)
        self._complain(getattr(error, "message", "a bug"))
        stopWith(self._reactor, int(ExitStatus.EX_UNAVAILABLE))

    def _over(self) -> None:
        for line in self._demo.lines():
            self._output.write(line)
        stopWith(self._reactor, 1 if self._demo.missed else 0)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._end is not None and self._end.active():
            self._end.cancel()
        self._output.stop()
        return self._demo.stopService()


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The service of C{twist iris-cluster-demo}.

    @param reactor: C{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor
    return _Shown(options, reactor)
