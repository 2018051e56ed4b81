"""
C{twist iris-cluster-demo}: a cluster to look at.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from psycopg.errors import AdminShutdown
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.usage import UsageError
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from iris_twisted.cluster import local_cluster, private_postgresql
from iris_twisted.cluster.demo import ClusterDemo, Settings
from iris_twisted.cluster.demo_tap import Options, makeService
from iris_twisted.cluster.local_cluster import LocalCluster
from iris_twisted.cluster.private_postgresql import PrivatePostgreSQL
from iris_twisted.errors import DatabaseFailed, IncorrectParameters

from ..postgresql import MISSING
from ..processes import startTwist
from ..samples import differing, sample


class Demo(TestCase):
    """The program, run."""

    timeout = 180

    async def test_run(self) -> None:
        """A member is killed, the others take its places, no call is missed; nothing is left."""
        if MISSING:
            raise SkipTest(MISSING)
        arguments = [
            "iris-cluster-demo",
            "--accounts",
            "6",
            "--rate",
            "5",
            "--kill-every",
            "20",
            "--seconds",
            "38",
        ]
        # A socket's path must be short.
        program = startTwist(self, *arguments, env={"TMPDIR": "/tmp"})
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertEqual(program.stderr, "")
        for page, first in (
            ("README.md", "All accounts are connected"),
            ("docs/how-to/cluster.md", "Starting a PostgreSQL"),
        ):
            self.assertEqual(differing(sample(page, first), program.stdout), [], program.stdout)
        counts = [line for line in program.stdout.splitlines() if " calls placed, " in line]
        self.assertIn(" 0 missed,", counts[-1])
        logs = program.stdout.partition("logs are in ")[2].splitlines()[0]
        self.assertFalse(os.path.exists(logs))

    async def test_interrupted(self) -> None:
        """Ctrl-C ends it while it starts, with all that it started."""
        if MISSING:
            raise SkipTest(MISSING)
        program = startTwist(self, "iris-cluster-demo", env={"TMPDIR": "/tmp"})
        await program.until("Starting member-1")
        self.assertEqual(await program.signal("INT"), -2)
        logs = program.stdout.partition("logs are in ")[2].splitlines()[0]
        self.assertFalse(os.path.exists(logs))

    async def test_terminalCloses(self) -> None:
        """A terminal that is closed ends it as Ctrl-C does."""
        if MISSING:
            raise SkipTest(MISSING)
        folder = self.folder()
        program = startTwist(self, "iris-cluster-demo", env={"TMPDIR": folder})
        await program.until("Starting member-1")
        self.assertEqual(await program.signal("HUP"), 74)
        self.assertEqual(os.listdir(folder), [])

    async def test_killed(self) -> None:
        """When it is killed, its PostgreSQL ends."""
        if MISSING:
            raise SkipTest(MISSING)
        folder = self.folder()
        program = startTwist(self, "iris-cluster-demo", env={"TMPDIR": folder})
        await program.until("All accounts are connected")
        (pidFile,) = Path(folder).glob("*/data/postmaster.pid")
        await program.signal("KILL")
        # It removes this file at its end.
        while pidFile.exists():
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]

    def folder(self) -> str:
        """For temporary files; a socket's path must be short."""
        folder = tempfile.mkdtemp(dir="/tmp")
        # The database's user goes through it.
        os.chmod(folder, 0o755)
        self.addCleanup(shutil.rmtree, folder)
        return folder


class Small(SynchronousTestCase):
    """What it says, and how it ends."""

    def test_lookUnderWay(self) -> None:
        """The database is stopped when nobody looks into it any more."""
        clock, status, stopped = Clock(), Deferred[Any](), []

        async def stop(keepLogs: bool) -> None:
            stopped.append(keepLogs)

        demo = ClusterDemo(clock, Settings(), [].append)
        demo._cluster = SimpleNamespace(status=lambda: status, stop=stop)
        demo.running = True
        demo._loop(demo._look, 1.0)
        ended = demo.stopService()
        self.assertNoResult(ended)
        self.assertEqual(stopped, [])
        status.errback(DatabaseFailed("the database is shutting down"))
        self.successResultOf(ended)
        self.assertEqual(stopped, [False])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_mistakes(self) -> None:
        """Each is named."""
        for arguments, words in (
            (["--members", "1"], "--members must be a number from 2 to 20, not '1'"),
            (["--rate", "x"], "--rate must be a number"),
            (["more"], "'more' is no option"),
        ):
            with self.assertRaises(UsageError) as caught:
                Options().parseOptions(arguments)
            self.assertIn(words, str(caught.exception))
        options = Options()
        options.parseOptions([])
        self.assertTrue(makeService(options))

    def test_missing(self) -> None:
        """Where PostgreSQL is not installed, it names the package."""
        self.patch(private_postgresql.glob, "glob", lambda pattern: [])
        self.patch(private_postgresql.shutil, "which", lambda name: None)
        with self.assertRaises(IncorrectParameters) as caught:
            PrivatePostgreSQL("/nowhere")
        self.assertIn("apt-get install postgresql", caught.exception.message)


class Gone(TestCase):
    """A database that goes."""

    async def test_look(self) -> None:
        """Whoever looks into it just then is told so."""

        def connect(conninfo: str, name: str) -> Any:
            raise AdminShutdown("terminating connection due to administrator command")

        cluster = LocalCluster(reactor)
        cluster._postgresql = SimpleNamespace(conninfo="dbname=iris")
        self.patch(local_cluster, "connect", connect)
        with self.assertRaises(DatabaseFailed) as caught:
            await cluster.status()
        self.assertIn("the database is shutting down", caught.exception.message)
