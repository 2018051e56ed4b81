"""
A sink's URL may carry a secret: none stands in the database, neither with an account nor with
what is owed to the sink.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from typing import Any

import psycopg
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster import accounts, schema
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.sink_names import sinkNames
from iris_twisted.cluster.tap import Options
from iris_twisted.cluster.values import ClusterAccount
from iris_twisted.errors import DatabaseFailed
from iris_twisted.outbox import postgresql_schema

from .databases import freshDatabase
from .farm import FarmCase

_SINKS = (
    "webhook:https://joe:CANARY@h.test/CANARY?token=CANARY",
    "amqp:amqps://joe:CANARY@b.test/v?exchange=e",
)
_SHOWN = ["webhook:https://h.test/...", "amqp:amqps://b.test/..."]


class SealedSinks(SynchronousTestCase):
    """The tables, and the command that looks after them."""

    def setUp(self) -> None:
        self.conninfo = freshDatabase(self)
        self.connection = connect(self.conninfo, "test")
        self.addCleanup(self.connection.close)
        self.path = os.path.abspath(self.mktemp())
        addKey(self.path)
        self.keys = Keys(self.path)

    def do(self, work: Any, *arguments: Any) -> Any:
        """In a transaction."""
        with self.connection.transaction():
            return work(self.connection, *arguments)

    def run_(self, *arguments: str) -> str:
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit):
            options = ["--cluster", self.conninfo, "--cluster-key-file", self.path, *arguments]
            Options().parseOptions(options)
        self.assertNotIn("CANARY", output.getvalue())
        return output.getvalue()

    def everything(self) -> str:
        """All that whoever has the database can read, as text."""
        tables = self.connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        rows: list[Any] = []
        for (table,) in tables:
            rows += self.connection.execute(f"SELECT t::text FROM {table} t").fetchall()
        return "\n".join(row[0] for row in rows)

    def clean(self) -> None:
        everything = self.everything()
        # What is bytes is written in hexadecimal digits.
        for text in ("CANARY", b"CANARY".hex()):
            self.assertNotIn(text, everything)

    def test_account(self) -> None:
        """Those of an account are encrypted; the list shows what logs show of them."""
        self.do(schema.migrate)
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("CANARY")
        sinks = [part for sink in _SINKS for part in ("--sink", sink)]
        self.run_("add", "--token-file", path, *sinks, "a@x.test")
        self.clean()
        (found,) = json.loads(self.run_("list", "--json"))
        self.assertEqual(found["sinks"], _SHOWN)
        self.assertIn(" ".join(_SHOWN), self.run_("list"))
        account = self.do(accounts.find, self.keys, "a@x.test")
        self.assertEqual(account.sinks, _SINKS)
        self.run_("set", "--copies", "2", "a@x.test")
        self.run_("set", "--sink", _SINKS[0], "a@x.test")
        self.clean()
        self.assertEqual(self.do(accounts.find, self.keys, "a@x.test").sinks, _SINKS[:1])

    def test_names(self) -> None:
        """All members have the same name for a sink, and another cluster's have another."""
        self.do(schema.migrate)
        first, second = (self.do(sinkNames, self.keys)(_SINKS[0]) for _ in range(2))
        self.assertEqual(first, second)
        self.assertTrue(first.startswith(f"{_SHOWN[0]} #"), first)
        self.assertNotEqual(first, self.do(sinkNames, self.keys)(_SINKS[0] + "x"))
        self.connection.execute("UPDATE iris_cluster SET naming = NULL")
        self.assertNotEqual(first, self.do(sinkNames, self.keys)(_SINKS[0]))

    def test_rotated(self) -> None:
        """Another key encrypts the sinks too, and what their names are made from."""
        self.do(schema.migrate)
        self.do(accounts.add, self.keys, [ClusterAccount("a@x.test", "t", sinks=_SINKS)])
        name = self.do(sinkNames, self.keys)("x")
        older = Keys(shutil.copy(self.path, f"{self.path}.older"))
        self.run_("key")
        self.run_("rotate")
        with open(self.path) as file:
            newest = file.readline()
        with open(self.path, "w") as file:
            file.write(newest)
        keys = Keys(self.path)
        self.assertEqual(self.do(accounts.find, keys, "a@x.test").sinks, _SINKS)
        self.assertEqual(self.do(sinkNames, keys)("x"), name)
        with self.assertRaises(DatabaseFailed) as caught:
            self.do(sinkNames, older)
        self.assertIn("is none of this cluster", caught.exception.message)
        self.assertTrue(caught.exception.lasting)

    # From version 1, in which they stood as they were

    def old(self) -> None:
        """A database of that version, with an account and a call that is owed."""

        def make(connection: psycopg.Connection) -> None:
            connection.execute(schema._STEPS[0])
            postgresql_schema.createTables(connection.cursor())
            connection.execute(
                "UPDATE iris_cluster SET version = 1, outbox = %s", (postgresql_schema.VERSION,)
            )
            secret = self.keys.encrypt("a@x.test", {"token": "CANARY"})
            connection.execute(
                "INSERT INTO iris_accounts (routing_id, sinks, secret) VALUES (%s, %s, %s)",
                ("a@x.test", list(_SINKS), secret),
            )
            connection.execute(
                "INSERT INTO outbox_deliveries (call, sink) VALUES (1, %s), (2, %s), (3, 'stdout')",
                _SINKS,
            )

        self.do(make)

    def test_migrated(self) -> None:
        """They are encrypted when the tables are brought to this version."""
        self.old()
        self.assertIn("CANARY", self.everything())
        self.assertIn(f"of version {schema.VERSION} now", self.run_("migrate"))
        self.clean()
        account = self.do(accounts.find, self.keys, "a@x.test")
        self.assertEqual((account.token, account.sinks), ("CANARY", _SINKS))
        (found,) = json.loads(self.run_("list", "--json"))
        self.assertEqual(found["sinks"], _SHOWN)
        name = self.do(sinkNames, self.keys)
        rows = self.connection.execute("SELECT sink FROM outbox_deliveries ORDER BY call")
        self.assertEqual([sink for (sink,) in rows], [name(s) for s in (*_SINKS, "stdout")])

    def test_migratedWithoutKey(self) -> None:
        """Without the key file, or with another one, nothing is changed, and it is told why."""
        self.old()
        other = os.path.abspath(self.mktemp())
        addKey(other)
        for keys, words in (
            (None, "name the file with the keys, --cluster-key-file"),
            (lambda: Keys(other), "decrypts the secrets of a@x.test"),
        ):
            with self.assertRaises(DatabaseFailed) as caught:
                self.do(schema.migrate, keys)
            self.assertIn(words, caught.exception.message)
            self.assertTrue(caught.exception.lasting)
        with self.assertRaises(UsageError) as refused:
            Options().parseOptions(["--cluster", self.conninfo, "migrate"])
        self.assertIn("--cluster-key-file is missing", str(refused.exception))
        row = self.connection.execute("SELECT version FROM iris_cluster").fetchone()
        self.assertEqual(row, (1,))


