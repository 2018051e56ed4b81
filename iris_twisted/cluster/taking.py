"""
How a member takes places: those that nobody keeps, and some of another member's. Statements only;
each is to be called within a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import psycopg

from .lease_proofs import surely
from .membership import deadOf
from .ownership import Pull, choose
from .place_rows import COLUMNS, OWNER, columns, lock, placesOf, siblings
from .values import Member, Place

__all__ = ["claim", "pull"]

_PULLS = 0x4952
# Without statistics a planner would take so many places for few, and read all of a member's.
_AS_FAR_AS_NEEDED = "SET LOCAL enable_bitmapscan = off"
# Places that nobody keeps. Both by the index of the owners: any other way would read those that
# are kept too, each time.
_FREE = (
    ("FROM iris_places p", "p.owner IS NULL", "ORDER BY p.owner, p.account"),
    ("FROM unnest(%(dead)s::bigint[]) AS d JOIN iris_places p ON p.owner = d", "true", ""),
)
# From where a member begins to the end, and then the rest.
_RANGES = ("p.account >= %(first)s", "p.account < %(first)s")


def claim(
    connection: psycopg.Connection,
    me: int,
    members: Sequence[Member],
    most: int,
    without: Collection[int] = (),
) -> list[Place]:
    """
    Take places that nobody keeps.

    Whoever takes a place of an account locks that account, so that two who take two of its
    copies at the same time see each other. What somebody proves just now is left out.

    @param without: accounts of which it wants none.
    @return: those that it got.
    """
    members = surely(connection, members)
    connection.execute(_AS_FAR_AS_NEEDED)
    zone = next(member.zone for member in members if member.id == me)
    near = [m.id for m in members if m.id == me or (zone is not None and m.zone == zone)]
    taken: list[Place] = []
    # First those that are in no conflict with the zone: there may be many of the others.
    for avoided in [near, [me]] if len(near) > 1 else [[me]]:
        if len(taken) < most:
            taken += _claimSome(connection, me, members, most - len(taken), avoided, without)
    return taken


def _first(connection: psycopg.Connection, me: int, members: Sequence[Member]) -> int:
    """
    The account with which a member begins to look: each with another one, so that those who
    claim at the same time are not in each other's way.
    """
    row = connection.execute("SELECT coalesce(max(id), 0) FROM iris_accounts").fetchone()
    assert row is not None
    living = sorted({member.id for member in members if member.receives} | {me})
    return int(row[0]) * living.index(me) // len(living)


def _claimSome(
    connection: psycopg.Connection,
    me: int,
    members: Sequence[Member],
    most: int,
    avoided: list[int],
    without: Collection[int],
) -> list[Place]:
    dead = deadOf(members)
    first = _first(connection, me, members)
    rows: list[tuple[Any, ...]] = []
    for (source, free, order), range in product(_FREE, _RANGES):
        if len(rows) < most:
            rows += connection.execute(
                f"SELECT p.account {source} JOIN iris_accounts a ON a.id = p.account "
                # OFFSET, so that it is looked up for each candidate, and not joined.
                f"WHERE {free} AND {range} AND p.account <> ALL(%(without)s) "
                "AND NOT EXISTS (SELECT 1 FROM iris_places q WHERE q.account = p.account "
                "AND (q.owner = ANY(%(avoided)s) OR q.successor = ANY(%(avoided)s)) OFFSET 0) "
                f"{order} LIMIT %(most)s FOR NO KEY UPDATE OF a, p SKIP LOCKED",
                {
                    "dead": dead,
                    "avoided": avoided,
                    "first": first,
                    "most": most - len(rows),
                    "without": list(without),
                },
            ).fetchall()
    chosen = choose(me, members, siblings(connection, rows), most)
    lock(connection, [(p.account, p.copy) for p in chosen])
    return placesOf(
        connection.execute(
            "UPDATE iris_places p SET owner = %s, epoch = epoch + 1, successor = NULL, "
            "ready = false FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
            f"WHERE account = a AND copy = n AND ({OWNER} IS NULL OR {OWNER} = ANY(%s)) "
            f"RETURNING {COLUMNS}",
            (me, *columns([(p.account, p.copy) for p in chosen]), dead),
        )
    )


def pull(
    connection: psycopg.Connection,
    me: int,
    members: Sequence[Member],
    wanted: Pull,
    without: Collection[int] = (),
) -> list[Place] | None:
    """
    Become the successor of some places of another member.

    @param without: accounts of which it wants none.
    @return: those; C{None} when another one pulls from that member just now.
    """
    source, most = wanted.source, wanted.most
    row = connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s, %s)", (_PULLS, source % 2**31)
    ).fetchone()
    if row is None or not row[0]:
        return None
    if wanted.least:
        count = connection.execute(
            "SELECT count(*) FROM iris_places WHERE owner = %s AND successor IS NULL", (source,)
        ).fetchone()
        assert count is not None
        most = min(most, count[0] - wanted.least)
        if most <= 0:
            return None
    connection.execute(_AS_FAR_AS_NEEDED)
    known = {member.id: member for member in members}
    same = [m.id for m in members if m.id != source and m.zone == known[source].zone]
    # With siblings near the new owner it would be no better off.
    mine = [m.id for m in members if m.id == me or (m.zone and m.zone == known[me].zone)]
    crowded = (
        "AND EXISTS (SELECT 1 FROM iris_places q WHERE q.account = p.account AND "
        "q.copy <> p.copy AND q.owner = ANY(%(same)s)) "
        if wanted.repair
        else ""
    )
    locked: list[tuple[Any, ...]] = []
    for avoided in [mine, [me]] if len(mine) > 1 and not wanted.repair else [mine]:
        if len(locked) < most:
            locked += connection.execute(
                "SELECT p.account FROM iris_places p JOIN iris_accounts a ON a.id = p.account "
                "WHERE p.owner = %(source)s AND p.successor IS NULL "
                "AND p.account <> ALL(%(without)s) AND NOT EXISTS (SELECT 1 "
                "FROM iris_places q WHERE q.account = p.account AND q.copy <> p.copy AND "
                "(q.owner = ANY(%(avoided)s) OR q.successor = ANY(%(avoided)s)) OFFSET 0) "
                f"{crowded}"
                "LIMIT %(most)s FOR NO KEY UPDATE OF a SKIP LOCKED",
                {
                    "source": source,
                    "without": list(without),
                    "avoided": avoided,
                    "same": same,
                    "most": most,
                },
            ).fetchall()
    places = siblings(connection, locked)
    chosen = choose(me, members, places, most, source, repair=wanted.repair)
    lock(connection, [(p.account, p.copy) for p in chosen])
    return placesOf(
        connection.execute(
            "UPDATE iris_places SET successor = %s, ready = false "
            "FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
            f"WHERE account = a AND copy = n AND {OWNER} = %s AND successor IS NULL "
            f"RETURNING {COLUMNS}",
            (me, *columns([(p.account, p.copy) for p in chosen]), source),
        )
    )
