"""
The places in the database: claimed, handed over, and proven. Statements only; each is to be
called within a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import psycopg

from .lease_proofs import surely
from .membership import deadOf, tell
from .ownership import Pull, choose
from .values import Member, Place

__all__ = [
    "Key",
    "Right",
    "claim",
    "complete",
    "giveUp",
    "holding",
    "makeReady",
    "promote",
    "pull",
    "release",
    "withdraw",
]


class Right(Protocol):
    """By which right a member writes a call: an outbox's C{Place}."""

    @property
    def account(self) -> str: ...
    @property
    def copy(self) -> int: ...
    @property
    def epoch(self) -> int: ...


# An account and the number of its copy.
Key = tuple[int, int]

_COLUMNS = "account, copy, owner, epoch, successor, ready"
_PULLS = 0x4952


def _columns(keys: Collection[Key]) -> tuple[list[int], list[int]]:
    return [account for account, _ in keys], [copy for _, copy in keys]


def _places(cursor: psycopg.Cursor[Any]) -> list[Place]:
    return [Place(*row) for row in cursor]


def _siblings(connection: psycopg.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Place]:
    """All places of these accounts, whose rows are locked."""
    accounts = list({row[0] for row in rows})
    statement = f"SELECT {_COLUMNS} FROM iris_places WHERE account = ANY(%s)"
    return _places(connection.execute(statement, (accounts,)))


def _lock(connection: psycopg.Connection, keys: Collection[Key]) -> None:
    """In the order in which whoever proves places locks them: so nobody waits in a circle."""
    connection.execute(
        "SELECT 1 FROM iris_places, unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        "WHERE account = a AND copy = n ORDER BY account, copy FOR NO KEY UPDATE OF iris_places",
        _columns(keys),
    )


def claim(
    connection: psycopg.Connection, me: int, members: Sequence[Member], most: int
) -> list[Place]:
    """
    Take places that nobody keeps.

    Whoever takes a place of an account locks that account, so that two who take two of its
    copies at the same time see each other. What somebody proves just now is left out.

    @return: those that it got.
    """
    members = surely(connection, members)
    zone = next(member.zone for member in members if member.id == me)
    near = [m.id for m in members if m.id == me or (zone is not None and m.zone == zone)]
    taken: list[Place] = []
    # First those that are in no conflict with the zone: there may be many of the others.
    for avoided in [near, [me]] if len(near) > 1 else [[me]]:
        if len(taken) < most:
            taken += _claimSome(connection, me, members, most - len(taken), avoided)
    return taken


def _claimSome(
    connection: psycopg.Connection,
    me: int,
    members: Sequence[Member],
    most: int,
    avoided: list[int],
) -> list[Place]:
    dead = deadOf(members)
    rows = connection.execute(
        "SELECT p.account FROM iris_places p JOIN iris_accounts a ON a.id = p.account "
        "WHERE (p.owner IS NULL OR p.owner = ANY(%s)) AND NOT EXISTS (SELECT 1 FROM "
        "iris_places q WHERE q.account = p.account AND "
        "(q.owner = ANY(%s) OR q.successor = ANY(%s))) "
        "LIMIT %s FOR NO KEY UPDATE OF a, p SKIP LOCKED",
        (dead, avoided, avoided, most),
    ).fetchall()
    chosen = choose(me, members, _siblings(connection, rows), most)
    _lock(connection, [(p.account, p.copy) for p in chosen])
    return _places(
        connection.execute(
            "UPDATE iris_places p SET owner = %s, epoch = epoch + 1, successor = NULL, "
            "ready = false FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
            "WHERE account = a AND copy = n AND (owner IS NULL OR owner = ANY(%s)) "
            f"RETURNING {_COLUMNS}",
            (me, *_columns([(p.account, p.copy) for p in chosen]), dead),
        )
    )


