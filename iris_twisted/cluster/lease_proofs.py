"""
Whose lease lasts, and whose has expired: proven in the database, and so that it stays true while
something is taken from who is gone. Statements only; each is to be called within a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import psycopg

from .membership import deadOf
from .values import Life, Member

__all__ = ["isGone", "lives", "surely"]


def lives(cursor: Any, id: int) -> bool:
    """
    @param cursor: of psycopg, or a connection of it.
    @return: whether that is a member whose lease lasts.
    """
    found = cursor.execute(
        "SELECT FROM iris_members WHERE id = %s AND expires > clock_timestamp()", (id,)
    )
    return bool(found.rowcount)


def isGone(cursor: Any, name: str) -> bool:
    """
    Whether no member of that name lives; it stays so until the transaction ends, since whoever
    renews that lease waits for it.

    @param cursor: as of L{lives}.
    """
    row = cursor.execute("SELECT id FROM iris_members WHERE name = %s", (name,)).fetchone()
    return row is None or bool(_expired(cursor, [row[0]]))


def _expired(cursor: Any, ids: Sequence[int]) -> set[int]:
    """
    Which of these leases have expired, and are not renewed before the transaction ends. One that
    is renewed just now is left out: nobody waits for it, who may have been stopped meanwhile.
    """
    found = cursor.execute(
        "SELECT id FROM iris_members WHERE id = ANY(%s) AND expires <= clock_timestamp() "
        "ORDER BY id FOR SHARE SKIP LOCKED",
        (list(ids),),
    )
    return {id for (id,) in found.fetchall()}


def surely(connection: psycopg.Connection, members: Sequence[Member]) -> list[Member]:
    """
    The members as they were seen, but that none is dead who may have renewed its lease since;
    who is stays dead until the transaction ends.
    """
    gone = _expired(connection, deadOf(members))
    return [
        attrs.evolve(m, life=Life.LATE) if m.life is Life.DEAD and m.id not in gone else m
        for m in members
    ]
