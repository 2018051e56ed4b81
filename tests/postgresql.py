"""
A PostgreSQL of the tests' own: in a folder of its own, on a unix socket and no TCP, one for the
whole process, gone with it. Each test has its own database there.

    class Mine(NetworkCase):
        skip = MISSING

        def setUp(self):
            super().setUp()
            self.conninfo = postgreSQL().database()
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

__all__ = ["MISSING", "NoMount", "PostgreSQL", "postgreSQL"]


def _binaries() -> Path | None:
    """Where they are; Debian has them on nobody's path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    onPath = shutil.which("postgres")
    if onPath is not None and shutil.which("initdb") is not None:
        found.append(Path(onPath).resolve())
    return found[0].parent if found else None


BINARIES = _binaries()
MISSING = None if BINARIES else "PostgreSQL is missing: apt-get install postgresql"
# Seconds for a start, which a busy machine may need.
_PATIENCE = 60.0
_USER = "iris"


class NoMount(Exception):
    """A small disk cannot be had here."""


class PostgreSQL:
    """
    A running server. It refuses root, so root runs it as the user C{postgres}.

    @param disk: how many megabytes its data may have, on a disk of their own; C{None} for as
        many as there are.
    @ivar folder: of its socket and its data.
    @raise NoMount: where there can be no such disk.
    """

    def __init__(self, disk: int | None = None) -> None:
        assert BINARIES is not None
        self._binaries = BINARIES
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        # Not where the tests are: a socket's path must be short, and open to another user.
        self.folder = Path(tempfile.mkdtemp(prefix="iris-pg-"))
        self._as: list[str] = ["setpriv", "--pdeathsig=QUIT"]
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self._as += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self._mounted = False
        if disk is not None:
            self._mount(disk)
        # Small files of its log, so that a test can forbid it large ones.
        options = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C"]
        initdb = str(self._binaries / "initdb")
        self._run(initdb, "--no-sync", "--wal-segsize=1", *options, "-D", str(self._data))
        with open(self._data / "postgresql.conf", "a") as file:
            file.write("listen_addresses = ''\nfsync = off\nmax_connections = 50\n")
            file.write(f"unix_socket_directories = '{self.folder}'\n")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _mount(self, megabytes: int) -> None:
        self._data.mkdir()
        options = f"size={megabytes}m,mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "iris-pg", str(self._data)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(self.folder)
            words = " ".join(done.stderr.split())
            raise NoMount(f"a small disk cannot be mounted: run the tests as root ({words})")
        self._mounted = True
        if os.geteuid() == 0:
            shutil.chown(self._data, "postgres", "postgres")

    def fillDisk(self) -> None:
        """Leave no room on its small disk."""
        with open(self._data / "filler", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def emptyDisk(self) -> None:
        """There is room again."""
        (self._data / "filler").unlink()

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self._as, *command], capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stderr}")

    def conninfo(self, database: str = "postgres") -> str:
        """What libpq needs to reach a database of it."""
        return f"host={self.folder} user={_USER} dbname={database}"

    def database(self) -> str:
        """Another database, empty; its conninfo."""
        self.start()
        self._count += 1
        name = f"test_{self._count}"
        self.execute(f"CREATE DATABASE {name}")
        return self.conninfo(name)

    def execute(self, statement: str, conninfo: str | None = None) -> list[tuple[Any, ...]]:
        """Do that, in autocommit mode; its rows, if it has some."""
        import psycopg

        with psycopg.connect(conninfo or self.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, if it does not run; it answers then."""
        import psycopg

        if not self.hasEnded:
            return
        log = open(self.folder / "log", "ab")  # noqa: SIM115
        self._process = subprocess.Popen(
            [*self._as, str(self._binaries / "postgres"), "-D", str(self._data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
        log.close()
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.conninfo()).close()
                return
            except psycopg.OperationalError as e:
                words = (self.folder / "log").read_text()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"PostgreSQL does not start: {e}\n{words}") from None
                # It says nowhere but in its log when it is ready.
                time.sleep(0.02)

    def beStandby(self) -> None:
        """From its next start on, as a standby is that waits for its primary."""
        (self._data / "standby.signal").touch()

    @property
    def hasEnded(self) -> bool:
        """Whether it does not run, for whatever reason."""
        return self._process is None or self._process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        """
        Send it a signal: SIGTERM, SIGINT and SIGQUIT are its smart, fast and immediate ends; the
        children of one that is killed end by themselves.
        """
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Signal it, and wait for its end; C{start} starts it again."""
        if self._process is not None and not self.hasEnded:
            self.send(number)
            self._process.wait(_PATIENCE)
        if number is signal.SIGKILL:
            self._awaitChildren()

    def _awaitChildren(self) -> None:
        """Those of a server that was killed hold its memory, and keep the next one out."""
        deadline = time.monotonic() + _PATIENCE
        while self._children() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _children(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "cwd") == str(self._data):
                    found.append(int(folder.name))
            except OSError:
                pass  # It has ended, or is somebody else's.
        return found

    def limitFiles(self, pid: int, size: int) -> None:
        """
        One of its processes may write no file of more than so many bytes, until it ends. Those
        of its log have a megabyte.
        """
        self._run("prlimit", f"--pid={pid}", f"--fsize={size}:")

    def freeze(self) -> None:
        """Let it and its children answer nothing, until they are thawed."""
        for pid in self._children():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Nothing of it is left."""
        self.thaw()
        self.stop(signal.SIGQUIT)
        if self._mounted:
            self._awaitChildren()
            subprocess.run(["umount", str(self._data)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def postgreSQL() -> PostgreSQL:
    """
    The one of this process, running.

    @raise SkipTest: when PostgreSQL is missing.
    """
    if MISSING:
        raise SkipTest(MISSING)
    server = PostgreSQL()
    atexit.register(server.remove)
    server.start()
    return server
