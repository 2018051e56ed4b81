"""
The services that C{twist} runs, in this process.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from iris_twisted import tap as irisTap
from iris_twisted.command_line import exit_status
from iris_twisted.daemon import demo
from iris_twisted.sandbox import startSandbox
from iris_twisted.sandbox import tap as sandboxTap

RID = "alice@sandbox.test"


class Output(io.StringIO):
    """A stream that tells when words were written."""

    def __init__(self) -> None:
        super().__init__()
        self._awaited: list[tuple[str, Deferred[None]]] = []

    def write(self, text: str) -> int:
        count = super().write(text)
        for words, seen in list(self._awaited):
            if words in self.getvalue():
                self._awaited.remove((words, seen))
                seen.callback(None)
        return count

    def until(self, words: str) -> Deferred[None]:
        seen: Deferred[None] = Deferred()
        self._awaited.append((words, seen))
        self.write("")
        return seen


class Reactor:
    """The real one, whose stopping is only noted."""

    def __init__(self) -> None:
        self.triggers: list[Any] = []
        self.stopped: Deferred[None] = Deferred()

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def addSystemEventTrigger(self, *trigger: Any) -> None:
        self.triggers.append(trigger)

    def callWhenRunning(self, call: Any) -> None:
        self.stopped.callback(None)

    def stop(self) -> None:
        raise AssertionError("not this one")


class Services(TestCase):
    """Started, watched, stopped."""

    timeout = 30

    def start(self, tap: Any, *arguments: str) -> tuple[IService, Output]:
        output = Output()
        self.errors = Output()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", self.errors)
        self.reactor = Reactor()
        options = tap.Options()
        options.parseOptions(arguments)
        service = tap.makeService(options, self.reactor)
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        return service, output

    async def test_demonstration(self) -> None:
        """The demonstration rings, and stops without a trace."""
        service, output = self.start(irisTap)
        await output.until("Ctrl-C ends.")
        await maybeDeferred(service.stopService)
        self.assertIn("Call: ", output.getvalue())

    async def test_demonstrationThatCannotStart(self) -> None:
        """It is logged, and ends the process with a status."""
        self.patch(demo, "startSandbox", lambda *_: maybeDeferred(lambda: 1 / 0))
        service, _ = self.start(irisTap)
        await self.reactor.stopped
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await maybeDeferred(service.stopService)
        ((_, _, leave),) = self.reactor.triggers
        left: list[int] = []
        self.patch(exit_status.os, "_exit", left.append)
        leave()
        self.assertEqual(left, [70])

    async def test_demonstrationInJson(self) -> None:
        """In JSON it says nothing else; it can be stopped before its first call."""
        service, output = self.start(irisTap, "--output", "json")
        await output.until("onConnected")
        await maybeDeferred(service.stopService)
        self.assertTrue(all(line.startswith("{") for line in output.getvalue().splitlines()))

    async def test_stoppedAtOnce(self) -> None:
        """Stopping in the turn of starting leaves nothing."""
        service, _ = self.start(irisTap)
        await maybeDeferred(service.stopService)

    async def test_platform(self) -> None:
        """A named platform, and a fault that no retry cures."""
        sandbox = await startSandbox(reactor)
        self.addCleanup(sandbox.stop)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("a-token")
        service, output = self.start(irisTap, "-e", sandbox.url, "-r", RID, "-t", path)
        await output.until("Connected:")
        sandbox.platform.mechanisms = ()
        sandbox.drop()
        await self.reactor.stopped
        await maybeDeferred(service.stopService)
        ((phase, event, leave),) = self.reactor.triggers
        self.assertEqual((phase, event), ("after", "shutdown"))
        left: list[int] = []
        self.patch(exit_status.os, "_exit", left.append)
        leave()
        self.assertEqual(left, [69])

    async def test_waits(self) -> None:
        """A first attempt that fails is told with the wait; in JSON without."""
        sandbox = await startSandbox(reactor)
        await sandbox.stop()
        self.patch(sys, "stdin", io.StringIO("a-token"))
        service, output = self.start(irisTap, "-e", sandbox.url, "-r", RID, "-t", "-")
        await output.until("Waiting:")
        await maybeDeferred(service.stopService)

    async def test_sandbox(self) -> None:
        """The sandbox says how to use it, and a busy port what is wrong."""
        service, output = self.start(sandboxTap, "--port", "0", "--tls")
        await output.until("Ctrl-C ends.")
        port = output.getvalue().split("https://127.0.0.1:")[1].split()[0]
        busy, _ = self.start(sandboxTap, "--port", port)
        await self.reactor.stopped
        self.assertIn("Choose another one with --port", self.errors.getvalue())
        await maybeDeferred(busy.stopService)
        await maybeDeferred(service.stopService)
        self.assertIsNone(sandboxTap.makeService(sandboxTap.Options(), reactor).stopService())

    async def test_sandboxThatCannotResolve(self) -> None:
        """Another failure to listen is not hidden."""
        self.patch(sandboxTap, "startSandbox", lambda *_, **__: maybeDeferred(lambda: 1 / 0))
        service, _ = self.start(sandboxTap)
        await deferLater(reactor, 0)  # It listens in the next turn.
        with self.assertRaises(ZeroDivisionError):
            await maybeDeferred(service.stopService)


# Ends for two reasons at once, and for a third one while it ends.
_TWICE = """
from twisted.internet import reactor
from iris_twisted.command_line.exit_status import stopWith

def end():
    stopWith(reactor, 5)
    stopWith(reactor, 6)

reactor.callWhenRunning(end)
reactor.addSystemEventTrigger("before", "shutdown", stopWith, reactor, 7)
reactor.run()
"""


class Status(SynchronousTestCase):
    """The status that a process ends with."""

    def test_twice(self) -> None:
        """The first reason to end is told; another one, even while it ends, is no error."""
        ended = subprocess.run(
            [sys.executable, "-c", _TWICE], capture_output=True, timeout=60, check=False
        )
        self.assertEqual((ended.returncode, ended.stderr), (5, b""))
