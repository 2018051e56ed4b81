"""
Programs run by tests: started, read line by line, ended, and never left behind.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

import iris_twisted

__all__ = ["Program", "startTwist"]


class Program(ProcessProtocol):
    """
    A running program.

    @ivar stdout: what it wrote so far.
    @ivar stderr: the same of its other stream.
    @ivar ended: fires with the exit status, or minus the signal.
    """

    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self.ended: Deferred[int] = Deferred()
        self._awaited: tuple[str, Deferred[None]] | None = None

    def until(self, words: str) -> Deferred[None]:
        """Fires when the words stand on stdout; fails when it ends before."""
        seen: Deferred[None] = Deferred()
        self._awaited = words, seen
        self._look()
        return seen

    def signal(self, name: str) -> Deferred[int]:
        """Send a signal; fires with the exit status."""
        self.transport.signalProcess(name)
        return self.ended

    def outReceived(self, data: bytes) -> None:
        self.stdout += data.decode()
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.stderr += data.decode()

    def processEnded(self, reason: Any) -> None:
        status = reason.value
        if self._awaited is not None:
            words, seen = self._awaited
            self._awaited = None
            seen.errback(AssertionError(f"no {words!r} in:\n{self.stdout}\n{self.stderr}"))
        self.ended.callback(status.exitCode if status.signal is None else -status.signal)

    def _look(self) -> None:
        if self._awaited is not None and self._awaited[0] in self.stdout:
            _, seen = self._awaited
            self._awaited = None
            seen.callback(None)


def startTwist(
    case: TestCase,
    *arguments: str,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
    childFDs: dict[int, Any] | None = None,
    program: Program | None = None,
) -> Program:
    """Run C{twist} with the package that is being tested."""
    program = program or Program()
    script = Path(sys.executable).with_name("twist")
    environment = {
        **{k: v for k, v in os.environ.items() if k != "IRIS_TOKEN"},
        "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        **(env or {}),
    }
    reactor.spawnProcess(  # type: ignore[attr-defined]
        program,
        sys.executable,
        [sys.executable, str(script), *arguments],
        env=environment,
        path="/",
        childFDs=childFDs,
    )
    if stdin is not None:
        program.transport.write(stdin)
    program.transport.closeStdin()

    def end() -> Deferred[Any] | None:
        if program.ended.called:
            return None
        try:
            return program.signal("KILL")
        except ProcessExitedAlready:
            return program.ended

    case.addCleanup(end)
    return program
