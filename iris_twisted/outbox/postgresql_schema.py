"""
The outbox's tables in PostgreSQL, by version. The cluster's migration makes them; nothing here
needs psycopg to be imported.
"""

from __future__ import annotations

from typing import Any

__all__ = ["STEPS", "VERSION", "createTables"]

# What leads from each version to the next one, from none to the first: a step that has been
# released never changes.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        # Ids follow the order in which calls came, also where some of a batch are known.
        "CREATE SEQUENCE outbox_ids AS bigint",
        """
        CREATE TABLE outbox_calls (
            id bigint PRIMARY KEY,
            key uuid NOT NULL,
            account text NOT NULL,
            received double precision NOT NULL,
            notification text NOT NULL
        )
        """,
        "CREATE INDEX outbox_account ON outbox_calls (account)",
        """
        CREATE TABLE outbox_deliveries (
            call bigint NOT NULL,
            sink text NOT NULL,
            owner text,
            due double precision,
            attempts integer NOT NULL DEFAULT 0,
            reason text NOT NULL DEFAULT '',
            revived double precision,
            PRIMARY KEY (call, sink)
        )
        """,
        """
        CREATE INDEX outbox_due ON outbox_deliveries (owner, sink, due, call)
            WHERE due IS NOT NULL
        """,
        "CREATE INDEX outbox_dead ON outbox_deliveries (call, sink) WHERE due IS NULL",
        """
        CREATE TABLE outbox_keys (
            key uuid PRIMARY KEY,
            call bigint NOT NULL,
            seen double precision NOT NULL
        )
        """,
        "CREATE INDEX outbox_seen ON outbox_keys (seen)",
    ),
)
VERSION = len(STEPS)


def createTables(cursor: Any, since: int = 0) -> None:
    """
    Bring the tables to this version, in the caller's transaction.

    @param cursor: of psycopg.
    @param since: the version that is there; 0 for none.
    """
    for step in STEPS[since:]:
        for statement in step:
            cursor.execute(statement)
