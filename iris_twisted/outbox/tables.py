"""
The outbox's tables, and every statement that touches them. No time, no thread.

A delivery is a call owed to a sink. It is due at a time, or it is a dead letter and has
none. A call is gone when nobody is owed it any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

import attrs

from ..sinks.record import CallRecord

__all__ = ["DeadLetter", "Due", "Tables"]

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
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
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def prepare(self) -> None:
        """
        Make the tables, if they are not there.

        @raise sqlite3.DatabaseError: when there are others.
        """
        version = self._one("PRAGMA user_version")
        if version == 0 and not self._one("SELECT count(*) FROM sqlite_schema"):
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif version != _VERSION or not self._one(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'"
        ):
            raise sqlite3.DatabaseError(f"it is no outbox of the version {_VERSION}")

    def _one(self, statement: str, *values: object) -> object:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def add(self, record: CallRecord, sinks: Iterable[str]) -> int:
        """A call came, and these are owed it; its id."""
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
        self._connection.executemany(
            "INSERT INTO deliveries (call, sink, due) VALUES (?, ?, ?)",
            [(id, sink, record.received) for sink in sinks],
        )
        return id

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
