"""
C{twist iris} as a process: started, killed, ended and looked at by C{tests.soak_daemon}.
"""

from __future__ import annotations

import os
import re
import resource
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from .invariants import BrokenPromise
from .processes import Program, startTwist

__all__ = ["DaemonProcess", "Readings"]

# A secret is searched as the word that it is.
_WORD = re.compile(r"[A-Za-z0-9_-]{16,}")
# Bytes beyond which no file grows while the disk is full.
_FULL = 4096


@attrs.frozen
class Readings:
    """What a process has: open files, threads, and kilobytes of memory."""

    files: int
    threads: int
    memory: int


class _Log(Program):
    """One whose log goes to a file, and is searched."""

    def __init__(self, path: Path, line: Callable[[str], None]) -> None:
        super().__init__()
        self._file = path.open("ab")
        self._line = line
        self._rest = b""

    def errReceived(self, data: bytes) -> None:
        self._file.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def processEnded(self, reason: Any) -> None:
        if self._rest:
            self._line(self._rest.decode("utf-8", "replace"))
        self._file.close()
        super().processEnded(reason)


class _Case:
    """Stands for a test where there is none: nothing is left to it."""

    def addCleanup(self, *_: object) -> None:
        """Whoever runs it ends it."""


class DaemonProcess:
    """
    One at a time.

    @param folder: of its log.
    @param canaries: what may not stand in the log.
    @ivar program: the one that runs, or that ran last.
    @ivar ending: whether its end is wanted.
    @ivar words: of the log since L{forget}, and the last lines.
    """

    def __init__(self, reactor: Any, folder: Path, config: Path, canaries: tuple[str, ...]) -> None:
        self.reactor = reactor
        self.folder = folder
        self.config = config
        self.broken: list[str] = []
        self.program: _Log | None = None
        self.ending = True
        self.words: set[str] = set()
        self.last: deque[str] = deque(maxlen=200)
        self.tooLong = 0
        self.starts = 0
        self._canaries = canaries
        self._marker = f"SOAK_{secrets.token_hex(8)}"
        self._heard: list[tuple[tuple[str, ...], Deferred[str]]] = []

    @property
    def isRunning(self) -> bool:
        return self.program is not None and not self.program.ended.called

    @property
    def pid(self) -> int:
        assert self.program is not None
        return int(self.program.transport.pid)

    def start(self) -> Deferred[str]:
        """Start it. Fires when it serves its metrics."""
        self.starts += 1
        self.ending = False
        serving = self.heard("/healthz")
        self.program = program = _Log(self.folder / "daemon.log", self._line)
        startTwist(
            cast(TestCase, _Case()),
            *("--log-level=debug", "iris", "--config", str(self.config)),
            env={self._marker: "1"},
            program=program,
        )
        program.ended.addCallback(self._ended, program)
        return serving

    def _ended(self, status: int, program: _Log) -> int:
        if not self.ending:
            lines = "\n".join(self.last)
            self.broken.append(f"the daemon ended by itself, with {status}:\n{lines}")
        heard, self._heard = self._heard, []
        for _, waiting in heard:
            waiting.callback("")
        if program.stdout:
            self.broken.append(f"on its stdout: {program.stdout[:200]!r}")
        return status

    def heard(self, *words: str) -> Deferred[str]:
        """Fires with the next line of the log that has any of these; with none at the end."""
        waiting: Deferred[str] = Deferred()
        self._heard.append((words, waiting))
        return waiting

    def _line(self, line: str) -> None:
        self.last.append(line)
        self.words.update(_WORD.findall(line))
        for canary in self._canaries:
            if canary in line:
                self.broken.append(f"a secret in the log: {line}")
        if "Traceback (most recent call last)" in line or "#critical]" in line:
            # The rest of it comes now.
            self.reactor.callLater(0.5, self._bug, len(self.broken))
        if "took too long and was killed" in line:
            self.tooLong += 1
        for entry in list(self._heard):
            if any(words in line for words in entry[0]):
                self._heard.remove(entry)
                entry[1].callback(line)

    def _bug(self, _: int) -> None:
        self.broken.append("a bug in the log:\n" + "\n".join(self.last))

    def signal(self, name: str | int) -> None:
        """Send it a signal, if it is there."""
        with suppress(ProcessExitedAlready):
            assert self.program is not None
            self.program.transport.signalProcess(name)

    async def kill(self) -> float:
        """As if the machine had lost its power; when that was."""
        self.ending = True
        assert self.program is not None
        at = time.time()
        self.signal("KILL")
        # A program of a sink that hangs is nobody's now, and holds the log open.
        while not self.program.ended.called:
            for child in self.children():
                if "sleep" in child:
                    with suppress(ProcessLookupError):
                        os.kill(int(child.split()[0]), signal.SIGKILL)
            await deferLater(self.reactor, 0.05, lambda: None)
        return at

    async def end(self, within: float) -> float:
        """
        As a service manager would; the seconds that it took.

        @raise BrokenPromise: when it takes longer, ends badly or leaves something behind.
        """
        self.ending = True
        assert self.program is not None
        began = time.monotonic()
        late = self.reactor.callLater(within, self.signal, "ABRT")
        self.signal("TERM")
        status = await self.program.ended
        if late.active():
            late.cancel()
        lines = "\n".join(self.last)
        # Twisted ends by the signal itself, once all is done.
        if status != -signal.SIGTERM or "Main loop terminated" not in self.last[-1]:
            raise BrokenPromise(f"it ended with {status} after {within} s at most:\n{lines}")
        left = self.children()
        if left:
            raise BrokenPromise(f"it left processes behind: {left}\n{lines}")
        return time.monotonic() - began

    def children(self) -> list[str]:
        """What it started and still runs, or it itself."""
        marker = f"{self._marker}=1".encode()
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and marker in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    if command:
                        found.append(f"{folder.name} {command.decode()}")
        return found

    def readings(self) -> Readings:
        """What it has now."""
        folder = Path(f"/proc/{self.pid}")
        status = dict(
            line.split(":", 1)
            for line in (folder / "status").read_text().splitlines()
            if ":" in line
        )
        return Readings(
            len(os.listdir(folder / "fd")),
            int(status["Threads"]),
            int(status["VmRSS"].split()[0]),
        )

    def fillDisk(self) -> None:
        """From now on no file that it writes grows."""
        self._limit(_FULL)

    def emptyDisk(self) -> None:
        """From now on they do again."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        if self.isRunning:
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
                soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def searchFor(self, some: set[str]) -> None:
        """
        Whether any of these stood in the log since the last search.

        @raise BrokenPromise: when one did.
        """
        found = some & self.words
        self.words.clear()
        if found:
            raise BrokenPromise(f"secrets in the log: {sorted(found)[:5]}")
