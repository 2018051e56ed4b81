"""
Accounts of a cluster that log in at the auth manager, by email and password: each member does
that for itself, and keeps its tokens to itself, so that nobody takes another one's.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor

from iris_twisted.cluster import accounts, schema
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys
from iris_twisted.cluster.values import ClusterAccount

from ..processes import Program, startTwist
from .farm import FarmCase

_EMAIL = "user{}@mail.test"


class Logins(FarmCase):
    """On the sandbox's auth manager."""

    async def setUp(self) -> None:
        await super().setUp()
        self.directory = self.sandbox.platform.directory
        self.directory.apps["key"] = "secret"
        self.secret = self.folder / "secret"
        self.secret.write_text("secret\n")

    def addLogins(self, number: int, copies: int = 1) -> None:
        """Add so many accounts that log in."""
        self.accounts = [f"user{n}@sandbox.test" for n in range(number)]
        self.directory.passwords = {_EMAIL.format(n): f"CANARY{n}" for n in range(number)}
        with connect(self.conninfo, "test") as connection, connection.transaction():
            schema.migrate(connection)
            some = [
                ClusterAccount(name, email=email, password=password, copies=copies)
                for name, (email, password) in zip(
                    self.accounts, self.directory.passwords.items(), strict=True
                )
            ]
            accounts.add(connection, Keys(self.key), some)

    def startLogging(self, name: str, *options: str) -> Program:
        """Start a member that can log in."""
        login = {"auth-manager": self.sandbox.url, "app-key": "key"}
        words = [part for key, value in login.items() for part in (f"--{key}", value)]
        return self.start(name, *words, "--app-secret-file", str(self.secret), *options)

    def command(self, *words: str) -> Program:
        """Start C{twist iris-cluster}."""
        where = {"IRIS_CLUSTER": self.conninfo, "IRIS_CLUSTER_KEY_FILE": self.key}
        return startTwist(self, "iris-cluster", *words, env=where)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    async def test_imported(self) -> None:
        """
        Accounts with email and password come from a file; a wrong password concerns nobody else,
        and a right one is used within a second.
        """
        self.addLogins(0)
        self.accounts = [f"user{n}@sandbox.test" for n in range(3)]
        self.directory.passwords = {_EMAIL.format(n): f"CANARY{n}" for n in range(3)}
        lines = []
        for n in range(3):
            self.file(f"password{n}", f"CANARY{n}" if n else "wrong")
            lines.append(
                f'[[account]]\nrouting-id = "{self.accounts[n]}"\nemail = "{_EMAIL.format(n)}"\n'
                f'password-file = "password{n}"\n'
            )
        importing = self.command("import", str(self.file("accounts.toml", "\n".join(lines))))
        self.assertEqual(await importing.ended, 0, importing.stderr)
        member = self.startLogging("a")
        await self.up(2)
        await self.until(lambda: "refused the login" in member.stderr)
        self.assertNotIn("CANARY", member.stderr)
        right = self.file("right", "CANARY0")
        setting = self.command("set", "--password-file", str(right), self.accounts[0])
        self.assertEqual(await setting.ended, 0, setting.stderr)
        await self.up(3, 10)
        for _ in range(3):
            self._place()
        await self.until(lambda: not self.missed(), 10)

    async def test_moved(self) -> None:
        """
        A member that dies, and one that drains: the others log in for its accounts, and planned
        moves miss no call.
        """
        self.addLogins(12)
        for name in "ab":
            self.startLogging(name)
        await self.balanced(2, 12)
        self.assertGreaterEqual(self.directory.logins, 12)
        await self.signal("a", "KILL")
        await self.until(lambda: self.shares() == {"b": 12})
        await self.until(lambda: all(self.sessions(name) for name in self.accounts))
        self.startLogging("c")
        await self.balanced(2, 12)
        self.callAll(20)
        await self.signal("b", "TERM")
        await self.until(lambda: self.shares() == {"c": 12})
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})

    async def test_renewed(self) -> None:
        """
        Two members with a copy each renew their tokens as they expire: neither loses its
        connection, and nobody logs in more often than that.
        """
        self.directory.lifetime = 8.0
        self.addLogins(3, copies=2)
        for name in "ab":
            self.startLogging(name)
        await self.balanced(2, 6)
        sessions, before = set(self.sandbox.platform.sessions), self.directory.logins
        began = reactor.seconds()  # type: ignore[attr-defined]
        await self.until(lambda: self.directory.logins >= before + 3 * 6)
        took = reactor.seconds() - began  # type: ignore[attr-defined]
        self.assertGreater(took, 8.0)
        self.assertEqual(set(self.sandbox.platform.sessions), sessions)
        # Whoever has to connect anew has a token for it.
        self.sandbox.drop()
        await self.until(lambda: not sessions & set(self.sandbox.platform.sessions))
        await self.up(6)

    async def test_cannot(self) -> None:
        """A member that cannot log in says what it lacks."""
        self.addLogins(1)
        member = self.start("a")
        await self.until(lambda: "logs in, and that needs --auth-manager" in member.stderr)
