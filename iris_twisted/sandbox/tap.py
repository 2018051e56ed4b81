"""
C{twist iris-sandbox}: an Iris platform on this machine.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from ..command_line.exit_status import ExitStatus, stopWith
from ..command_line.options import PlainOptions
from ..command_line.terminal import lineWriter
from ..errors import IncorrectParameters
from .backend import Backend, readAccounts
from .call_tap import SANDBOX
from .records import SandboxError
from .server import Sandbox, startSandbox

__all__ = ["Options", "makeService"]

_EVENT_MANAGER = """\
An event manager for {backend} at {url}

Connect a client in another terminal:
    IRIS_TOKEN=... twist iris --event-manager {url} --routing-id {example}{trust}

Ctrl-C ends."""

_HELP = """\
The sandbox plays an Iris platform at {url}

Connect a client in another terminal (any token will do):
    IRIS_TOKEN=any twist iris --event-manager {url} --routing-id alice@sandbox.test{trust}

Call it from a third one:
    twist iris-call{sandbox}{trust} alice@sandbox.test

Ctrl-C ends."""


class Options(PlainOptions):
    """The options of C{twist iris-sandbox}."""

    command = "twist iris-sandbox"
    synopsis = "[options]"
    longdesc = "Plays an Iris platform, for tests and demonstrations: everything is in memory."
    metavars = {
        "port": "PORT",
        "interface": "ADDRESS",
        "backend": "URL",
        "accounts": "FILE",
        "pages": "FOLDER",
    }
    optParameters = [
        ["port", "p", 8188, "The port to listen on; 0 for any free one."],
        ["interface", "i", "127.0.0.1", "The IPv4 address to listen on."],
        ["backend", "b", None, "A real XMPP server, ws://HOST:PORT/PATH: run its event manager "
         "alone."],
        ["accounts", "a", None, "With --backend: a TOML file of [[account]] tables with "
         "routing-id, token and password."],
        ["pages", None, None, "A folder to serve at /pages/, for clients in browsers."],
    ]  # fmt: skip
    optFlags = [["tls", None, "Use TLS, with a certificate made for the occasion."]]

    def parseArgs(self, *surplus: str) -> None:
        if surplus:
            raise UsageError(f"{surplus[0]!r} is no option")

    def postOptions(self) -> None:
        try:
            self["port"] = int(self["port"])
            if not 0 <= self["port"] <= 65535:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"--port must be a number from 0 to 65535, not {self['port']!r}"
            ) from None
        if (self["backend"] is None) != (self["accounts"] is None):
            raise UsageError("--backend and --accounts need each other")
        self["realServer"] = None
        if self["backend"] is not None:
            try:
                self["users"] = readAccounts(self["accounts"])
            except IncorrectParameters as e:
                raise UsageError(f"--accounts: {e.message}") from None
            try:
                self["realServer"] = Backend(self["backend"], self["users"])
            except SandboxError as e:
                raise UsageError(f"--backend: {e}") from None
        if self["pages"] is not None and not os.path.isdir(self["pages"]):
            raise UsageError(f"--pages: {self['pages']} is no folder")
        twist: Any = self.parent
        if twist is not None and not any(a.startswith("--log-l") for a in sys.argv[1:]):
            twist["logLevel"] = LogLevel.warn


class _SandboxService(Service):
    def __init__(self, options: Options, reactor: Any) -> None:
        self._options = options
        self._reactor = reactor
        self._starting: Deferred[Sandbox | None] | None = None
        self._say = lineWriter(sys.stdout)
        self._complain = lineWriter(sys.stderr)

    def startService(self) -> None:
        super().startService()
        options = self._options
        starting: Deferred[Any] = startSandbox(
            self._reactor,
            tls=bool(options["tls"]),
            port=options["port"],
            interface=options["interface"],
            backend=options["realServer"],
            pages=options["pages"],
        )
        self._starting = starting.addCallbacks(self._started, self._refused)

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        if self._starting is None:
            return None
        return self._starting.addCallback(
            lambda sandbox: None if sandbox is None else sandbox.stop()
        )

    def _started(self, sandbox: Sandbox) -> Sandbox:
        trust = f" --ca-file {sandbox.caFile}" if sandbox.caFile else ""
        if self._options["realServer"] is None:
            where = "" if sandbox.url == SANDBOX else f" --sandbox {sandbox.url}"
            self._say(_HELP.format(url=sandbox.url, trust=trust, sandbox=where))
        else:
            backend, example = self._options["backend"], next(iter(self._options["users"]))
            self._say(
                _EVENT_MANAGER.format(
                    backend=backend, url=sandbox.url, example=example, trust=trust
                )
            )
        return sandbox

    def _refused(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, CannotListenError):
            failure.raiseException()
        where = f"{self._options['interface']}:{self._options['port']}"
        self._complain(f"Cannot listen on {where}: {error.socketError}")
        self._complain("Is another program using it? Choose another one with --port.")
        stopWith(self._reactor, int(ExitStatus.EX_UNAVAILABLE))


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The service of C{twist iris-sandbox}.

    @param reactor: C{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor
    return _SandboxService(options, reactor)
