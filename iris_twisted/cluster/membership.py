"""
Who is a member: one row for each, which it renews while it lives. Statements only; each is
to be called within a transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import psycopg

from .listening import CHANNEL
from .values import LEASE, Life, Member, Place

__all__ = [
    "Identity",
    "Sight",
    "Taken",
    "deadOf",
    "drain",
    "forget",
    "join",
    "leave",
    "look",
    "tell",
]

# More places than so many that wait are not counted: it is enough to know that there are.
_COUNTED = 20_000


@attrs.frozen
class Identity:
    """
    What a member says of itself.

    @ivar process: its number.
    @ivar program: the version of the program.
    """

    name: str
    capacity: int
    zone: str | None = None
    host: str = ""
    process: int = 0
    program: str = ""


@attrs.frozen
class Taken:
    """
    Another process has the name.

    @ivar left: seconds until its lease expires, if it does not renew it.
    """

    left: float
    host: str
    process: int


@attrs.frozen
class Sight:
    """
    What a member sees of the cluster.

    @ivar lapsed: whether its own lease had expired before it was renewed.
    @ivar waiting: how many places nobody keeps.
    @ivar fresh: how many of them never had an owner.
    @ivar handovers: the places that have a successor.
    @ivar changes: grows with each change of the accounts.
    @ivar soonest: seconds until the next lease of another member expires.
    """

    members: tuple[Member, ...]
    lapsed: bool
    waiting: int
    fresh: int
    handovers: tuple[Place, ...]
    changes: int
    soonest: float


def tell(connection: psycopg.Connection, words: str) -> None:
    """Let all members hear that: C{members}, C{accounts}, or C{places} and whose."""
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, words))


def join(connection: psycopg.Connection, who: Identity) -> int | Taken:
    """
    Become a member, in the place of one of the same name whose lease has expired; what that
    one owned has no owner then.

    @return: the id of this run.
    """
    row = connection.execute(
        "SELECT id, extract(epoch FROM expires - clock_timestamp())::float8, host, process "
        "FROM iris_members WHERE name = %s FOR UPDATE",
        (who.name,),
    ).fetchone()
    if row is not None:
        id, left, host, process = row
        if left > 0:
            return Taken(left, host, process)
        connection.execute("DELETE FROM iris_members WHERE id = %s", (id,))
    row = connection.execute(
        "INSERT INTO iris_members "
        "(name, capacity, zone, host, process, program, expires) "
        "VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + %s * interval '1 second') "
        "ON CONFLICT (name) DO NOTHING RETURNING id",
        (*attrs.astuple(who), LEASE),
    ).fetchone()
    if row is None:
        # It came just now.
        return Taken(LEASE, "another host", 0)
    tell(connection, "members")
    return int(row[0])


def signOff(connection: psycopg.Connection, id: int) -> None:
    """
    Own nothing any more. The row stays until L{leave}: whoever dies before that is a dead
    member, and what it owes to sinks is adopted.
    """
    connection.execute("UPDATE iris_members SET draining = true WHERE id = %s", (id,))
    connection.execute("UPDATE iris_places SET owner = NULL WHERE owner = %s", (id,))
    connection.execute(
        "UPDATE iris_places SET successor = NULL, ready = false WHERE successor = %s", (id,)
    )
    tell(connection, "members")


def leave(connection: psycopg.Connection, id: int) -> None:
    """Be no member any more."""
    connection.execute("DELETE FROM iris_members WHERE id = %s", (id,))
    tell(connection, "members")


def forget(connection: psycopg.Connection, name: str) -> float | None:
    """
    Remove a dead member's row.

    @return: C{None} when there is none of that name; the seconds that its lease lasts, which
        are above 0 when it lives, and then nothing was done.
    """
    row = connection.execute(
        "SELECT id, extract(epoch FROM expires - clock_timestamp())::float8 "
        "FROM iris_members WHERE name = %s FOR UPDATE",
        (name,),
    ).fetchone()
    if row is None:
        return None
    if row[1] <= 0:
        leave(connection, row[0])
    return float(row[1])


def drain(connection: psycopg.Connection, name: str, draining: bool) -> bool:
    """
    Ask a member to hand everything over, or to take something again.

    @return: whether there is one of that name.
    """
    done = connection.execute(
        "UPDATE iris_members SET draining = %s WHERE name = %s", (draining, name)
    )
    tell(connection, "members")
    return done.rowcount > 0


def _renew(connection: psycopg.Connection, id: int, held: int, connected: int) -> bool | None:
    """
    @return: whether the lease had lapsed; C{None} when there is no such member.
    """
    row = connection.execute(
        "UPDATE iris_members m SET expires = clock_timestamp() + %s * interval '1 second', "
        "held = %s, connected = %s "
        "FROM (SELECT id, expires < clock_timestamp() AS lapsed FROM iris_members "
        "WHERE id = %s FOR UPDATE) AS before WHERE m.id = before.id RETURNING before.lapsed",
        (LEASE, held, connected, id),
    ).fetchone()
    return None if row is None else bool(row[0])


def _lifeOf(left: float, watching: float) -> Life:
    """
    While the database was away nobody could renew: who saw that gives all others the time to
    do it before they are dead.
    """
    if left > 0:
        return Life.LIVE
    return Life.DEAD if watching >= LEASE else Life.LATE


def deadOf(members: Sequence[Member]) -> list[int]:
    """The ids of those that are dead."""
    return [member.id for member in members if member.life is Life.DEAD]


def look(
    connection: psycopg.Connection,
    id: int | None,
    watching: float,
    held: int = 0,
    connected: int = 0,
    *,
    exact: bool = False,
) -> Sight | None:
    """
    Renew the lease of a member, and see how the others are. It costs the same with few
    accounts and with many.

    @param id: whose; C{None} for somebody who only looks.
    @param watching: seconds since it sees the database without a gap.
    @param held: how many places it owns, which the others see.
    @param exact: count the places of all, not only what they said of themselves.
    @return: C{None} when it is no member any more.
    """
    lapsed = False if id is None else _renew(connection, id, held, connected)
    if lapsed is None:
        return None
    rows = connection.execute(
        "SELECT m.id, name, capacity, zone, draining, held, "
        "extract(epoch FROM expires - clock_timestamp())::float8, "
        "extract(epoch FROM clock_timestamp() - joined)::float8, c.changes "
        "FROM iris_members m, iris_cluster c ORDER BY m.id"
    ).fetchall()
    found = connection.execute(
        "SELECT account, copy, owner, epoch, successor, ready FROM iris_places "
        "WHERE successor IS NOT NULL"
    ).fetchall()
    handovers = tuple(Place(*row) for row in found)
    counted: Any = {row[0]: row[5] for row in rows}
    if exact:
        owned = connection.execute("SELECT owner, count(*) FROM iris_places GROUP BY owner")
        counted = Counter(dict(owned.fetchall()))
    going = Counter(place.owner for place in handovers)
    coming = Counter(place.successor for place in handovers)
    members = tuple(
        Member(
            member,
            name,
            capacity,
            zone,
            draining,
            _lifeOf(left, watching),
            counted[member],
            going[member],
            coming[member],
            age,
        )
        for member, name, capacity, zone, draining, _, left, age, _ in rows
    )
    row = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE epoch = 0) FROM (SELECT epoch FROM iris_places "
        "WHERE owner IS NULL OR owner = ANY(%s) LIMIT %s) AS w",
        (deadOf(members), _COUNTED),
    ).fetchone()
    assert row is not None
    # Of those that are dead nothing is expected; those that are late may be dead soon.
    others = [left for member, *_, left, _, _ in rows if member != id and left > 0]
    others += [LEASE - watching for m in members if m.life is Life.LATE]
    soonest = min(others, default=LEASE)
    changes = rows[0][8] if rows else 0
    return Sight(members, lapsed, row[0], row[1], handovers, changes, soonest)
