"""
The places in the database: handed over, given back, and proven. Statements only; each is to be
called within a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import psycopg

from .lease_proofs import surely
from .membership import deadOf, tell
from .place_rows import COLUMNS, OWNER, Key, columns, lock, placesOf
from .values import Member, Place

__all__ = [
    "Key",
    "Right",
    "complete",
    "giveBack",
    "giveUp",
    "holding",
    "makeReady",
    "promote",
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


def makeReady(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> None:
    """The successor is connected: the owners may close."""
    lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET ready = true FROM unnest(%s::bigint[], %s::smallint[]) "
        "AS c (a, n) WHERE account = a AND copy = n AND successor = %s RETURNING owner",
        (*columns(keys), me),
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
    lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET owner = successor, epoch = epoch + 1, successor = NULL, "
        "ready = false FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        f"WHERE account = a AND copy = n AND {OWNER} = %s AND successor IS NOT NULL "
        "AND (ready OR %s) "
        "RETURNING account, copy, owner",
        (*columns(keys), me, dark),
    ).fetchall()
    for owner in {row[2] for row in rows}:
        tell(connection, f"places {owner}")
    return [(account, copy) for account, copy, _ in rows]


def giveUp(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> set[Key]:
    """
    The successor could not connect: the owners go on.

    @return: of which places; another owner may have handed its own over meanwhile.
    """
    lock(connection, keys)
    rows = connection.execute(
        "UPDATE iris_places SET successor = NULL, ready = false "
        "FROM unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        "WHERE account = a AND copy = n AND successor = %s RETURNING account, copy",
        (*columns(keys), me),
    )
    return {(account, copy) for account, copy in rows}


def release(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> None:
    """Places that have no successor have no owner any more."""
    lock(connection, keys)
    done = connection.execute(
        "UPDATE iris_places SET owner = NULL FROM unnest(%s::bigint[], %s::smallint[]) "
        f"AS c (a, n) WHERE account = a AND copy = n AND {OWNER} = %s AND successor IS NULL",
        (*columns(keys), me),
    )
    if done.rowcount:
        tell(connection, "members")


def giveBack(connection: psycopg.Connection, me: int, keys: Collection[Key]) -> None:
    """Have nothing to do with these, owned or coming: other members may keep them."""
    giveUp(connection, me, keys)
    complete(connection, me, keys, dark=True)
    release(connection, me, keys)


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
    return placesOf(
        connection.execute(
            "UPDATE iris_places SET owner = successor, epoch = epoch + 1, successor = NULL, "
            "ready = false WHERE successor = %s AND (owner IS NULL OR owner = ANY(%s)) "
            f"RETURNING {COLUMNS}",
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
