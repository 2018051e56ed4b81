"""
The outbox's tables, and every statement that touches them. No time, no thread.

A delivery is a call owed to a sink. It is due at a time, or it is a dead letter and has
none. A call is gone when nobody is owed it any more; its key is remembered for longer, so
that the same call is not taken twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

import attrs

from ..sinks.record import CallRecord

__all__ = ["DeadLetter", "Due", "Tables"]

_VERSION = 2
# How many keys, at most, are forgotten for one that comes: so they become fewer.
_FORGET = 4
_KEYS = """
CREATE TABLE keys (
    key TEXT NOT NULL PRIMARY KEY,
    call INTEGER NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen ON keys (seen);
"""
_SCHEMA = f"""
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    received REAL NOT NULL,
    notification TEXT NOT NULL
);
CREATE TABLE deliveries (
    call INTEGER NOT NULL REFERENCES calls (id),
    sink TEXT NOT NULL,
    due REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (call, sink)
) WITHOUT ROWID;
CREATE INDEX due ON deliveries (sink, due, call) WHERE due IS NOT NULL;
CREATE INDEX dead ON deliveries (call, sink) WHERE due IS NULL;
{_KEYS}
PRAGMA user_version = {_VERSION};
"""
# Version 1 had no keys but those of the calls that were there.
_FROM_1 = f"""
{_KEYS}
INSERT INTO keys (key, call, seen) SELECT key, id, received FROM calls;
CREATE TABLE calls_2 (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    received REAL NOT NULL,
    notification TEXT NOT NULL
);
INSERT INTO calls_2 SELECT id, key, account, received, notification FROM calls;
INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq)
    SELECT (SELECT rowid FROM sqlite_sequence WHERE name = 'calls_2'), 'calls_2', seq
    FROM sqlite_sequence WHERE name = 'calls';