def pull(
    connection: psycopg.Connection, me: int, members: Sequence[Member], wanted: Pull
) -> list[Place] | None:
    """
    Become the successor of some places of another member.

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
    for avoided in [mine, [me]] if len(mine) > 1 else [[me]]:
        if len(locked) < most:
            locked += connection.execute(
                "SELECT p.account FROM iris_places p JOIN iris_accounts a ON a.id = p.account "
                "WHERE p.owner = %(source)s AND p.successor IS NULL AND NOT EXISTS (SELECT 1 "
                "FROM iris_places q WHERE q.account = p.account AND q.copy <> p.copy AND "
                f"(q.owner = ANY(%(avoided)s) OR q.successor = ANY(%(avoided)s))) {crowded}"
                "LIMIT %(most)s FOR NO KEY UPDATE OF a SKIP LOCKED",
                {"source": source, "avoided": avoided, "same": same, "most": most},
            ).fetchall()
    places = _siblings(connection, locked)
    chosen = choose(me, members, places, most, source, repair=wanted.repair)
    _lock(connection, [(p.account, p.copy) for p in chosen])
    return _places(
        connection.execute(
            "UPDATE iris_places SET successor = %s, ready = false "
            "FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
            "WHERE account = a AND copy = n AND owner = %s AND successor IS NULL "
            f"RETURNING {_COLUMNS}",
            (me, *_columns([(p.account, p.copy) for p in chosen]), source),
        )
    )


def makeReady(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> None:
    """The successor is connected: the owners may close."""
    _lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET ready = true FROM unnest(%s::bigint[], %s::smallint[]) "
        "AS c (a, n) WHERE account = a AND copy = n AND successor = %s RETURNING owner",
        (*_columns(keys), me),
    ).fetchall()
    for owner in {row[0] for row in rows}:
        tell(connection, f"places {owner}")


def complete(
    connection: psycopg.Connection, me: int, keys: Collection[Key], *, dark: bool = False
) -> list[Key]:
    """
    The owner has closed these: their successors own them now.

    @param dark: whether they were not connected: then the successors need not be either.
    @return: those that it had to give.
    """
    _lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET owner = successor, epoch = epoch + 1, successor = NULL, "
        "ready = false FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        "WHERE account = a AND copy = n AND owner = %s AND successor IS NOT NULL AND (ready OR %s) "
        "RETURNING account, copy, owner",
        (*_columns(keys), me, dark),
    ).fetchall()
    for owner in {row[2] for row in rows}:
        tell(connection, f"places {owner}")
    return [(account, copy) for account, copy, _ in rows]


def giveUp(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> set[Key]:
    """
    The successor could not connect: the owners go on.

    @return: of which places; another owner may have handed its own over meanwhile.
    """
    _lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET successor = NULL, ready = false "
        "FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        "WHERE account = a AND copy = n AND successor = %s RETURNING account, copy",
        (*_columns(keys), me),
    )
    return {(account, copy) for account, copy in rows}


def release(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> None:
    """Places that have no successor have no owner any more."""
    _lock(connection, keys)
    done = connection.execute(
        "UPDATE iris_places SET owner = NULL FROM unnest(%s::bigint[], %s::smallint[]) "
        "AS c (a, n) WHERE account = a AND copy = n AND owner = %s AND successor IS NULL",
        (*_columns(keys), me),
    )
    if done.rowcount:
        tell(connection, "members")


def withdraw(connection: psycopg.Connection, me: int, members: Sequence[Member]) -> None:
    """The owner goes on where the successor is gone."""
    connection.execute(
        "UPDATE iris_places SET successor = NULL, ready = false "
        "WHERE owner = %s AND successor = ANY(%s)",
        (me, deadOf(surely(connection, members))),
    )


def promote(connection: psycopg.Connection, me: int, members: Sequence[Member]) -> list[Place]:
    """
    The successor is the owner where that one is gone.

    @return: those places.
    """
    return _places(
        connection.execute(
            "UPDATE iris_places SET owner = successor, epoch = epoch + 1, successor = NULL, "
            "ready = false WHERE successor = %s AND (owner IS NULL OR owner = ANY(%s)) "
            f"RETURNING {_COLUMNS}",
            (me, deadOf(surely(connection, members))),
        )
    )


def holding(cursor: Any, member: int, rights: Sequence[Right]) -> list[bool]:
    """
    Fence a batch: which of these a member holds, until the transaction ends. Nobody takes
    those places before.

    @param cursor: of psycopg, or a connection of it.
    """
    rows = cursor.execute(
        "SELECT i FROM unnest(%s::text[], %s::smallint[], %s::bigint[]) "
        "WITH ORDINALITY AS c (r, n, e, i) JOIN iris_accounts ON lower(routing_id) = lower(r) "
        "JOIN iris_places ON account = id AND copy = n WHERE (owner = %s AND epoch = e) "
        "OR (successor = %s AND epoch + 1 = e) "
        "ORDER BY account, copy FOR SHARE OF iris_places",
        (
            [right.account for right in rights],
            [right.copy for right in rights],
            [right.epoch for right in rights],
            member,
            member,
        ),
    ).fetchall()
    holds = [False] * len(rights)
    for (number,) in rows:
        holds[number - 1] = True
    return holds
