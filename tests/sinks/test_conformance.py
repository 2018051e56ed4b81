"""
The sinks that need no library keep what every sink promises.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.interfaces import INotificationSink, INotificationSinkProvider
from iris_twisted.sinks import CallRecord, SinkContext, testing
from iris_twisted.sinks.lines import FileSinks, StdoutSinks
from iris_twisted.sinks.program import ExecSinks
from iris_twisted.sinks.webhook import WebhookSinks

from ..peers import WebServer


class TestStdout(testing.SinkConformance):
    """C{stdout}."""

    provider = StdoutSinks()
    wrongArguments = ("x",)

    def context(self) -> SinkContext:
        return SinkContext(reactor=reactor, write=self.write)

    def write(self, line: str) -> None:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        self.lines.append(line)

    async def place(self) -> str:
        self.lines: list[str] = []
        self.broken = False
        return ""

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    async def takeAway(self) -> None:
        self.broken = True

    async def bringBack(self) -> None:
        self.broken = False


class TestFile(testing.SinkConformance):
    """C{file}."""

    provider = FileSinks()
    wrongArguments = ("", "/", "/no/where/x", "a\0b", "/dev/null", "/dev/stdout")

    async def place(self) -> str:
        self.path = Path(self.mktemp()).absolute()
        return str(self.path)

    async def arrived(self, count: int) -> list[Any]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    async def takeAway(self) -> None:
        # A disk that is full.
        self.before = self.path.read_bytes() if self.path.exists() else b""
        self.path.unlink(missing_ok=True)
        self.path.symlink_to("/dev/full")
        for sink in self.sinks:
            sink.reopen()

    async def bringBack(self) -> None:
        self.path.unlink()
        self.path.write_bytes(self.before)
        for sink in self.sinks:
            sink.reopen()

    def setUp(self) -> None:
        super().setUp()
        self.sinks: list[Any] = []

    async def made(self, **options: Any) -> Any:
        sink = await super().made(**options)
        self.sinks.append(sink)
        return sink


class TestExec(testing.SinkConformance):
    """C{exec}."""

    provider = ExecSinks()
    secrets = ("argument-CANARY",)
    wrongArguments = ("", "'", "/no/program argument-CANARY")

    async def place(self) -> str:
        self.path = Path(self.mktemp()).absolute()
        self.path.touch()
        self.script = Path(self.mktemp()).absolute()
        await self.bringBack()
        return f"{self.script} argument-CANARY"

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    async def takeAway(self) -> None:
        self.script.write_text("#!/bin/sh\nexit 1\n")

    async def bringBack(self) -> None:
        self.script.write_text(
            # One write each, so that those that run at a time do not mix.
            f"#!{sys.executable}\nimport os, sys\n"
            f"file = os.open({str(self.path)!r}, os.O_WRONLY | os.O_APPEND)\n"
            "os.write(file, sys.stdin.buffer.read())\n"
        )
        self.script.chmod(0o700)


class TestWebhook(testing.SinkConformance):
    """C{webhook}."""

    provider = WebhookSinks()
    secrets = ("path-CANARY",)
    wrongArguments = ("", "ftp://h.test/path-CANARY", "http://h.test/path-CANARY")

    async def place(self) -> str:
        if not hasattr(self, "server"):
            self.server = await WebServer.start(reactor)
            self.addCleanup(self.server.stop)
        self.server.received.clear()
        return f"{self.server.url}?path-CANARY"

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(body) for _, body in self.server.received]

    async def takeAway(self) -> None:
        self.port = self.server._port.getHost().port
        await self.server.stop()

    async def bringBack(self) -> None:
        endpoint = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        self.server._port = await endpoint.listen(self.server._site)


@implementer(INotificationSink)
class Board:
    """A sink that keeps its promises, but for one."""

    durable = False
    concurrency = 2

    def __init__(self, place: Boards) -> None:
        self.name = "board room-token-CANARY" if place.fault == "tells" else "board"
        self._place = place

    def take(self, record: CallRecord) -> Deferred[None]:
        place, line = self._place, record.line
        if place.fault == "logs":
            Logger().info("taking {line}", line=line)
        if place.away:
            if place.fault != "pretends":
                raise (SinkRefused if place.fault == "refuses" else NotTaken)("board is away")
        elif place.fault == "loses" and record.account == "user1@x.test":
            pass
        elif place.fault == "cuts":
            place.lines.append(json.dumps({**json.loads(line), "notification": {}}))
        elif place.fault == "turns":
            place.lines.insert(0, line)
        else:
            place.lines.append(line)
        return succeed(None)

    def reopen(self) -> None:
        if self._place.fault == "wipes":
            self._place.lines.clear()

    def stop(self) -> Deferred[None]:
        if self._place.fault == "lingers":
            reactor.callLater(60, lambda: None)  # type: ignore[attr-defined]
        return succeed(None)


@implementer(IPlugin, INotificationSinkProvider)
class Boards:
    """C{board}."""

    name = "board"

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.lines: list[str] = []
        self.away = False

    def make(self, argument: str, context: SinkContext) -> Any:
        if argument:
            raise IncorrectParameters(
                f"sink board: {argument}" if self.fault == "repeats" else "sink board takes none"
            )
        return Board(self)


class Suite(SynchronousTestCase):
    """The suite itself."""

    def broken(self, fault: str) -> set[str]:
        """The tests that a sink with this fault fails."""
        provider = Boards(fault)

        class TestBoard(testing.SinkConformance):
            secrets = ("word-CANARY",)
            wrongArguments = ("word-CANARY",)

            async def place(self) -> str:
                provider.lines.clear()
                provider.away = False
                return ""

            async def arrived(self, count: int) -> list[Any]:
                return [json.loads(line) for line in provider.lines]

            async def takeAway(self) -> None:
                provider.away = True

            async def bringBack(self) -> None:
                provider.away = False

        TestBoard.provider = provider
        found = set()
        names = sorted(name for name in dir(TestBoard) if name.startswith("test_"))
        self.assertGreaterEqual(len(names), 14)
        for name in names:
            result = TestResult()
            case: TestCase = TestBoard(name)
            case.run(result)
            if not result.wasSuccessful():
                found.add(name.removeprefix("test_"))
        return found

    def test_notCollected(self) -> None:
        """The class has no tests of its own: who imports it runs nothing by it."""
        self.assertFalse([n for n in vars(testing.SinkConformance) if n.startswith("test_")])

    def test_brokenPromises(self) -> None:
        """Each broken promise fails its tests, and no others."""
        for fault, tests in (
            ("", set()),
            ("tells", {"interface"}),
            ("repeats", {"wrongArguments"}),
            ("cuts", {"takes", "anyText"}),
            ("loses", {"concurrency"}),
            ("turns", {"order", "reopen", "concurrency"}),
            ("refuses", {"unreachable", "unreachableFirst"}),
            ("pretends", {"unreachable", "unreachableFirst"}),
            ("wipes", {"reopen"}),
        ):
            self.assertEqual(self.broken(fault), tests, fault)
        self.assertIn("stop", self.broken("lingers"))
        self.assertIn("takes", self.broken("logs"))
