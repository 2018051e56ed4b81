"""
Ways from a member to its database: by TLS, and through a pooler.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import trustme
from twisted.trial.unittest import SkipTest

from .farm import FarmCase
from .pgbouncer import MISSING, PgBouncer

_HOST = "db.test"


class _Way(FarmCase):
    """Members that go another way than the test itself."""

    async def works(self, conninfo: str) -> None:
        """Members share accounts, hear each other, and deliver calls."""
        self.add(6)
        self.start("a", conninfo=conninfo)
        await self.balanced(1, 6)
        self.start("b", conninfo=conninfo)
        await self.balanced(2, 6)
        self.callAll(20)
        await self.signal("a", "TERM")
        await self.until(lambda: self.shares() == {"b": 6} and len(self.calls) > 20)
        self.stopCalls()
        await self.until(lambda: not self.missed(), 10)

    async def refused(self, conninfo: str) -> str:
        """A member ends; what it says, in one line."""
        program = self.start("x", conninfo=conninfo)
        self.assertEqual(await program.ended, 69, program.stderr)
        del self.members["x"]
        (line,) = program.stderr.splitlines()
        return line


class ByTls(_Way):
    """A server with a certificate, on an address that no other test has."""

    async def setUp(self) -> None:
        await super().setUp()
        number = os.getpid()
        self.address = f"127.77.{number // 250 % 250 + 1}.{number % 250 + 1}"
        ca = trustme.CA()
        self.ca = self.written(ca, "ca.pem")
        issued = ca.issue_cert(_HOST)
        data = self.server.folder / "data"
        issued.private_key_pem.write_to_path(str(data / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        (data / "server.key").chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / "server.key", "postgres", "postgres")
        with open(data / "postgresql.conf", "a") as file:
            file.write(f"listen_addresses = '{self.address}'\nssl = on\n")
        with open(data / "pg_hba.conf", "a") as file:
            file.write("hostssl all all 127.0.0.0/8 trust\n")
        self.server.stop()
        self.server.start()

    def written(self, ca: trustme.CA, name: str) -> Path:
        path = self.folder / name
        ca.cert_pem.write_to_path(str(path))
        return path

    def conninfo_(self, ca: Path, host: str = _HOST) -> str:
        """As an operator writes it who wants to be sure."""
        database = self.conninfo.rpartition("=")[2]
        return (
            f"host={host} hostaddr={self.address} user=iris dbname={database} "
            f"sslmode=verify-full sslrootcert={ca}"
        )

    async def test_verified(self) -> None:
        """All connections of all members are encrypted, and the server's certificate verified."""
        await self.works(self.conninfo_(self.ca))
        rows = self.server.execute(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE application_name LIKE 'iris-twisted%' GROUP BY ssl"
        )
        self.assertEqual(rows, [(True, 3)])

    async def test_refused(self) -> None:
        """A certificate of another CA, or of another host, and no CA: one sentence each."""
        other = self.written(trustme.CA(), "other.pem")
        for conninfo, words in (
            (self.conninfo_(other), "the database's certificate does not verify: name the file"),
            (self.conninfo_(self.ca, "x.test"), "the database's certificate is another host's"),
            (self.conninfo_(Path("/no/where")), "there is no certificate to verify"),
        ):
            self.assertIn(words, await self.refused(conninfo))


class Pooled(_Way):
    """PgBouncer between."""

    async def setUp(self) -> None:
        if MISSING:
            raise SkipTest(MISSING)
        await super().setUp()

    def pooled(self, mode: str) -> str:
        pooler = PgBouncer(self.server.folder, mode)
        self.addCleanup(pooler.stop)
        return pooler.conninfo(self.conninfo.rpartition("=")[2])

    async def test_session(self) -> None:
        """A session for each client: all works as without it."""
        await self.works(self.pooled("session"))

    async def test_transaction(self) -> None:
        """One for each transaction: a member says that this does not work, and ends."""
        self.add(1)
        line = await self.refused(self.pooled("transaction"))
        self.assertIn("is not in session mode, and LISTEN hears nothing", line)