class Members(FarmCase):
    """Daemons."""

    async def test_owed(self) -> None:
        """What a member owes to a sink that is away does not tell the sink's secrets."""
        self.receiver.closed = True
        self.add(2)
        self.hook += "CANARY?token=CANARY"
        self.start("a")
        await self.balanced(1, 2)
        self.sandbox.placeCall("user0@sandbox.test")
        owed = "SELECT sink FROM outbox_deliveries"
        await self.until(lambda: self.server.execute(owed, self.conninfo))
        ((sink,),) = self.server.execute(owed, self.conninfo)
        self.assertIn("webhook:http://127.0.0.1:", sink)
        self.assertNotIn("CANARY", sink)
        # Another one that has the sink delivers it.
        await self.signal("a", "KILL")
        self.receiver.closed = False
        self.start("b")
        await self.settled(60)
        self.assertEqual(len(self.receiver.keys), 1)

    async def test_otherKey(self) -> None:
        """A member with the key file of another cluster ends with a sentence."""
        self.add(1)
        self.start("a")
        await self.balanced(1, 1)
        self.key = str(self.folder / "other")
        addKey(self.key)
        program = self.start("x")
        self.assertEqual(await program.ended, 69, program.stderr)
        (line,) = program.stderr.splitlines()
        self.assertIn("is none of this cluster", line)
        del self.members["x"]