DROP TABLE calls;
ALTER TABLE calls_2 RENAME TO calls;
PRAGMA user_version = {_VERSION};
"""


@attrs.frozen
class Due:
    """
    A delivery to be made.

    @ivar attempts: how many were made before.
    """

    id: int
    attempts: int
    record: CallRecord


@attrs.frozen
class DeadLetter:
    """
    A delivery that was given up.

    @ivar sink: as it was configured; a webhook's may hold a secret.
    """

    id: int
    sink: str = attrs.field(repr=False)
    attempts: int
    reason: str
    record: CallRecord


class Tables:
    """
    @param connection: in autocommit mode; transactions are the caller's.
    @param forgetAfter: seconds for which a key is remembered, and longer while its call is
        still owed to somebody.
    """

    def __init__(self, connection: sqlite3.Connection, forgetAfter: float = 86_400.0) -> None:
        self._connection = connection
        self._forgetAfter = forgetAfter

    def prepare(self) -> None:
        """
        Make the tables, if they are not there, or what is new of them.

        @raise sqlite3.DatabaseError: when there are others.
        """
        version = self._one("PRAGMA user_version")
        if version == 0 and not self._one("SELECT count(*) FROM sqlite_schema"):
            self._script(_SCHEMA)
        elif version == 1 and self._one(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'"
        ):
            self._script(_FROM_1)
        elif version != _VERSION or not self._one(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'"
        ):
            raise sqlite3.DatabaseError(f"it is no outbox of the version {_VERSION}")

    def _script(self, statements: str) -> None:
        """All of these, or none."""
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE; {statements} COMMIT;")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, statement: str, *values: object) -> object:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def add(self, record: CallRecord, sinks: Iterable[str]) -> int | None:
        """A call came, and these are owed it; its id, or C{None} when it is known already."""
        self._forgetKeys(record.received - self._forgetAfter)
        if self._one("SELECT 1 FROM keys WHERE key = ?", record.key):
            return None
        row = (
            record.key,
            record.account,
            record.received,
            json.dumps(record.notification, separators=(",", ":"), allow_nan=False),
        )
        columns = "key, account, received, notification"
        cursor = self._connection.execute(f"INSERT INTO calls ({columns}) VALUES (?,?,?,?)", row)
        id = cursor.lastrowid
        assert id is not None
        self._connection.execute(
            "INSERT INTO keys (key, call, seen) VALUES (?, ?, ?)", (record.key, id, record.received)
        )
        self._connection.executemany(
            "INSERT INTO deliveries (call, sink, due) VALUES (?, ?, ?)",
            [(id, sink, record.received) for sink in sinks],
        )
        return id

    def _forgetKeys(self, before: float) -> None:
        """Forget a few keys of that time, but not those of calls that are still here."""
        rows = self._connection.execute(
            "SELECT key, EXISTS (SELECT 1 FROM calls WHERE id = call) FROM keys "
            "WHERE seen < ? ORDER BY seen LIMIT ?",
            (before, _FORGET),
        ).fetchall()
        for key, kept in rows:
            if kept:
                # Looked at again when it is as old as that again.
                later = before + self._forgetAfter
                self._connection.execute("UPDATE keys SET seen = ? WHERE key = ?", (later, key))
            else:
                self.forgetKey(key)

    def forgetKey(self, key: str) -> None:
        """As if that call had never come."""
        self._connection.execute("DELETE FROM keys WHERE key = ?", (key,))

    def due(self, sink: str, now: float, most: int) -> list[Due]:
        """What a sink is to be given now, the longest due first."""
        rows = self._connection.execute(
            "SELECT id, attempts, key, account, received, notification "
            "FROM deliveries JOIN calls ON id = call "
            "WHERE sink = ? AND due <= ? ORDER BY due, call LIMIT ?",
            (sink, now, most),
        )
        return [
            Due(id, attempts, CallRecord(key, account, received, json.loads(notification)))
            for id, attempts, key, account, received, notification in rows
        ]

    def nextDue(self, sink: str, after: float) -> float | None:
        """When the next delivery is due after that time, if there is one."""
        found = self._one(
            "SELECT due FROM deliveries WHERE sink = ? AND due > ? ORDER BY due LIMIT 1",
            sink,
            after,
        )
        return found if isinstance(found, float) else None

    def taken(self, id: int, sink: str) -> None:
        """A sink has the call."""
        self._connection.execute("DELETE FROM deliveries WHERE call = ? AND sink = ?", (id, sink))
        self._forget(id)

    def _forget(self, id: int) -> None:
        self._connection.execute(
            "DELETE FROM calls WHERE id = ? AND NOT EXISTS "
            "(SELECT 1 FROM deliveries WHERE call = ?)",
            (id, id),
        )

    def failed(self, id: int, sink: str, due: float | None, reason: str) -> None:
        """A sink did not take it: try again at that time, or never."""
        self._connection.execute(
            "UPDATE deliveries SET due = ?, reason = ?, attempts = attempts + 1 "
            "WHERE call = ? AND sink = ?",
            (due, reason, id, sink),
        )

    def depths(self) -> dict[tuple[str, bool], int]:
        """How many deliveries there are, by sink and whether they are dead."""
        rows = self._connection.execute(
            "SELECT sink, due IS NULL, count(*) FROM deliveries GROUP BY sink, due IS NULL"
        )
        return {(sink, bool(dead)): count for sink, dead, count in rows}

    def oldestWaiting(self) -> dict[str, float]:
        """By sink, when the oldest call came that is still to be delivered, epoch seconds."""
        # The ids ascend as the calls come: that needs no look at each call.
        rows = self._connection.execute(
            "SELECT sink, received FROM calls JOIN ("
            "SELECT sink, min(call) AS first FROM deliveries WHERE due IS NOT NULL GROUP BY sink"
            ") ON id = first"
        )
        return dict(rows)

    def deadLetters(self, ids: Sequence[int] = ()) -> list[DeadLetter]:
        """Those given up, the oldest first: of these calls, or all."""
        rows = self._connection.execute(
            "SELECT id, sink, attempts, reason, key, account, received, notification "
            "FROM deliveries JOIN calls ON id = call WHERE due IS NULL ORDER BY call, sink"
        )
        return [
            DeadLetter(
                id,
                sink,
                attempts,
                reason,
                CallRecord(key, account, received, json.loads(notification)),
            )
            for id, sink, attempts, reason, key, account, received, notification in rows
            if not ids or id in ids
        ]

    def revive(self, letters: Iterable[DeadLetter], now: float) -> None:
        """Try them again, as if they had come now."""
        for letter in letters:
            self._connection.execute(
                "UPDATE deliveries SET due = ?, attempts = 0 WHERE call = ? AND sink = ?",
                (now, letter.id, letter.sink),
            )

    def purge(self, letters: Iterable[DeadLetter]) -> None:
        """Forget them."""
        for letter in letters:
            self.taken(letter.id, letter.sink)
