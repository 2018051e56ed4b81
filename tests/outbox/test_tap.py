"""
C{twist iris-outbox}: dead letters listed, tried again, purged.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from iris_twisted.outbox.spool import openTables
from iris_twisted.outbox.tap import Options, makeService
from iris_twisted.outbox.values import Addition, Attempt
from iris_twisted.sinks import CallRecord

from ..processes import startTwist

HOOK = "webhook:https://h.test/CANARY?token=CANARY"


class Commands(SynchronousTestCase):
    """What each command does, and what it says."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        connection, self.tables = openTables(self.path)
        self.addCleanup(connection.close)

    def dead(self, account: str, sink: str = HOOK) -> int:
        id = self.add(CallRecord.of(account, {"roomtoken": "CANARY"}, 1.5), sink)
        self.tables.failed([Attempt(id, sink, None, "the webhook\x1b answered 404")])
        return id

    def add(self, record: CallRecord, sink: str) -> int:
        (id,) = self.tables.add([Addition(record, (sink,))])
        assert isinstance(id, int)
        return id

    def run_(self, *arguments: str) -> str:
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit) as caught:
            Options().parseOptions(["--spool", self.path, *arguments])
        self.assertEqual(caught.exception.code, 0)
        self.assertNotIn("CANARY", output.getvalue())
        return output.getvalue()

    def refusal(self, *arguments: str) -> str:
        with self.assertRaises(UsageError) as caught:
            Options().parseOptions(arguments)
        return str(caught.exception)

    def test_list(self) -> None:
        """Dead letters and what waits, without secrets and escape sequences."""
        self.assertEqual(self.run_(), "The outbox is empty.\n")
        self.dead("a@x.test")
        self.add(CallRecord.of("b@x.test", {}, 2.0), "stdout")
        expected = (
            "1  1970-01-01T00:00:01.500Z  a@x.test  webhook:https://h.test/...  1 attempt(s)  "
            "the webhook\\x1b answered 404\n"
            "stdout: 1 waiting\nwebhook:https://h.test/...: 1 dead\n"
        )
        self.assertEqual(self.run_("list"), expected)
        self.assertEqual(self.run_(), expected)

    def test_retry(self) -> None:
        """These, or all."""
        one, two, three = (self.dead(f"{name}@x.test") for name in "abc")
        self.assertEqual(self.run_("retry", str(two)), "1 dead letter(s) to be tried again\n")
        self.assertEqual([x.id for x in self.tables.deadLetters()], [one, three])
        self.assertEqual([x.id for x in self.tables.due(HOOK, 1e12, 9).due], [two])
        self.assertEqual(self.run_("retry"), "2 dead letter(s) to be tried again\n")
        self.assertEqual(self.tables.deadLetters(), [])

    def test_purge(self) -> None:
        """These, or all when that is said."""
        one, two, three = (self.dead(f"{name}@x.test") for name in "abc")
        self.assertEqual(self.run_("purge", str(two)), "1 dead letter(s) purged\n")
        self.assertEqual([x.id for x in self.tables.deadLetters()], [one, three])
        self.assertEqual(self.run_("purge", "--all"), "2 dead letter(s) purged\n")
        self.assertEqual(self.run_(), "The outbox is empty.\n")

    def test_mistakes(self) -> None:
        """Each says what is wrong, and changes nothing."""
        self.dead("a@x.test")
        for arguments, words in (
            ((), "--spool is missing"),
            (("--spool", "/no/where"), "No such file"),
            (("--spool", self.path, "purge"), "purge needs ids, or --all"),
            (("--spool", self.path, "purge", "x"), "'x' is no id"),
            (("--spool", self.path, "retry", "1", "9"), "there is no dead letter 9"),
            (("--spool", self.path, "burn"), "Unknown command: burn"),
        ):
            self.assertIn(words, self.refusal(*arguments))
        self.assertEqual(len(self.tables.deadLetters()), 1)
        self.assertFalse(os.path.exists("/no/where"))

    def test_makesNothing(self) -> None:
        """A spool that is not there is a mistake, and is not made."""
        self.assertIn("No such file", self.refusal("--spool", self.path + "-typo"))
        self.assertFalse(os.path.exists(self.path + "-typo"))

    def test_broken(self) -> None:
        """A broken outbox is told."""

        def fail(*_: Any) -> None:
            from sqlite3 import OperationalError

            raise OperationalError("disk I/O error")

        self.patch(type(self.tables), "depths", fail)
        self.assertIn("disk I/O error", self.refusal("--spool", self.path))
        self.assertTrue(makeService(Options()))


class Program(TestCase):
    """The program, run."""

    timeout = 60

    async def test_run(self) -> None:
        """It lists, and ends with 0; a mistake ends with EX_USAGE."""
        path = os.path.abspath(self.mktemp())
        openTables(path)[0].close()
        program = startTwist(self, "iris-outbox", "--spool", path)
        self.assertEqual(await program.ended, 0)
        self.assertEqual((program.stdout, program.stderr), ("The outbox is empty.\n", ""))
        program = startTwist(self, "iris-outbox", "--spool", "/no/where")
        self.assertEqual(await program.ended, 64)
        self.assertIn("No such file", program.stderr)
