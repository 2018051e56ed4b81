"""
C{twist iris-call}: places a call on a sandbox that runs in another terminal, and says what
becomes of it.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import quote

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from ..command_line.exit_status import ExitStatus, stopWith
from ..command_line.options import PlainOptions
from ..command_line.terminal import lineWriter, printable
from ..discovery.event_manager_address import EventManagerAddress
from ..errors import ConnectionFailed, IncorrectParameters, IrisError
from ..net.addresses import RoutingId
from ..net.durations import checkSeconds
from ..net.http.requests import Answer, HttpRequests
from ..net.json_text import decodeJson
from ..net.tls import TlsTrust

__all__ = ["SANDBOX", "Options", "makeService"]

# Where a sandbox is that was not told to be elsewhere.
SANDBOX = "http://127.0.0.1:8188"

# Seconds between looks at what became of it.
_LOOK = 0.2
_WHAT = "the sandbox"
# What is used of a call as the sandbox describes it.
_FIELDS = ("id", "to", "roomid", "state")
_WORDS = {
    "missed": "nobody is connected as {to}",
    "ringing": "rings, and was not acknowledged",
    "acknowledged": "was acknowledged",
    "rejected": "was rejected",
    "cancelled": "was cancelled",
}


class Options(PlainOptions):
    """The options of C{twist iris-call}."""

    command = "twist iris-call"
    synopsis = "[options] USER@DOMAIN"
    longdesc = (
        "Places a call on a sandbox (twist iris-sandbox), and says what becomes of it. "
        "It ends with 0 when somebody was there, otherwise with 69."
    )
    metavars = {
        "sandbox": "URL",
        "from": "USER@DOMAIN",
        "caller": "NUMBER",
        "room": "ROOM",
        "type": "TYPE",
        "topic": "TOPIC",
        "wait": "SECONDS",
        "ca-file": "FILE",
    }
    optParameters = [
        ["sandbox", "s", SANDBOX, "Where the sandbox is."],
        ["from", "f", None, "The routing id of who calls."],
        ["caller", "n", None, "The number that is shown."],
        ["room", "r", None, "The room to call for."],
        ["type", None, None, "The type of the notification: notify, chat, or anything."],
        ["topic", None, None, "What it is about: pstn, video, audio or chat."],
        ["wait", "w", 10.0, "Seconds to wait for an answer."],
        ["ca-file", "c", None, "A PEM file with the certificate of a sandbox with TLS."],
    ]
    optFlags = [["hang-up", None, "Hang up when the wait is over: the user is told."]]

    def parseArgs(self, *users: str) -> None:
        if not users:
            raise UsageError("whom to call is missing: USER@DOMAIN")
        self["to"], *surplus = users
        if surplus:
            raise UsageError(
                f"{surplus[0]!r} stands after the user: one is called, and options come before"
            )

    def postOptions(self) -> None:
        try:
            RoutingId.parse(self["to"])
            self["address"] = EventManagerAddress.parse(self["sandbox"], name="--sandbox")
            self["trust"] = TlsTrust(self["ca-file"])
            try:
                self["wait"] = checkSeconds("--wait", float(self["wait"]), zero=True)
            except ValueError:
                raise IncorrectParameters("--wait must be a number of seconds") from None
        except IncorrectParameters as e:
            raise UsageError(e.message) from None
        twist: Any = self.parent
        if twist is not None and not any(a.startswith("--log-l") for a in sys.argv[1:]):
            twist["logLevel"] = LogLevel.warn


def _isCall(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in _FIELDS)


class _CallService(Service):
    _log = Logger()

    def __init__(self, options: Options, reactor: Any) -> None:
        self._options = options
        self._reactor = reactor
        self._say, self._complain = lineWriter(sys.stdout), lineWriter(sys.stderr)
        self._requests = HttpRequests(
            reactor, _WHAT, options["trust"], limit=4 * 1024 * 1024, connectTimeout=10.0
        )
        self._calling: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self._calling = calling = Deferred.fromCoroutine(self._call())
        calling.addErrback(lambda failure: failure.trap(CancelledError) and None)
        calling.addErrback(self._bug)

    def _bug(self, failure: Failure) -> None:
        self._log.failure("a bug", failure=failure)
        stopWith(self._reactor, int(ExitStatus.EX_SOFTWARE))

    def stopService(self) -> None:
        super().stopService()
        if self._calling is not None:
            self._calling.cancel()

    async def _call(self) -> None:
        try:
            status = await self._placed()
        except IrisError as e:
            if not self.running:
                # Cancelled within a request: the reactor stops already.
                return
            self._complain(f"twist iris-call: {printable(e.message)}")
            status = int(ExitStatus.EX_UNAVAILABLE)
        self._calling = None
        stopWith(self._reactor, status)

    async def _placed(self) -> int:
        options = self._options
        names = ("to", "from", "caller", "room", "type", "topic")
        call = await self._ask("POST", "calls", {n: options[n] for n in names if options[n]})
        if call["state"] == "ringing":
            self._tell(call, "rings")
        left = options["wait"]
        while call["state"] == "ringing" and left > 0:
            await deferLater(self._reactor, min(_LOOK, left))
            left -= _LOOK
            found = [c for c in await self._ask("GET", "calls") if c["id"] == call["id"]]
            call = found[0] if found else {**call, "state": "cancelled"}
        if options["hang-up"] and call["state"] != "missed":
            call = await self._ask("DELETE", f"calls/{quote(call['id'], safe='')}")
        words = _WORDS.get(call["state"], "{state}")
        self._tell(call, words.format(to=call["to"], state=call["state"]))
        return int(ExitStatus.EX_UNAVAILABLE) if call["state"] == "missed" else 0

    def _tell(self, call: dict[str, Any], words: str) -> None:
        self._say(printable(f"{call['roomid']}  {words}"))

    async def _ask(self, method: str, path: str, value: object = None) -> Any:
        address: EventManagerAddress = self._options["address"]
        url = address.url(f"control/{path}")
        body = None if value is None else json.dumps(value).encode()
        answer: Answer = await self._requests.send(method, address.origin, url, {}, body)
        try:
            found = decodeJson(answer.body.decode("utf-8"))
        except ValueError:
            found = None
        calls = found if method == "GET" else [found]
        understood = isinstance(calls, list) and all(map(_isCall, calls))
        if not 200 <= answer.status < 300 or not understood:
            why = found.get("error") if isinstance(found, dict) else None
            words = f": {why}" if isinstance(why, str) else "; is it a sandbox?"
            raise ConnectionFailed(f"{_WHAT} {address.origin} answered {answer.status}{words}")
        return found


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    The service of C{twist iris-call}.

    @param reactor: C{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor
    return _CallService(options, reactor)
