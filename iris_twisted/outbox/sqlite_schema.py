"""
The outbox's tables in SQLite, of this version, and how those of a version before become them.
"""

from __future__ import annotations

import sqlite3

__all__ = ["prepare"]

_VERSION = 2
_CALLS = """(
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    received REAL NOT NULL,
    notification TEXT NOT NULL
);
"""
_KEYS = """
CREATE TABLE keys (
    key TEXT NOT NULL PRIMARY KEY,
    call INTEGER NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen ON keys (seen);
"""
_SCHEMA = f"""
CREATE TABLE calls {_CALLS}
CREATE TABLE deliveries (
    call INTEGER NOT NULL REFERENCES calls (id),
    sink TEXT NOT NULL,
    due REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    revived REAL,
    PRIMARY KEY (call, sink)
) WITHOUT ROWID;
CREATE INDEX due ON deliveries (sink, due, call) WHERE due IS NOT NULL;
CREATE INDEX dead ON deliveries (call, sink) WHERE due IS NULL;
{_KEYS}
"""
# Version 1 knew no keys but those of the calls that were there, and when each call was due.
_FROM_1 = f"""
{_KEYS}
INSERT INTO keys (key, call, seen) SELECT key, id, received FROM calls;
CREATE TABLE calls_2 {_CALLS}
INSERT INTO calls_2 SELECT id, key, account, received, notification FROM calls;
DROP TABLE calls;
ALTER TABLE calls_2 RENAME TO calls;
ALTER TABLE deliveries ADD COLUMN revived REAL;
UPDATE deliveries SET due = 0 WHERE due IS NOT NULL AND attempts = 0;
"""


def prepare(connection: sqlite3.Connection, strictOrder: bool = False) -> None:
    """
    Make the tables, if they are not there, or what is new of them.

    @param connection: in autocommit mode.
    @param strictOrder: whether calls are looked for by their account.
    @raise sqlite3.DatabaseError: when there are others.
    """

    def one(statement: str) -> int:
        found: int = connection.execute(statement).fetchone()[0]
        return found

    version = one("PRAGMA user_version")
    if version == 0 and not one("SELECT count(*) FROM sqlite_schema"):
        _run(connection, _SCHEMA)
    elif version not in (1, _VERSION) or not one(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'"
    ):
        raise sqlite3.DatabaseError(f"it is no outbox of the version {_VERSION}")
    elif version == 1:
        _run(connection, _FROM_1)
    if strictOrder:
        # Nobody else needs it, and it costs something with every call.
        connection.execute("CREATE INDEX IF NOT EXISTS account ON calls (account)")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """All of these, or none."""
    script = f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {_VERSION}; COMMIT;"
    try:
        connection.executescript(script)
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
