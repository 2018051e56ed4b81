"""
What a cluster costs, and how fast it recovers: members on a PostgreSQL of their own. It prints a
line of JSON.

    python -m benchmarks.clients.cluster claiming ours|raw MEMBERS PLACES
    python -m benchmarks.clients.cluster idling ACCOUNTS SECONDS
    python -m benchmarks.clients.cluster failover ACCOUNTS-OF-EACH
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from iris_twisted.cluster import accounts, membership, schema, taking
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.local_cluster import LocalCluster
from iris_twisted.cluster.member import ClusterMember
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.private_postgresql import PrivatePostgreSQL
from iris_twisted.cluster.values import LEASE, ClusterAccount, Member

from .member import Played

# How many places are claimed at a time.
_BATCH = 1000
# Until nobody expects anything any more of what happened before, and PostgreSQL has counted it.
_QUIET = LEASE + 3.0
# As short as it can be said: cluster.md's.
_RAW = (
    "UPDATE iris_places SET owner = %s, epoch = epoch + 1 WHERE (account, copy) IN "
    "(SELECT account, copy FROM iris_places WHERE owner IS NULL LIMIT %s "
    "FOR UPDATE SKIP LOCKED) RETURNING account"
)


@contextmanager
def database() -> Iterator[str]:
    """Its conninfo, while this lasts."""
    server = PrivatePostgreSQL(tempfile.mkdtemp(prefix="iris-bench-"))
    server.start()
    try:
        yield server.conninfo
    finally:
        server.stop()


def claiming(how: str, members: int, number: int) -> dict[str, Any]:
    """Rows alone: so many members claim so many places, each its share."""
    with database() as conninfo:
        with connect(conninfo, "benchmark") as connection:
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
                some = [Identity(f"m{n}", number) for n in range(members)]
                ids = [membership.join(connection, who) for who in some]
            connection.execute("ANALYZE")
        known = [Member(id, f"m{id}", number) for id in ids if isinstance(id, int)]

        def claimSome(own: psycopg.Connection, id: int, most: int) -> int:
            if how == "raw":
                return len(own.execute(_RAW, (id, most)).fetchall())
            return len(taking.claim(own, id, known, most))

        def claim(id: int) -> None:
            with connect(conninfo, "benchmark") as own:
                left = number // members
                while left > 0:
                    with own.transaction():
                        left -= claimSome(own, id, min(_BATCH, left))

        threads = [threading.Thread(target=claim, args=(member.id,)) for member in known]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        with connect(conninfo, "benchmark") as connection:
            row = connection.execute(
                "SELECT count(*) FROM iris_places WHERE owner IS NOT NULL"
            ).fetchone()
    assert row is not None
    assert row[0] == number // members * members, f"{row[0]} were claimed"
    return {"seconds": seconds}


def _counted(conninfo: str) -> tuple[int, int]:
    """How many transactions there were, and how many rows they looked at."""
    with connect(conninfo, "benchmark") as connection:
        row = connection.execute(
            "SELECT sum(xact_commit)::int, sum(tup_returned + tup_fetched)::bigint "
            "FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


async def idling(reactor: Any, number: int, seconds: float) -> dict[str, Any]:
    """Three members that have nothing to do."""
    with database() as conninfo, tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "key")
        addKey(path)
        keys = Keys(path)
        with connect(conninfo, "benchmark") as connection, connection.transaction():
            schema.migrate(connection)
            some = [ClusterAccount(f"u{n}@bench.test", "t") for n in range(number)]
            accounts.add(connection, keys, some)
        members = [
            ClusterMember(
                reactor,
                conninfo,
                Identity(f"m{n}", 5000),
                keys,
                Played(),
                lambda error: print(error.message, file=sys.stderr),
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
        with connect(conninfo, "benchmark") as connection:
            connection.execute("VACUUM ANALYZE iris_places")
        await deferLater(reactor, _QUIET)
        before = _counted(conninfo)
        await deferLater(reactor, seconds)
        after = _counted(conninfo)
        await gatherResults([member.stopService() for member in members])
        await gatherResults([member.close() for member in members])
    rates = [(late - early) / seconds for late, early in zip(after, before, strict=True)]
    return {"transactions": rates[0], "rows": rates[1]}


async def failover(reactor: Any, each: int) -> dict[str, Any]:
    """Three members with real connections; one is killed."""
    cluster = LocalCluster(reactor)
    try:
        await cluster.start()
        number = 3 * each
        await cluster.add([f"u{n}@sandbox.test" for n in range(number)], 1)
        for name in "abc":
            cluster.startMember(name, "exec:/bin/true")

        async def until(met: Callable[[dict[str, Any]], bool]) -> None:
            while not met(await cluster.status()):
                await deferLater(reactor, 0.1)

        def fair(status: dict[str, Any]) -> bool:
            shares = [m["places"] for m in status["members"]]
            return len(shares) == 3 and min(shares) >= each * 0.9 and cluster.connected == number

        await until(fair)
        began = time.monotonic()
        cluster.kill("c")

        def claimed(status: dict[str, Any]) -> bool:
            living = {m["name"]: m["places"] for m in status["members"] if m["state"] == "live"}
            return set(living) == {"a", "b"} and sum(living.values()) == number

        await until(claimed)
        owned = time.monotonic() - began
        while cluster.connected < number:
            await deferLater(reactor, 0.1)
        connected = time.monotonic() - began
    finally:
        await cluster.stop()
    return {"claimed": owned, "connected": connected}


async def main(reactor: Any, what: str, *words: str) -> None:
    if what == "claiming":
        how, members, number = words
        found = claiming(how, int(members), int(number))
    elif what == "idling":
        found = await idling(reactor, int(words[0]), float(words[1]))
    else:
        found = await failover(reactor, int(words[0]))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
