"""
C{twist iris-cluster}: the accounts and members, by hand and by program.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from iris_twisted.cluster import accounts, membership
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.schema import VERSION
from iris_twisted.cluster.taking import claim
from iris_twisted.cluster.tap import Options, makeService
from iris_twisted.cluster.values import Member

from ..postgresql import BINARIES, postgreSQL
from ..processes import startTwist
from ..test_documentation import DOCS, fences
from .databases import freshDatabase


class Commands(SynchronousTestCase):
    """What each command does, and what it says."""

    def setUp(self) -> None:
        self.conninfo = freshDatabase(self)
        self.key = os.path.abspath(self.mktemp())
        for name in ("IRIS_CLUSTER", "IRIS_CLUSTER_KEY_FILE"):
            self.patch(os, "environ", {k: v for k, v in os.environ.items() if k != name})

    def run_(self, *arguments: str, status: int = 0) -> str:
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", output)
        with self.assertRaises(SystemExit) as caught:
            options = ["--cluster", self.conninfo, "--cluster-key-file", self.key, *arguments]
            Options().parseOptions(options)
        self.assertEqual(caught.exception.code, status, output.getvalue())
        self.assertNotIn("CANARY", output.getvalue())
        return output.getvalue()

    def refusal(self, *arguments: str) -> str:
        with self.assertRaises(UsageError) as caught:
            options = ["--cluster", self.conninfo, "--cluster-key-file", self.key, *arguments]
            Options().parseOptions(options)
        self.assertNotIn("CANARY", str(caught.exception))
        return str(caught.exception)

    def file(self, content: str) -> str:
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(content)
        return path

    def ready(self) -> None:
        self.run_("key")
        self.run_("migrate")

    def test_keys(self) -> None:
        """A key file is made, and gets newer keys, with which the secrets are encrypted anew."""
        self.assertIn("holds a key: every member needs this file", self.run_("key"))
        self.run_("migrate")
        self.run_("add", "--token-file", self.file("CANARY"), "a@x.test")
        self.assertIn("holds 2 keys", self.run_("key"))
        self.assertIn("of 1 account(s)", self.run_("rotate"))
        with open(self.key) as file:
            newest = file.readline()
        with open(self.key, "w") as file:
            file.write(newest)
        with connect(self.conninfo, "test") as connection:
            found = accounts.find(connection, Keys(self.key), "a@x.test")
        assert found is not None
        self.assertEqual(found.token, "CANARY")

    def test_page(self) -> None:
        """What the page about clusters says to type makes a database, a key and accounts."""
        server = postgreSQL()
        token = self.file("CANARY")
        accounts = self.file(f"routing-id,token-file\nbob@example.com,{token}\n")
        files = {"accounts.csv": accounts, "alice.token": token, "iris": "iris_page"}
        self.addCleanup(server.execute, "DROP ROLE IF EXISTS iris_page")
        self.addCleanup(server.execute, "DROP DATABASE IF EXISTS iris_page WITH (FORCE)")
        self.conninfo = f"host={server.folder} user=iris_page dbname=iris_page"
        database, key, typed, _ = fences(DOCS / "how-to" / "cluster.md", "sh")[1:]
        for line in database.splitlines():
            words = [files.get(word, word) for word in shlex.split(line)]
            self.assertEqual(words[:3], ["sudo", "-u", "postgres"])
            assert BINARIES is not None
            # Its password is read from stdin, where there is no terminal.
            ran = subprocess.run(
                [str(BINARIES / words[3]), *words[4:]],
                env={"PGHOST": str(server.folder), "PGUSER": "iris"},
                input="CANARY\nCANARY\n",
                capture_output=True,
                text=True,
                start_new_session=True,
            )
            self.assertEqual(ran.returncode, 0, ran.stderr)
        export, *commands = (key + typed).splitlines()
        self.assertEqual(re.findall(r" (\w+)=", export), ["IRIS_CLUSTER", "IRIS_CLUSTER_KEY_FILE"])
        for line in commands:
            words = [files.get(word, word) for word in shlex.split(line)]
            self.assertEqual(words[:2], ["twist", "iris-cluster"])
            said = self.run_(*words[2:])
        self.assertRegex(said, r"(?m)^alice@example.com +2 .*webhook:https://hooks.example.com")
        self.assertRegex(said, r"(?m)^bob@example.com +2 ")

    def test_migrate(self) -> None:
        """Once; before that, the others say that it is to be done."""
        self.assertIn("run twist iris-cluster migrate", self.run_("status", status=69))
        self.assertIn(f"of version {VERSION} now", self.run_("migrate"))
        self.assertIn("already", self.run_("migrate"))

    def test_accounts(self) -> None:
        """Added, imported, changed, listed, removed."""
        self.ready()
        token, password = self.file("CANARY"), self.file("CANARY")
        self.run_(
            "add", "-t", token, "--copies", "2", "-s", "webhook:https://h.test/CANARY", "a@x.test"
        )
        self.run_("add", "--email", "b@mail.test", "--password-file", password, "b@x.test")
        table = self.run_("list")
        self.assertIn("ACCOUNT   COPIES  MEMBERS         SINKS", table)
        self.assertIn("a@x.test       2  nobody, nobody  webhook:https://h.test/...", table)
        path = self.file(f"a@x.test,{token}\nc@x.test,{token}\n")
        self.assertEqual(self.run_("import", path), "1 account(s) added, 1 replaced\n")
        self.run_("set", "--copies", "3", "C@x.test")
        found = json.loads(self.run_("list", "--json", "C@x.test", "b@x.test"))
        self.assertEqual([a["routing-id"] for a in found], ["b@x.test", "c@x.test"])
        self.assertEqual([len(a["places"]) for a in found], [1, 3])
        self.run_("set", "--sink", "stdout", "b@x.test")
        self.run_("set", "--all-sinks", "-t", token, "b@x.test")
        (found,) = json.loads(self.run_("list", "--json", "b@x.test"))
        self.assertEqual((found["sinks"], found["email"]), (None, None))
        self.assertEqual(self.run_("remove", "a@x.test", "B@x.test"), "2 account(s) removed\n")
        self.run_("remove", "c@x.test")
        self.assertEqual(self.run_("list"), "There is no account.\n")

    def test_toml(self) -> None:
        """The same TOML file as twist iris reads."""
        self.ready()
        token = self.file("CANARY")
        path = self.file(f'[[account]]\nrouting-id = "a@x.test"\ntoken-file = "{token}"\n')
        os.rename(path, f"{path}.toml")
        self.assertIn("1 account(s) added", self.run_("import", "--copies", "2", f"{path}.toml"))
        self.assertEqual(json.loads(self.run_("list", "--json"))[0]["copies"], 2)

    def test_status(self) -> None:
        """The members, their places, and what waits."""
        self.ready()
        self.assertIn("There is no member.", self.run_())
        self.run_("add", "-t", self.file("CANARY"), "a@x.test")
        self.run_("add", "-t", self.file("CANARY"), "b@x.test")
        with connect(self.conninfo, "test") as connection, connection.transaction():
            who = Identity("one", 1, "z", "h", 7, "1.0")
            id = membership.join(connection, who)
            assert isinstance(id, int)
            claim(connection, id, [Member(id, "one", 1)], 1)
        text = self.run_("status")
        # A busy machine may have taken a moment.
        self.assertRegex(
            text, r"one     live        1      1          0         1  z     \d s ago  h \(7\)"
        )
        self.assertIn("2 accounts, 2 places: 1 wait, 0 move", text)
        self.assertIn("is 1 too little", text)
        status = json.loads(self.run_("status", "--json"))
        self.assertEqual(status["shortage"], 1)
        self.assertEqual(status["members"][0]["zone"], "z")
        self.assertIn("one", self.run_("list"))
        self.assertIn("hands everything over", self.run_("drain", "one"))
        self.assertIn("draining", self.run_("status"))
        self.assertIn("takes places again", self.run_("drain", "--off", "one"))
        self.assertIn("lives: its lease lasts", self.refusal("forget", "one"))
        with connect(self.conninfo, "test") as connection:
            connection.execute("UPDATE iris_members SET expires = now() - interval '1 s'")
        self.assertIn("dead", self.run_("status"))
        self.assertEqual(self.run_("forget", "one"), "one was forgotten\n")

    def test_mistakes(self) -> None:
        """Each says what is wrong, without a secret."""
        self.ready()
        token = self.file("CANARY")
        for arguments, words in (
            (("add", "a@x.test"), "either --token-file, or --email"),
            (("add", "-t", token, "nonsense"), "nonsense"),
            (("add", "-t", "/no/where", "a@x.test"), "No such file"),
            (("add", "-t", token, "--copies", "0", "a@x.test"), "from 1 to 9, not '0'"),
            (("set", "--copies", "2", "a@x.test"), "there is no account a@x.test"),
            (("remove",), "must stand a routing id"),
            (("remove", "a@x.test"), "there is no account a@x.test"),
            (("drain",), "must stand MEMBER"),
            (("drain", "m"), "there is no member 'm'"),
            (("forget", "m"), "there is no member 'm'"),
            (("burn",), "Unknown command: burn"),
        ):
            self.assertIn(words, self.refusal(*arguments))
        self.run_("add", "-t", token, "a@x.test")
        self.assertIn("is there already", self.refusal("add", "-t", token, "a@x.test"))
        self.assertIn("nothing is to be changed", self.refusal("set", "a@x.test"))
        self.assertIn("need each other", self.refusal("set", "--email", "e", "a@x.test"))
        self.key = "/no/where"
        self.assertIn("'/no/where' cannot be read", self.refusal("add", "-t", token, "b@x.test"))
        self.conninfo += " password=CANARY"
        self.assertIn("--cluster must not hold a password", self.refusal("list"))
        self.conninfo = ""
        self.assertIn("--cluster is missing", self.refusal("list"))
        self.assertTrue(makeService(Options()))


class Program(TestCase):
    """The program, run."""

    timeout = 60

    async def test_run(self) -> None:
        """It writes its answer to stdout; a mistake ends with EX_USAGE, a database with 69."""
        conninfo = freshDatabase(self)
        program = startTwist(self, "iris-cluster", "migrate", env={"IRIS_CLUSTER": conninfo})
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertEqual(program.stdout, f"The tables are of version {VERSION} now.\n")
        program = startTwist(self, "iris-cluster", "--cluster", "host=/no/where")
        self.assertEqual(await program.ended, 69)
        self.assertEqual(program.stdout, "")
        self.assertEqual(len(program.stderr.splitlines()), 1, program.stderr)
        program = startTwist(self, "iris-cluster", "--cluster", "password=CANARY")
        self.assertEqual(await program.ended, 64)
        self.assertNotIn("CANARY", program.stderr)
