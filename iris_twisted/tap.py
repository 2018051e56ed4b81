"""
C{twist iris}: connections whose calls are written down, or given to sinks.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import LogLevel, jsonFileLogObserver, textFileLogObserver
from twisted.python.usage import UsageError

from .command_line.exit_status import ExitStatus, statusFor, stopWith
from .command_line.help_text import Section
from .command_line.options import PlainOptions
from .command_line.terminal import lineWriter
from .daemon.accounts import Account
from .daemon.configuration import Configuration
from .daemon.daemon import Daemon
from .daemon.hang_ups import EarlyHangUps, HangUps
from .daemon.interfaces import ICluster
from .daemon.log_lines import jsonLines
from .daemon.named_files import sinkContext, tokensOf
from .daemon.operator_site import checkEndpoint
from .daemon.option_table import OPTIONS, helpSections
from .daemon.terminal_output import LogLines, TerminalOutput
from .errors import IncorrectParameters, IrisError
from .net.addresses import checkToken
from .outbox.spool import checkSpool, mayPass
from .sinks.registry import makeSink

__all__ = ["Options", "makeService"]

_DEMO_USER = "demo@sandbox.test"


def checkCluster(configuration: Configuration) -> None:
    """
    @raise IncorrectParameters: when its connection string or key file is none, or the
        packages are missing.
    """
    where = configuration.origins.get("cluster", "--cluster")
    try:
        from .cluster.conninfo import checkConninfo
        from .cluster.key_file import Keys
    except ImportError as e:
        raise IncorrectParameters(
            f"{where} needs {e.name}: pip install iris-twisted[cluster]"
        ) from None
    try:
        checkConninfo(configuration["cluster"])
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{where} {e.message}") from None
    Keys(configuration["cluster-key-file"])


def checkStdout(configuration: Configuration) -> None:
    """
    @raise IncorrectParameters: when it is closed, and calls would go nowhere for that.
    """
    if sys.stdout is not None or configuration["cluster"] is not None:
        return
    if any(re.match(r"stdout\b", spec) for spec in configuration.sinks):
        raise IncorrectParameters("sink stdout: stdout is closed")
    if not configuration.sinks and configuration.output != "none":
        raise IncorrectParameters(
            "stdout is closed, and there is no --sink: calls would go nowhere; --output none if "
            "that is meant"
        )


class Options(PlainOptions):
    """
    The options of C{twist iris}.

    @ivar configuration: what they say, with the environment and the file.
    @ivar tokens: of its accounts.
    @ivar hangUps: notes SIGHUP as soon as options are read.
    """

    command = "twist iris"
    synopsis = "[options]"
    longdesc = (
        "Connects to an Iris RTC platform and writes down its calls. "
        "Without --event-manager, a sandbox plays the platform. Each option can also stand in "
        "the environment (IRIS_EVENT_MANAGER) or in a file (--config)."
    )
    optParameters = [
        ["config", "C", None, "A TOML file of these options, and [[account]] tables."],
        # No default here: what was not given leaves room for the environment and the file.
        *([o.name, o.short, None, o.help] for o in OPTIONS if o.kind not in ("flag", "list")),
    ]
    optFlags = [
        *([o.name, o.short, o.help] for o in OPTIONS if o.kind == "flag"),
        [
            "check",
            None,
            "Check everything, print the effective configuration, and end. With "
            "--check=online try the platform too, and say which step fails.",
        ],
    ]

    configuration: Configuration
    tokens: dict[Account, str | None]

    def __init__(self) -> None:
        super().__init__()
        self.hangUps = EarlyHangUps()
        self["sink"], self["trusted-sender"] = [], []

    def opt_trusted_sender(self, sender: str) -> None:
        """See the table of options."""
        self["trusted-sender"].append(sender)

    def opt_sink(self, sink: str) -> None:
        """See the table of options."""
        self["sink"].append(sink)

    opt_s = opt_sink

    metavars = {"config": "FILE"}

    def sections(self) -> Sequence[Section]:
        others = [self.entry(name) for name in ("config", "check", "help", "version")]
        return helpSections(others)

    _online = False
    _checks: Sequence[str] = ()

    def parseOptions(self, options: Sequence[str] | None = None) -> Any:
        words = sys.argv[1:] if options is None else list(options)
        # getopt knows no option that may have a value, or none.
        self._checks = [w for w in words if w.startswith("--check=")]
        self._online = "--check=online" in words
        return super().parseOptions(["--check" if w in self._checks else w for w in words])

    def parseArgs(self, *surplus: str) -> None:
        if surplus:
            raise UsageError(f"{surplus[0]!r} is no option")

    def postOptions(self) -> None:
        for word in self._checks:
            if word != "--check=online":
                raise UsageError(f"{word}: it is --check, or --check=online")
        if self.parent is not None:
            self.hangUps.begin()
        try:
            self.configuration, self.tokens = self.read()
            if self.configuration["spool"] is not None:
                # Not when it is read again: then the spool is ours, and in use.
                self._checkSpool(self.configuration["spool"])
            if self.configuration["cluster"] is not None:
                checkCluster(self.configuration)
            if self.configuration["operators"] is not None:
                # Nor these: a mistake in their file keeps no account from being read again.
                from .operators import readOperators

                readOperators(self.configuration["operators"])
            if not self["check"]:
                checkStdout(self.configuration)
        except IncorrectParameters as e:
            raise UsageError(e.message) from None
        if self.configuration["event-manager"] is None:
            # The demonstration ends with its terminal.
            self.hangUps.end()
        if self["check"]:
            if self._online and self.configuration["event-manager"] is None:
                raise UsageError("--check=online needs --event-manager: whom to ask")
            if self.configuration["event-manager"] is None:
                print("# Without event-manager a sandbox in the same process plays the platform.")
            print("\n".join(self.configuration.lines()))
            if self._online:
                self._tryOnline()
            raise SystemExit(0)
        self._quietLogs()

    def _checkSpool(self, path: str) -> None:
        """What passes is no mistake: whoever watches over this program may start it again."""
        try:
            checkSpool(path, inUse=bool(self["check"]))
        except IncorrectParameters as e:
            if not mayPass(e):
                raise
            lineWriter(sys.stderr)(f"{self.command}: {e.message}")
            raise SystemExit(int(ExitStatus.EX_TEMPFAIL)) from None

    def _tryOnline(self) -> None:
        """Ends with the status of what failed first."""
        from .daemon.online_check import OnlineCheck

        say = lineWriter(sys.stdout)

        async def trying(reactor: Any) -> None:
            check = OnlineCheck(reactor, self.configuration, self.tokens, say)
            raise SystemExit(await check.run())

        react(lambda reactor: Deferred.fromCoroutine(trying(reactor)))

    def read(self) -> tuple[Configuration, dict[Account, str | None]]:
        """
        Read everything, the files again.

        @raise IncorrectParameters: naming what is wrong.
        """
        given = {
            option.name: bool(self[option.name]) if option.kind == "flag" else self[option.name]
            for option in OPTIONS
            if self[option.name] not in (None, 0, [])
        }
        path = self["config"] or os.environ.get("IRIS_CONFIG")
        configuration = Configuration.read(given, os.environ, path, self._token())
        if configuration["event-manager"] is None:
            self["routing-id"] = configuration["routing-id"] or _DEMO_USER
        context = sinkContext(configuration, None, lambda line: None)
        for spec in configuration.sinks:
            makeSink(spec, context)
        if configuration["spool"] is not None and not configuration.sinks:
            raise IncorrectParameters("--spool needs --sink: where the calls go")
        for name in ("console", "metrics"):
            if configuration[name] is not None:
                asked = configuration["operators"] or configuration["open-to-all"]
                onlyHere = None if asked else configuration.origins.get(name, f"--{name}")
                checkEndpoint(configuration[name], onlyHere=onlyHere)
        return configuration, tokensOf(configuration)

    _stdin: str | None = None

    def _token(self) -> str | None:
        """The token of stdin or the environment, if there is one."""
        if self["token-file"] == "-":
            if self._stdin is None:
                text = sys.stdin.read().strip()
                self._stdin = checkToken("--token-file: the token on stdin", text)
            return self._stdin
        token = os.environ.get("IRIS_TOKEN", "").strip()
        if not token or self["token-file"] is not None:
            return None
        return checkToken("the environment variable IRIS_TOKEN", token)

    terminalOutput: TerminalOutput | None = None

    def terminalOutputOf(self) -> TerminalOutput:
        """Where text goes."""
        if self.terminalOutput is None:
            self.terminalOutput = TerminalOutput(sys.stdout, os.environ)
        return self.terminalOutput

    def _quietLogs(self) -> None:
        """C{twist} logs to stdout by default, which is for the callbacks here."""
        twist: Any = self.parent
        if twist is None:
            return
        arguments = sys.argv[1:]

        def given(prefix: str) -> bool:
            return any(argument.startswith(prefix) for argument in arguments)

        if not given("--log-fi"):
            twist["logFile"] = sys.stderr
            self.terminalOutput = TerminalOutput(sys.stdout, os.environ)
            if self.terminalOutput.isTerminal and sys.stderr.isatty():
                twist["logFile"] = LogLines(self.terminalOutput)
            if not given("--log-fo"):
                # Its own default is JSON where nobody looks: a journal is read by people too.
                twist["fileLogObserverFactory"] = textFileLogObserver
        if twist.get("fileLogObserverFactory") is jsonFileLogObserver:
            twist["fileLogObserverFactory"] = jsonLines
        if not given("--log-l"):
            twist["logLevel"] = LogLevel.warn


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The service of C{twist iris}.

    @param reactor: C{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor
    terminalOutput, complain = options.terminalOutputOf(), lineWriter(sys.stderr)
    configuration = options.configuration
    if configuration["event-manager"] is None:
        # Only now: the sandbox is not for everybody.
        from .daemon.demo import demonstration

        return demonstration(
            configuration, options["routing-id"], reactor, terminalOutput, complain, os.environ
        )
    cluster: ICluster | None = None
    if configuration["cluster"] is not None:
        cluster = _cluster(configuration, reactor, complain)
    daemon = Daemon(
        configuration, options.tokens, reactor, terminalOutput, complain, os.environ, cluster
    )
    services = MultiService()
    for part in (daemon, HangUps(reactor, daemon, options.read, options.hangUps)):
        part.setServiceParent(services)
    return services


def _cluster(
    configuration: Configuration, reactor: Any, complain: Callable[[str], None]
) -> ICluster:
    # Only now: it needs psycopg, and not everybody has it.
    from .cluster.daemon_member import DaemonMember

    def failed(error: IrisError) -> None:
        complain(error.message)
        stopWith(reactor, statusFor(error))

    return DaemonMember(reactor, configuration, failed)
