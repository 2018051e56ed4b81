"""
What a cluster costs, and how fast it recovers. Needs PostgreSQL's programs on this machine, and
the extra C{cluster}.

    python -m benchmarks.cluster [--short]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater, react
from zope.interface import implementer

from iris_twisted.cluster import accounts, membership, places, schema
from iris_twisted.cluster.accounts import ClusterAccount, Kept
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.interfaces import IPlaceRunner
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.local_cluster import LocalCluster
from iris_twisted.cluster.member import ClusterMember
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.private_postgresql import PrivatePostgreSQL
from iris_twisted.cluster.values import Member

Rows = list[Sequence[Any]]


def table(title: str, rows: Rows) -> None:
    """In Markdown."""
    print(f"\n## {title}\n")
    for number, row in enumerate(rows):
        print("| " + " | ".join(str(value) for value in row) + " |")
        if not number:
            print("|" + " --- |" * len(row))
    sys.stdout.flush()


@implementer(IPlaceRunner)
class Played:
    """Connections that are up at once."""

    def start(self, kept: Kept) -> Deferred[None]:
        return succeed(None)

    def change(self, kept: Kept) -> None:
        """Nothing to do."""

    def stop(self, kept: Kept) -> Deferred[None]:
        return succeed(None)

    def isUp(self, kept: Kept) -> bool:
        return True


def commits(conninfo: str) -> tuple[int, int]:
    """How many transactions there were, and how many rows they looked at."""
    with connect(conninfo, "benchmark") as connection:
        row = connection.execute(
            "SELECT sum(xact_commit)::int, sum(tup_returned + tup_fetched)::bigint "
            "FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


async def idle(reactor: Any, numbers: Sequence[int], seconds: float) -> Rows:
    """Three members that have nothing to do."""
    rows: Rows = [("accounts", "transactions per second", "rows looked at per second")]
    for number in numbers:
        server = PrivatePostgreSQL(tempfile.mkdtemp(prefix="iris-bench-"))
        server.start()
        key = str(Path(tempfile.mkdtemp()) / "key")
        addKey(key)
        keys = Keys(key)
        with connect(server.conninfo, "benchmark") as connection, connection.transaction():
            schema.migrate(connection)
            some = [ClusterAccount(f"u{n}@bench.test", "t") for n in range(number)]
            accounts.add(connection, keys, some)
        members = [
            ClusterMember(
                reactor,
                server.conninfo,
                Identity(f"m{n}", 5000),
                keys,
                Played(),
                lambda error: print(error.message),
                lambda names: None,
            )
            for n in range(3)
        ]
        for member in members:
            member.startService()
        low = number // 3 * 0.9
        while not all(m.owned >= low for m in members) or sum(m.owned for m in members) < number:
            await deferLater(reactor, 0.2)
        # As autovacuum does within a minute.
        with connect(server.conninfo, "benchmark") as connection:
            connection.execute("VACUUM ANALYZE iris_places")
        # PostgreSQL counts with some delay.
        await deferLater(reactor, 15.0)
        before = commits(server.conninfo)
        await deferLater(reactor, seconds)
        after = commits(server.conninfo)
        rows.append(
            (number, *(round((a - b) / seconds, 2) for a, b in zip(after, before, strict=True)))
        )
        await gatherResults([member.stopService() for member in members])
        await gatherResults([member.close() for member in members])
        server.stop()
    return rows


def claiming(members: int, number: int) -> Rows:
    """Rows alone: so many members claim so many places."""
    server = PrivatePostgreSQL(tempfile.mkdtemp(prefix="iris-bench-"))
    server.start()
    with connect(server.conninfo, "benchmark") as connection:
        with connection.transaction():
            schema.migrate(connection)
            connection.execute(
                "INSERT INTO iris_accounts (routing_id, secret) "
                "SELECT 'u' || n || '@bench.test', '' FROM generate_series(1, %s) AS n",
                (number,),
            )
            connection.execute(
                "INSERT INTO iris_places (account, copy) SELECT id, 0 FROM iris_accounts"
            )
            ids = [membership.join(connection, Identity(f"m{n}", number)) for n in range(members)]
        connection.execute("ANALYZE")
    known = [Member(id, f"m{id}", number) for id in ids if isinstance(id, int)]

    def claim(id: int) -> None:
        with connect(server.conninfo, "benchmark") as own:
            left = number // members
            while left > 0:
                with own.transaction():
                    got = places.claim(own, id, known, min(1000, left))
                left -= len(got)

    threads = [threading.Thread(target=claim, args=(member.id,)) for member in known]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    with connect(server.conninfo, "benchmark") as connection:
        row = connection.execute(
            "SELECT count(*) FROM iris_places WHERE owner IS NOT NULL"
        ).fetchone()
    assert row is not None
    server.stop()
    return [
        ("members", "places", "claimed", "seconds"),
        (members, number, row[0], round(seconds, 2)),
    ]


async def failover(reactor: Any, each: int) -> Rows:
    """Three members with real connections; one is killed."""
    cluster = LocalCluster(reactor)
    try:
        await cluster.start()
        number = 3 * each
        await cluster.add([f"u{n}@sandbox.test" for n in range(number)], 1)
        for name in "abc":
            cluster.startMember(name, "file:/dev/null")

        async def until(met: Callable[[dict[str, Any]], bool]) -> float:
            since = time.monotonic()
            while not met(await cluster.status()):
                await deferLater(reactor, 0.1)
            return time.monotonic() - since

        def fair(status: dict[str, Any]) -> bool:
            shares = [m["places"] for m in status["members"]]
            return len(shares) == 3 and min(shares) >= each * 0.9 and cluster.connected == number

        await until(fair)
        began = time.monotonic()
        cluster.kill("c")

        def claimed(status: dict[str, Any]) -> bool:
            living = {m["name"]: m["places"] for m in status["members"] if m["state"] == "live"}
            return set(living) == {"a", "b"} and sum(living.values()) == number

        owned = await until(claimed)
        while cluster.connected < number:
            await deferLater(reactor, 0.1)
        connected = time.monotonic() - began
    finally:
        await cluster.stop()
    return [
        (
            "accounts of each of 3 members",
            "seconds until all are claimed",
            "until all are connected",
        ),
        (each, round(owned, 1), round(connected, 1)),
    ]


async def main(reactor: Any) -> None:
    short = "--short" in sys.argv
    table("Claiming, rows alone", claiming(4 if short else 20, 2000 if short else 100_000))
    numbers = (30, 100) if short else (100, 1000, 3000)
    table("Three members with nothing to do", await idle(reactor, numbers, 3 if short else 30))
    table("Failover after kill -9", await failover(reactor, 10 if short else 1000))


if __name__ == "__main__":
    react(main)
