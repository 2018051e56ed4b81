"""
The outbox's tables in SQLite, and every statement that touches them. No thread, no time but
that of the calls.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import NotHeld
from ..sinks.record import CallRecord
from .sqlite_schema import prepare
from .values import EARLIEST, Addition, Attempt, DeadLetter, Due, Look

__all__ = ["Tables"]

# How many keys, at most, are forgotten for each that comes: so they become fewer.
_FORGET = 4


# Due at once, whatever the clock says later, and in the order of the ids.
_OWE = "INSERT INTO deliveries (call, sink, due) VALUES (?, ?, 0)"
# With whatever comes before it of that account, if that waits.
_OWE_STRICTLY = """
INSERT INTO deliveries (call, sink, due) SELECT ?1, ?2, coalesce((
    SELECT max(due) FROM calls AS other JOIN deliveries ON call = other.id
    WHERE other.account = (SELECT account FROM calls WHERE id = ?1)
    AND other.id < ?1 AND sink = ?2 AND due IS NOT NULL
), 0)
"""
_PUSH_BACK = """
UPDATE deliveries SET due = ?1 WHERE sink = ?2 AND due < ?1 AND call > ?3 AND call IN (
    SELECT id FROM calls WHERE account = (SELECT account FROM calls WHERE id = ?3)
)
"""


class Tables:
    """
    @param connection: in autocommit mode. Nobody else adds calls to these tables.
    @param forgetAfter: seconds for which a key is remembered, and longer while its call is
        still owed to somebody.
    @param strictOrder: whether what is due of an account is due no sooner than what came
        before it.
    @raise sqlite3.DatabaseError: when there are other tables.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        forgetAfter: float = 86_400.0,
        strictOrder: bool = False,
    ) -> None:
        self._connection = connection
        self._forgetAfter = forgetAfter
        self._strict = strictOrder
        prepare(connection, strictOrder)
        last = self._one(
            "SELECT max((SELECT coalesce(max(id), 0) FROM calls), "
            "(SELECT coalesce(max(call), 0) FROM keys))"
        )
        assert isinstance(last, int)
        self._lastId = last

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within happens as a whole, or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def isOurs(self, error: Exception) -> bool:
        """Whether it is the disk's fault: then nothing can be kept now."""
        return isinstance(error, sqlite3.OperationalError)

    def reason(self, error: Exception) -> str:
        """An error in a few words."""
        return str(error)

    def _one(self, statement: str, *values: object) -> object:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def add(self, additions: Sequence[Addition]) -> list[int | NotHeld | None]:
        """Calls came; their ids, and C{None} for each whose key is known."""
        now = max(addition.record.received for addition in additions)
        self._forgetKeys(now - self._forgetAfter, now, _FORGET * len(additions))
        keys = [addition.record.key for addition in additions]
        known = {
            key
            for (key,) in self._connection.execute(
                "SELECT key FROM keys WHERE key IN (SELECT value FROM json_each(?))",
                (json.dumps(keys),),
            )
        }
        ids: list[int | NotHeld | None] = []
        calls, seen, deliveries = [], [], []
        next = self._lastId
        for addition in additions:
            record = addition.record
            if record.key in known:
                ids.append(None)
                continue
            next += 1
            ids.append(next)
            known.add(record.key)
            if addition.sinks:
                # What nobody is owed would never go.
                calls.append((next, record.key, record.account, record.received, record.text))
            seen.append((record.key, next, record.received))
            deliveries += [(next, sink) for sink in addition.sinks]
        many = self._connection.executemany
        many(
            "INSERT INTO calls (id, key, account, received, notification) VALUES (?, ?, ?, ?, ?)",
            calls,
        )
        many("INSERT INTO keys (key, call, seen) VALUES (?, ?, ?)", seen)
        many(_OWE_STRICTLY if self._strict else _OWE, deliveries)
        # An id that was rolled back is nobody's.
        self._lastId = next
        return ids

    def _forgetKeys(self, before: float, now: float, most: int) -> None:
        """
        Forget some keys of that time, but not those of calls that are still here, nor any that
        was seen while the clock was wrong: nobody knows when that was.
        """
        rows = self._connection.execute(
            "SELECT key, seen < ? OR EXISTS (SELECT 1 FROM calls WHERE id = call) FROM keys "
            "WHERE seen < ? ORDER BY seen LIMIT ?",
            (EARLIEST if now >= EARLIEST else 0.0, before, most),
        ).fetchall()
        for key, kept in rows:
            if kept:
                # Looked at again when it is as old as that again.
                self._connection.execute("UPDATE keys SET seen = ? WHERE key = ?", (now, key))
            else:
                self.forgetKey(key)

    def forgetKey(self, key: str) -> None:
        """As if that call had never come."""
        self._connection.execute("DELETE FROM keys WHERE key = ?", (key,))

    def due(
        self,
        sink: str,
        now: float,
        most: int,
        known: Sequence[int] = (),
        skipped: Sequence[str] = (),
    ) -> Look:
        """What a sink is to be given now, the longest due first, and when there is more."""
        rows = self._connection.execute(
            "SELECT id, attempts, key, account, received, notification, revived "
            "FROM deliveries JOIN calls ON id = call WHERE sink = ? AND due <= ? "
            "AND call NOT IN (SELECT value FROM json_each(?)) "
            "AND account NOT IN (SELECT value FROM json_each(?)) ORDER BY due, call LIMIT ?",
            (sink, now, json.dumps(known), json.dumps(skipped), most),
        )
        due = [
            Due(id, attempts, CallRecord.stored(key, account, received, text), revived)
            for id, attempts, key, account, received, text, revived in rows
        ]
        next = self._one(
            "SELECT due FROM deliveries WHERE sink = ? AND due > ? ORDER BY due LIMIT 1", sink, now
        )
        return Look(due, next if isinstance(next, float) else None)

    def taken(self, deliveries: Sequence[tuple[int, str]]) -> list[bool]:
        """Sinks have these calls."""
        many = self._connection.executemany
        many("DELETE FROM deliveries WHERE call = ? AND sink = ?", deliveries)
        self._forgetCalls(id for id, _ in deliveries)
        return [True] * len(deliveries)

    def _forgetCalls(self, ids: Iterable[int]) -> None:
        """Those of them that nobody is owed any more."""
        self._connection.executemany(
            "DELETE FROM calls WHERE id = ? "
            "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE call = id)",
            [(id,) for id in dict.fromkeys(ids)],
        )

    def failed(self, attempts: Sequence[Attempt]) -> list[bool]:
        """Sinks did not take these: try again at that time, or never."""
        self._connection.executemany(
            "UPDATE deliveries SET due = ?, reason = ?, attempts = attempts + 1 "
            "WHERE call = ? AND sink = ?",
            [(attempt.due, attempt.reason, attempt.id, attempt.sink) for attempt in attempts],
        )
        if self._strict:
            again = [(a.due, a.sink, a.id) for a in attempts if a.due is not None]
            self._connection.executemany(_PUSH_BACK, again)
        return [True] * len(attempts)

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

    def deadLetters(
        self, ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> list[DeadLetter]:
        """Those given up, the oldest first: of these calls and that account, or all."""
        rows = self._connection.execute(
            "SELECT id, sink, attempts, reason, key, account, received, notification "
            "FROM deliveries JOIN calls ON id = call WHERE due IS NULL "
            "AND (?1 = '[]' OR call IN (SELECT value FROM json_each(?1))) "
            "AND (?2 IS NULL OR account = ?2) ORDER BY call, sink LIMIT ?3",
            (json.dumps(list(ids)), account, -1 if most is None else most),
        )
        return [
            DeadLetter(
                id,
                sink,
                attempts,
                reason,
                CallRecord.stored(key, account, received, text),
            )
            for id, sink, attempts, reason, key, account, received, text in rows
        ]

    def revive(self, letters: Iterable[DeadLetter], now: float) -> None:
        """Try those of them again that are still dead letters, as if they had come now."""
        self._connection.executemany(
            "UPDATE deliveries SET due = 0, attempts = 0, revived = ? "
            "WHERE call = ? AND sink = ? AND due IS NULL",
            [(now, letter.id, letter.sink) for letter in letters],
        )

    def purge(self, letters: Iterable[DeadLetter]) -> None:
        """Forget those that nobody has revived meanwhile."""
        pairs = [(letter.id, letter.sink) for letter in letters]
        many = self._connection.executemany
        many("DELETE FROM deliveries WHERE call = ? AND sink = ? AND due IS NULL", pairs)
        self._forgetCalls(id for id, _ in pairs)
