"""
A PostgreSQL of the test's own: started, stopped, killed, and never left behind.
"""

from __future__ import annotations

import atexit
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from typing import Any

import psycopg
from twisted.trial.unittest import SkipTest, TestCase

__all__ = ["PostgreSQL", "freshDatabase", "postgresql"]

_HINT = "PostgreSQL is not installed: apt-get install postgresql"


def _binaries() -> str:
    """The newest PostgreSQL's programs, which are not on the path in Debian."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if found:
        return found[-1]
    program = shutil.which("initdb")
    if program is None:
        raise SkipTest(_HINT)
    return os.path.dirname(program)


class PostgreSQL:
    """
    A server in a folder of its own, with a unix socket and no other.

    @ivar folder: where the socket is.
    """

    def __init__(self) -> None:
        self._binaries = _binaries()
        # It refuses root.
        self._user = "postgres" if os.getuid() == 0 else None
        # Its socket's path must be short.
        self.folder = tempfile.mkdtemp(prefix="iris-pg-", dir="/tmp")
        if self._user is not None:
            try:
                entry = pwd.getpwnam(self._user)
            except KeyError:
                raise SkipTest(_HINT) from None
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._data = os.path.join(self.folder, "data")
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "iris", "-A", "trust", "--no-sync")
        self._databases = 0

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [os.path.join(self._binaries, program), *arguments],
            check=check,
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            extra_groups=[] if self._user else None,
        )

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        settings = ("-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=200")
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-s", "-l", os.path.join(self.folder, "log"), "-o",
            " ".join([f"-k {self.folder}", *settings, *options]), "start",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it, and wait until it is gone; C{immediate} is as if it crashed."""
        self._run("pg_ctl", "-D", self._data, "-w", "-s", "-m", mode, "stop", check=False)

    @property
    def process(self) -> int:
        """The number of its first process."""
        with open(os.path.join(self._data, "postmaster.pid")) as file:
            return int(file.readline())

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.process, signal.SIGKILL)

    def remove(self) -> None:
        """Leave nothing behind."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database: str = "postgres", user: str = "iris") -> str:
        """How to reach a database of it."""
        return f"host={self.folder} dbname={database} user={user}"

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Do that, and give the rows."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """A new database, empty."""
        self._databases += 1
        name = f"test{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name


_shared: list[PostgreSQL] = []


def postgresql() -> PostgreSQL:
    """The one that all tests of this process share, started; it ends with the process."""
    if not _shared:
        try:
            server = PostgreSQL()
        except SkipTest:
            if os.environ.get("CI"):
                raise AssertionError(_HINT) from None
            raise
        atexit.register(server.remove)
        server.start()
        _shared.append(server)
    return _shared[0]


def freshDatabase(case: TestCase) -> str:
    """The connection string of an empty database for a test."""
    server = postgresql()
    name = server.database()
    case.addCleanup(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
    return server.conninfo(name)
