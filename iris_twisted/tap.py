"""
C{twist iris}: a connection whose callbacks are written to stdout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import LogLevel
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from .accounts import Account, readAccounts
from .addresses import EventManagerAddress, RoutingId, checkToken
from .errors import IncorrectParameters, IrisError
from .exit_status import statusFor, stopWith
from .interfaces import IIrisListener
from .reports import JsonReport, TextReport
from .service import IrisRtcService
from .settings import Settings
from .terminal import lineWriter
from .token_file import TokenFiles, readToken
from .xmpp.events import DIALECTS

__all__ = ["Options", "makeService"]

_DEMO_USER = "demo@sandbox.test"
_NEXT = """
To use a real platform, put an iris token into a file and type:
    twist iris --event-manager https://EVENT.MANAGER --routing-id USER@DOMAIN --token-file FILE
Ctrl-C ends.
"""


class Options(UsageOptions):
    """The options of C{twist iris}."""

    synopsis = "[options]"
    longdesc = (
        "Connects to an Iris RTC platform and writes down its calls. "
        "Without --event-manager, a sandbox plays the platform."
    )
    optParameters = [
        ["event-manager", "e", None, "The event manager: host, host:port or https:// URL."],
        ["routing-id", "r", None, "Who to connect as: user@domain."],
        ["accounts", "A", None, "A file of many accounts, each with a token file: CSV, or TOML."],
        ["token-file", "t", None, "A file with the iris token, read again when it changes; - is "
         "stdin. Without it, the environment variable IRIS_TOKEN."],
        ["dialect", "d", "auto", "How to speak XMPP: auto, stream or framed."],
        ["ca-file", "c", None, "A PEM file of certificates to trust instead of the system's."],
        ["output", "o", "text", "How to write callbacks down: text, or json (an object a line)."],
    ]  # fmt: skip
    optFlags = [
        ["anonymous", "a", "Log in as an anonymous user."],
        ["insecure", None, "Allow http:// and certificates that do not verify. Dangerous."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["trusted-senders"] = []

    def opt_trusted_sender(self, sender: str) -> None:
        """A bare JID or domain whose notifications count too; may be given repeatedly."""
        try:
            Settings(trustedSenders=[sender])
        except IncorrectParameters as e:
            raise UsageError(f"--trusted-sender: {e.message}") from None
        self["trusted-senders"].append(sender)

    def parseArgs(self, *surplus: str) -> None:
        if surplus:
            raise UsageError(f"{surplus[0]!r} is no option; see --help")

    def postOptions(self) -> None:
        for name, allowed in (("output", ("text", "json")), ("dialect", ("auto", *DIALECTS))):
            if self[name] not in allowed:
                raise UsageError(
                    f"--{name} must be one of {', '.join(allowed)}, not {self[name]!r}"
                )
        if self["event-manager"] is None:
            for name in ("token-file", "ca-file", "accounts"):
                if self[name] is not None:
                    raise UsageError(f"--{name} needs --event-manager")
            self["routing-id"] = self["routing-id"] or _DEMO_USER
            self["token"] = None
        elif self["accounts"] is not None:
            for name in ("routing-id", "token-file"):
                if self[name] is not None:
                    raise UsageError(f"--{name} and --accounts exclude each other")
            self._check("event-manager", EventManagerAddress.parse, self["insecure"])
            self._check("accounts", self._readAccounts)
        else:
            if self["routing-id"] is None:
                raise UsageError("--routing-id is missing: who to connect as, user@domain")
            self._check("event-manager", EventManagerAddress.parse, self["insecure"])
            self["token"] = self._token()
        if self["accounts"] is None:
            self._check("routing-id", RoutingId.parse)
        if self["ca-file"] is not None:
            self._check("ca-file", lambda path: Settings(trustRoot=path))
        self._quietLogs()

    def _check(self, name: str, parse: Callable[..., object], *args: object) -> None:
        try:
            parse(self[name], *args)
        except IncorrectParameters as e:
            raise UsageError(f"--{name}: {e.message}") from None

    def _readAccounts(self, path: str) -> None:
        accounts = readAccounts(path)
        self["tokens"] = {account: readToken(account.tokenFile) for account in accounts}

    def _token(self) -> str:
        path = self["token-file"]
        try:
            if path == "-":
                return checkToken("--token-file: the token on stdin", sys.stdin.read().strip())
            if path is not None:
                return readToken(path)
            token = os.environ.get("IRIS_TOKEN", "").strip()
            if token:
                return checkToken("the environment variable IRIS_TOKEN", token)
        except IncorrectParameters as e:
            prefix = "" if path in (None, "-") else "--token-file: "
            raise UsageError(f"{prefix}{e.message}") from None
        raise UsageError("--token-file is missing, and the environment variable IRIS_TOKEN too")

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
            if not given("--log-fo"):
                twist.pop("fileLogObserverFactory", None)
                twist.selectDefaultLogObserver()
        if not given("--log-l"):
            twist["logLevel"] = LogLevel.warn


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The service of C{twist iris}.

    @param options: parsed.
    @param reactor: C{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = {
        "dialect": options["dialect"],
        "anonymous": bool(options["anonymous"]),
        "insecure": bool(options["insecure"]),
        "trustedSenders": options["trusted-senders"],
    }
    listener: IIrisListener
    write = lineWriter(sys.stdout)
    text = TextReport(write)
    listener = text if options["output"] == "text" else JsonReport(write, reactor.seconds)
    quiet = options["output"] != "text"
    if options["event-manager"] is None:
        return _demo(options, reactor, text, listener, write, settings)
    settings["trustRoot"] = options["ca-file"]
    if options["accounts"] is not None:
        return _fleet(options, reactor, write, settings)
    url = options["event-manager"]
    path = options["token-file"]
    fromFile = path not in (None, "-")
    service = IrisRtcService(
        options["token"],
        options["routing-id"],
        url,
        reactor=reactor,
        listener=listener,
        waitForToken=fromFile,
        waiting=lambda seconds: None if quiet else text.waiting(seconds),
        **settings,
    )
    text.connection = service.connection
    if not quiet:
        text.say(f"Discovery:     asking {url} for a server for {options['routing-id']}")

    def ended(error: IrisError | None) -> None:
        if error is not None:
            stopWith(reactor, statusFor(error))

    service.ended.addCallback(ended)
    services = MultiService()
    service.setServiceParent(services)
    if fromFile:
        files = TokenFiles(reactor)
        files.watch(path, service.updateToken)
        files.setServiceParent(services)
    return services


def _prefixed(write: Callable[[str], None], routingId: str, line: str) -> None:
    write(f"{routingId}  {line}")


def _fleet(
    options: Options, reactor: Any, write: Callable[[str], None], settings: dict[str, Any]
) -> IService:
    from .fleet import IrisFleet

    fleet = IrisFleet(options["event-manager"], reactor=reactor, **settings)
    files = TokenFiles(reactor)
    living = set(options["tokens"])

    def ended(error: IrisError | None, account: Account) -> None:
        living.discard(account)
        if error is not None and not living:
            stopWith(reactor, statusFor(error))

    for account, token in options["tokens"].items():
        routingId = account.routingId
        listener: IIrisListener
        if options["output"] == "text":
            listener = text = TextReport(partial(_prefixed, write, routingId))
        else:
            listener = JsonReport(write, reactor.seconds, routingId)
        service = fleet.add(routingId, token, listener)
        if options["output"] == "text":
            text.connection = service.connection
        service.ended.addCallback(ended, account)
        files.watch(account.tokenFile, service.updateToken)
    services = MultiService()
    for part in (fleet, files):
        part.setServiceParent(services)
    return services


def _demo(
    options: Options,
    reactor: Any,
    text: TextReport,
    listener: IIrisListener,
    write: Callable[[str], None],
    settings: dict[str, Any],
) -> IService:
    from .demo import Demo
    from .sandbox import Sandbox

    told = quiet = options["output"] != "text"

    def begin(sandbox: Sandbox, service: IrisRtcService) -> None:
        text.connection = service.connection
        if not quiet:
            text.say("No event manager was named, so a sandbox in this process plays the platform.")
            text.say(
                f"Discovery:     asking {sandbox.url} for a server for {options['routing-id']}"
            )

    def placed() -> None:
        nonlocal told
        if not told:
            told = True
            reactor.callLater(0.5, write, _NEXT)

    return Demo(reactor, options["routing-id"], listener, begin, placed, **settings)
