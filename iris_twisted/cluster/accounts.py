"""
The accounts in the database. Statements only; each is to be called within a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from ..sinks.registry import shownSink
from .key_file import Keys
from .listening import CHANNEL
from .places import Key
from .values import ClusterAccount, Kept, Place

__all__ = [
    "add",
    "change",
    "changedSince",
    "find",
    "kept",
    "remove",
    "rotate",
]


def _shownSinks(account: ClusterAccount) -> list[str] | None:
    """What operators may see of them in the database."""
    return None if account.sinks is None else [shownSink(sink) for sink in account.sinks]


def _count(connection: psycopg.Connection) -> int:
    """One more change; until the transaction ends all others that change something wait."""
    row = connection.execute(
        "UPDATE iris_cluster SET changes = changes + 1 RETURNING changes"
    ).fetchone()
    assert row is not None
    connection.execute("SELECT pg_notify(%s, 'accounts')", (CHANNEL,))
    return int(row[0])


def _fill(connection: psycopg.Connection, ids: Sequence[int]) -> None:
    """As many places as there shall be copies."""
    connection.execute(
        "INSERT INTO iris_places (account, copy) SELECT id, n FROM iris_accounts, "
        "generate_series(0, copies - 1) AS n WHERE id = ANY(%s) ON CONFLICT DO NOTHING",
        (list(ids),),
    )
    connection.execute(
        "DELETE FROM iris_places USING iris_accounts WHERE account = id AND copy >= copies "
        "AND id = ANY(%s)",
        (list(ids),),
    )


def add(
    connection: psycopg.Connection, keys: Keys, accounts: Sequence[ClusterAccount]
) -> tuple[int, int]:
    """
    Add accounts, or change those that are there to these.

    @return: how many are new, and how many were there.
    """
    changed = _count(connection)
    ids: list[int] = []
    new = 0
    statement = (
        "INSERT INTO iris_accounts (routing_id, copies, shown_sinks, email, secret, changed) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (lower(routing_id)) DO UPDATE SET "
        "copies = excluded.copies, shown_sinks = excluded.shown_sinks, email = excluded.email, "
        "secret = excluded.secret, changed = excluded.changed RETURNING id, xmax = 0"
    )
    with connection.cursor() as cursor:
        rows = [
            (
                account.routingId,
                account.copies,
                _shownSinks(account),
                account.email,
                keys.encrypt(account.routingId, account.secrets()),
                changed,
            )
            for account in accounts
        ]
        cursor.executemany(statement, rows, returning=True)
        for _ in rows:
            row = cursor.fetchone()
            assert row is not None
            ids.append(row[0])
            new += bool(row[1])
            cursor.nextset()
    _fill(connection, ids)
    return new, len(ids) - new


def change(connection: psycopg.Connection, keys: Keys, account: ClusterAccount) -> bool:
    """
    Change an account.

    @return: whether there is one of that routing id.
    """
    row = connection.execute(
        "UPDATE iris_accounts SET copies = %s, shown_sinks = %s, email = %s, secret = %s, "
        "changed = %s WHERE lower(routing_id) = lower(%s) RETURNING id",
        (
            account.copies,
            _shownSinks(account),
            account.email,
            keys.encrypt(account.routingId, account.secrets()),
            _count(connection),
            account.routingId,
        ),
    ).fetchone()
    if row is None:
        return False
    _fill(connection, [row[0]])
    return True


def remove(connection: psycopg.Connection, routingIds: Collection[str]) -> int:
    """
    Remove accounts.

    @return: how many there were.
    """
    rows = connection.execute(
        "DELETE FROM iris_accounts WHERE lower(routing_id) = ANY(%s) RETURNING id",
        ([routingId.lower() for routingId in routingIds],),
    ).fetchall()
    for (id,) in rows:
        connection.execute(
            "INSERT INTO iris_removed (account, changed) VALUES (%s, %s)",
            (id, _count(connection)),
        )
    connection.execute("DELETE FROM iris_removed WHERE at < clock_timestamp() - interval '1 day'")
    return len(rows)


_FIELDS = "routing_id, copies, email, secret, changed"


def _account(keys: Keys, row: Sequence[Any]) -> ClusterAccount:
    routingId, copies, email, secret, changed = row
    secrets = keys.decrypt(routingId, bytes(secret))
    sinks = secrets.get("sinks")
    return ClusterAccount(
        routingId,
        secrets.get("token"),
        email,
        secrets.get("password"),
        None if sinks is None else tuple(sinks),
        copies,
        changed,
    )


def find(connection: psycopg.Connection, keys: Keys, routingId: str) -> ClusterAccount | None:
    """
    The account of a routing id.

    @raise IncorrectParameters: when its secrets cannot be decrypted.
    """
    row = connection.execute(
        f"SELECT {_FIELDS} FROM iris_accounts WHERE lower(routing_id) = lower(%s)", (routingId,)
    ).fetchone()
    return None if row is None else _account(keys, row)


def changedSince(connection: psycopg.Connection, changes: int) -> list[int]:
    """The numbers of the accounts that were changed, added or removed since."""
    rows = connection.execute(
        "SELECT id FROM iris_accounts WHERE changed > %s "
        "UNION SELECT account FROM iris_removed WHERE changed > %s",
        (changes, changes),
    ).fetchall()
    return [row[0] for row in rows]


def kept(
    connection: psycopg.Connection,
    keys: Keys,
    me: int,
    accounts: Collection[int] | None = None,
    *,
    refused: dict[Place, str] | None = None,
) -> dict[Key, Kept]:
    """
    The places that a member owns, or is the successor of.

    @param accounts: only of these; C{None} for all.
    @param refused: gets what is wrong with those whose secrets cannot be decrypted; they
        are left out.
    """
    some = "" if accounts is None else "AND account = ANY(%(accounts)s)"
    rows = connection.execute(
        f"SELECT account, copy, owner, epoch, successor, ready, {_FIELDS} "
        "FROM iris_places JOIN iris_accounts ON id = account "
        f"WHERE (owner = %(me)s OR successor = %(me)s) {some}",
        {"me": me, "accounts": None if accounts is None else list(accounts)},
    ).fetchall()
    found: dict[Key, Kept] = {}
    for row in rows:
        place = Place(*row[:6])
        try:
            found[place.account, place.copy] = Kept(place, _account(keys, row[6:]))
        except ValueError as e:
            if refused is None:
                raise
            refused[place] = str(e)
    return found


def rotate(connection: psycopg.Connection, keys: Keys) -> int:
    """
    Encrypt all accounts' secrets with the newest key.

    @return: how many.
    """
    rows = connection.execute("SELECT id, secret FROM iris_accounts FOR UPDATE").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE iris_accounts SET secret = %s WHERE id = %s",
            [(keys.rotate(bytes(secret)), id) for id, secret in rows],
        )
    return len(rows)
