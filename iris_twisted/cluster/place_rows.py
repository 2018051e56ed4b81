"""
Rows of places: read, and locked. Statements only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import psycopg

from .values import Place

__all__ = ["COLUMNS", "OWNER", "Key", "columns", "lock", "placesOf", "siblings"]

# An account and the number of its copy.
Key = tuple[int, int]

COLUMNS = "account, copy, owner, epoch, successor, ready"
# Of places that are named by their keys: not by the index of the owners.
OWNER = "(owner + 0)"


def columns(keys: Collection[Key]) -> tuple[list[int], list[int]]:
    """As the two arrays of a statement."""
    return [account for account, _ in keys], [copy for _, copy in keys]


def placesOf(cursor: psycopg.Cursor[Any]) -> list[Place]:
    """What a statement gave that selects L{COLUMNS}."""
    return [Place(*row) for row in cursor]


def siblings(connection: psycopg.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Place]:
    """All places of these accounts, whose rows are locked."""
    accounts = list({row[0] for row in rows})
    statement = f"SELECT {COLUMNS} FROM iris_places WHERE account = ANY(%s)"
    return placesOf(connection.execute(statement, (accounts,)))


def lock(connection: psycopg.Connection, keys: Collection[Key]) -> None:
    """In the order in which whoever proves places locks them: so nobody waits in a circle."""
    connection.execute(
        "SELECT 1 FROM iris_places, unnest(%s::bigint[], %s::smallint[]) AS c (a, n) "
        "WHERE account = a AND copy = n ORDER BY account, copy FOR NO KEY UPDATE OF iris_places",
        columns(keys),
    )
