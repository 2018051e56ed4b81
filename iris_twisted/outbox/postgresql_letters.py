"""
Dead letters of the outbox in PostgreSQL, whoever's they are; and how a call goes that nobody is
owed any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..sinks.record import CallRecord
from .values import DeadLetter

__all__ = ["LetterStatements", "columns"]

_GONE = """
DELETE FROM outbox_calls c WHERE id = ANY(%s)
AND NOT EXISTS (SELECT FROM outbox_deliveries d WHERE d.call = c.id)
"""
_LETTERS = """
SELECT id, sink, attempts, reason, key::text, account, received, notification
FROM outbox_deliveries JOIN outbox_calls ON id = call
WHERE due IS NULL AND (%s::bigint[] IS NULL OR call = ANY(%s::bigint[]))
AND (%s::text IS NULL OR account = %s::text) ORDER BY call, sink LIMIT %s::bigint
"""
_REVIVE = """
UPDATE outbox_deliveries d SET due = 0, attempts = 0, revived = %s, owner = NULL
FROM unnest(%s::bigint[], %s::text[]) AS g (call, sink)
WHERE d.call = g.call AND d.sink = g.sink AND d.due IS NULL
"""
_PURGE = """
DELETE FROM outbox_deliveries d USING unnest(%s::bigint[], %s::text[]) AS g (call, sink)
WHERE d.call = g.call AND d.sink = g.sink AND d.due IS NULL RETURNING d.call
"""


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> tuple[list[Any], ...]:
    """An array for each column."""
    return tuple([row[n] for row in rows] for n in range(width))


class LetterStatements:
    """
    @ivar cursor: of psycopg, in a transaction.
    """

    cursor: Any

    def forget(self, ids: Iterable[int]) -> None:
        """Calls that nobody is owed go; what another transaction leaves goes with its key."""
        self.cursor.execute(_GONE, (list(ids),))

    def deadLetters(
        self, ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> list[DeadLetter]:
        """Those given up, whoever's they are."""
        wanted = list(ids) or None
        self.cursor.execute(_LETTERS, (wanted, wanted, account, account, most))
        return [
            DeadLetter(
                id,
                sink,
                attempts,
                reason,
                CallRecord.stored(key, account, received, text),
            )
            for id, sink, attempts, reason, key, account, received, text in self.cursor.fetchall()
        ]

    def revive(self, letters: Iterable[DeadLetter], now: float) -> None:
        """Try them again: whoever looks first."""
        pairs = [(letter.id, letter.sink) for letter in letters]
        self.cursor.execute(_REVIVE, (now, *columns(pairs, 2)))

    def purge(self, letters: Iterable[DeadLetter]) -> None:
        """Forget them."""
        pairs = [(letter.id, letter.sink) for letter in letters]
        self.cursor.execute(_PURGE, columns(pairs, 2))
        self.forget({id for (id,) in self.cursor.fetchall()})
