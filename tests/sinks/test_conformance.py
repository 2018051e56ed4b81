"""
The sinks that need no library keep what every sink promises.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.sinks import CallRecord, SinkContext, sink_case, testing
from iris_twisted.sinks.lines import FileSinks, StdoutSinks
from iris_twisted.sinks.program import ExecSinks
from iris_twisted.sinks.webhook import WebhookSinks

from ..peers import WebServer
from .boards import FAULTS, RIGHT, Board, Boards, Leaves, conformance


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

    def program(self, text: str) -> None:
        # At once, since somebody may be starting it.
        new = self.script.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o700)
        new.replace(self.script)

    async def takeAway(self) -> None:
        self.program(f"#!{sys.executable}\nraise SystemExit(1)\n")

    async def bringBack(self) -> None:
        self.program(
            # One write each, so that those that run at a time do not mix.
            f"#!{sys.executable}\nimport os, sys, time\n"
            "data = sys.stdin.buffer.read()\n"
            f"while os.path.exists({str(self.script)!r} + '.hold') and b'slow@' in data:\n"
            "    time.sleep(0.01)\n"
            "if b'poison@' in data:\n    sys.exit(65)\n"
            f"file = os.open({str(self.path)!r}, os.O_WRONLY | os.O_APPEND)\n"
            "os.write(file, data)\n"
        )

    async def poison(self) -> CallRecord:
        return self.record("poison@x.test")

    async def hold(self, record: CallRecord) -> None:
        Path(f"{self.script}.hold").touch()

    async def release(self) -> None:
        Path(f"{self.script}.hold").unlink()


class TestWebhook(testing.SinkConformance):
    """C{webhook}."""

    provider = WebhookSinks()
    secrets = ("path-CANARY",)
    wrongArguments = ("", "ftp://h.test/path-CANARY", "http://h.test/path-CANARY")

    async def place(self) -> str:
        if not hasattr(self, "server"):
            self.server = await WebServer.start(reactor)
            self.addCleanup(self.server.stop)
        self.taken: list[Any] = []
        self.forbids = False
        self.held: set[str] = set()
        self.server.answer = self.answer
        return f"{self.server.url}?path-CANARY"

    def answer(self, _: object, body: bytes) -> tuple[int, dict[str, str]]:
        call = json.loads(body)
        if self.forbids:
            return 403, {}
        if call["account"] == "poison@x.test":
            return 400, {}
        if call["key"] in self.held:
            return 0, {}
        self.taken.append(call)
        return 200, {}

    async def arrived(self, count: int) -> list[Any]:
        return self.taken

    async def forbid(self) -> None:
        self.forbids = True

    async def permit(self) -> None:
        self.forbids = False

    async def poison(self) -> CallRecord:
        return self.record("poison@x.test")

    async def hold(self, record: CallRecord) -> None:
        self.held.add(record.key)

    async def release(self) -> None:
        self.held.clear()
        for request in self.server.silent:
            if request.channel is not None:
                request.loseConnection()

    async def takeAway(self) -> None:
        self.port = self.server._port.getHost().port
        await self.server.stop()

    async def bringBack(self) -> None:
        endpoint = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        self.server._port = await endpoint.listen(self.server._site)


class Suite(SynchronousTestCase):
    """The suite itself."""

    def failed(self, boards: Boards, tests: Iterable[str]) -> set[str]:
        """Those tests that these fail."""
        case, found = conformance(boards), set()
        for name in tests:
            result = TestResult()
            case(f"test_{name}").run(result)
            self.assertEqual(result.skips, [], name)
            if not result.wasSuccessful():
                found.add(name)
        return found

    def test_notCollected(self) -> None:
        """The class has no tests of its own: who imports it runs nothing by it."""
        self.assertFalse([n for n in vars(testing.SinkConformance) if n.startswith("test_")])

    def test_right(self) -> None:
        """What keeps its promises passes, however unusual it is."""
        tests = [n.removeprefix("test_") for n in dir(conformance(Boards(Board))) if "test_" in n]
        self.assertGreaterEqual(len(tests), 26)
        for kind in RIGHT:
            self.assertEqual(self.failed(Boards(kind), tests), set(), kind.__name__)

    def test_brokenPromises(self) -> None:
        """Each broken promise fails its tests."""
        # What is left does not go by itself, and what hangs does so for ever.
        self.patch(sink_case, "_GONE", 0.05)
        self.patch(testing.SinkConformance, "timeout", 2)
        self.addCleanup(lambda: [close() for close in Leaves.closed])
        # Nobody wants to see what these show.
        own, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        self.addCleanup(os.close, own)
        self.addCleanup(os.dup2, own, 2)
        self.addCleanup(os.close, nothing)
        self.patch(sys, "stderr", io.StringIO())
        self.addCleanup(self.forget)
        for kind, tests in FAULTS.items():
            self.assertEqual(self.failed(Boards(kind), tests), tests, kind.__name__)

    def forget(self) -> None:
        """Collect what hung, which is logged then."""
        gc.collect()
        self.flushLoggedErrors()
        self.flushWarnings()

    def test_wrongArguments(self) -> None:
        """Nor is a wrong argument repeated."""
        boards = Boards(Board)
        boards.talks = True
        self.assertEqual(self.failed(boards, ["wrongArguments"]), {"wrongArguments"})
