"""
A cluster on this machine: a PostgreSQL of its own, a sandbox, and members that are processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from ..sandbox.server import Sandbox, startSandbox
from . import accounts, schema
from .conninfo import connect
from .failures import failureOf
from .key_file import Keys, addKey
from .overview import statusOf
from .private_postgresql import PrivatePostgreSQL, dyingWithUs
from .values import ClusterAccount

__all__ = ["LocalCluster"]


class LocalCluster:
    """
    @ivar folder: of the members' logs and their key, once it is started.
    @ivar sandbox: the platform.
    @ivar names: of the members that run.
    """

    sandbox: Sandbox

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.folder = self._key = ""
        self._postgresql: PrivatePostgreSQL | None = None
        self._sandboxRuns = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self._processes)

    @property
    def conninfo(self) -> str:
        """Where its database is."""
        assert self._postgresql is not None
        return self._postgresql.conninfo

    def _thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    async def start(self) -> None:
        """
        Start the database and the sandbox.

        @raise IncorrectParameters: when PostgreSQL is not installed, or does not start.
        """
        self.folder = tempfile.mkdtemp(prefix="iris-demo-")
        self._key = os.path.join(self.folder, "key")
        addKey(self._key)
        # Where another user can reach it, since PostgreSQL refuses root.
        self._postgresql = PrivatePostgreSQL(tempfile.mkdtemp(prefix="iris-demo-pg-"))
        await self._thread(self._postgresql.start)
        self.sandbox = await startSandbox(self._reactor)
        self._sandboxRuns = True

    def add(self, routingIds: Iterable[str], copies: int) -> Deferred[None]:
        """Add accounts."""
        some = [ClusterAccount(routingId, "any", copies=copies) for routingId in routingIds]

        def add() -> None:
            with connect(self.conninfo, "demo") as connection, connection.transaction():
                schema.migrate(connection)
                accounts.add(connection, Keys(self._key), some)

        return self._thread(add)

    def startMember(self, name: str, sink: str) -> None:
        """Start a member; its log is in the folder."""
        options = {
            "event-manager": self.sandbox.url,
            "cluster": self.conninfo,
            "cluster-key-file": self._key,
            "member": name,
            "sink": sink,
            "output": "none",
        }
        words = [part for key, value in options.items() for part in (f"--{key}", value)]
        program = [sys.executable, "-m", "twisted", "--log-level=info", "iris", *words]
        with open(os.path.join(self.folder, f"{name}.log"), "ab") as log:
            self._processes[name] = subprocess.Popen(
                [*dyingWithUs(), *program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us, and we end it then.
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill -9."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def status(self) -> Deferred[dict[str, Any]]:
        """
        @return: fires with what C{twist iris-cluster status --json} says; fails with
            L{DatabaseFailed<iris_twisted.errors.DatabaseFailed>}.
        """

        def look() -> dict[str, Any]:
            try:
                with connect(self.conninfo, "demo") as connection, connection.transaction():
                    return statusOf(connection)
            except psycopg.Error as e:
                raise failureOf(e) from None

        return self._thread(look)

    @property
    def connected(self) -> int:
        """How many connections the platform has."""
        return len(self.sandbox.platform.sessions)

    async def stop(self, *, keepLogs: bool = False) -> None:
        """End everything, and remove what it wrote."""
        for name in self.names:
            self.kill(name)
        if self._sandboxRuns:
            await self.sandbox.stop()
        if self._postgresql is not None:
            await self._thread(self._postgresql.stop)
        if not keepLogs:
            shutil.rmtree(self.folder, ignore_errors=True)
