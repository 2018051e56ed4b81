"""
Every statement of the outbox in PostgreSQL. No thread, no connection of its own.

Each delivery has an owner, the member that makes it. Whoever is not the owner changes nothing
about it: a member that was away for a while, and whose deliveries were adopted, cannot mark them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import NotHeld
from ..sinks.record import CallRecord
from .interfaces import IFence
from .postgresql_letters import LetterStatements, columns
from .values import EARLIEST, Addition, Attempt, Due, Look, Place

__all__ = ["Statements", "adopt"]

# How many keys, at most, are forgotten for each call that comes: so they become fewer.
_FORGET = 4

_FORGET_KEYS = """
WITH old AS MATERIALIZED (
    SELECT key, call, seen FROM outbox_keys WHERE seen < %s ORDER BY seen LIMIT %s
    FOR UPDATE SKIP LOCKED
), kept AS MATERIALIZED (
    SELECT call FROM outbox_deliveries WHERE call IN (SELECT call FROM old)
    -- Seen while the clock was wrong: nobody knows when that was.
    UNION SELECT call FROM old WHERE seen < %s
), again AS (
    UPDATE outbox_keys SET seen = %s
    WHERE key IN (SELECT key FROM old WHERE call IN (SELECT call FROM kept))
), gone AS (
    DELETE FROM outbox_keys
    WHERE key IN (SELECT key FROM old WHERE call NOT IN (SELECT call FROM kept))
)
DELETE FROM outbox_calls
WHERE id IN (SELECT call FROM old WHERE call NOT IN (SELECT call FROM kept))
"""
# The keys in their order: two members that are told of the same calls wait for each other, and
# never both.
_ADD = """
WITH given AS MATERIALIZED (
    SELECT nextval('outbox_ids') AS id, g.*
    FROM unnest(%s::uuid[], %s::text[], %s::float8[], %s::text[])
        AS g (key, account, received, notification)
), fresh AS (
    INSERT INTO outbox_keys (key, call, seen) SELECT key, id, received FROM given ORDER BY key
    ON CONFLICT (key) DO NOTHING RETURNING call
)
INSERT INTO outbox_calls (id, key, account, received, notification)
SELECT id, key, account, received, notification FROM given WHERE id IN (SELECT call FROM fresh)
RETURNING id, key::text
"""
# Due at once (0), whatever the clock says later, and in the order of the ids.
_OWE = """
INSERT INTO outbox_deliveries (call, sink, owner, due)
SELECT call, sink, %s, 0 FROM unnest(%s::bigint[], %s::text[]) AS g (call, sink)
"""
# With whatever comes before it of that account, if that waits.
_OWE_STRICTLY = """
INSERT INTO outbox_deliveries (call, sink, owner, due)
SELECT g.call, g.sink, %s, coalesce((
    SELECT max(due) FROM outbox_calls c JOIN outbox_deliveries d ON d.call = c.id
    WHERE c.account = (SELECT account FROM outbox_calls WHERE id = g.call)
    AND c.id < g.call AND d.sink = g.sink AND due IS NOT NULL
), 0) FROM unnest(%s::bigint[], %s::text[]) AS g (call, sink)
"""
_PUSH_BACK = """
UPDATE outbox_deliveries d SET due = g.due
FROM unnest(%s::bigint[], %s::text[], %s::float8[]) AS g (call, sink, due)
WHERE d.owner = %s AND d.sink = g.sink AND d.due < g.due AND d.call > g.call AND d.call IN (
    SELECT id FROM outbox_calls
    WHERE account = (SELECT account FROM outbox_calls WHERE id = g.call)
)
"""
_CLAIM = """
UPDATE outbox_deliveries SET owner = %s WHERE (call, sink) IN (
    SELECT call, sink FROM outbox_deliveries
    WHERE owner IS NULL AND sink = %s AND due <= %s
    ORDER BY due, call LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_DUE = """
SELECT id, attempts, key::text, account, received, notification, revived
FROM outbox_deliveries JOIN outbox_calls ON id = call
WHERE owner = %s AND sink = %s AND due <= %s
AND call <> ALL(%s::bigint[]) AND account <> ALL(%s::text[]) ORDER BY due, call LIMIT %s
"""
_NEXT = """
SELECT due FROM outbox_deliveries WHERE owner = %s AND sink = %s AND due > %s
ORDER BY due LIMIT 1
"""
_TAKEN = """
DELETE FROM outbox_deliveries d USING unnest(%s::bigint[], %s::text[]) AS g (call, sink)
WHERE d.call = g.call AND d.sink = g.sink AND d.owner = %s RETURNING d.call, d.sink
"""
_FAILED = """
UPDATE outbox_deliveries d SET due = g.due, reason = g.reason, attempts = attempts + 1
FROM unnest(%s::bigint[], %s::text[], %s::float8[], %s::text[]) AS g (call, sink, due, reason)
WHERE d.call = g.call AND d.sink = g.sink AND d.owner = %s RETURNING d.call, d.sink
"""
_DEPTHS = """
SELECT sink, due IS NULL, count(*) FROM outbox_deliveries WHERE owner = %s
GROUP BY sink, due IS NULL
"""
_OLDEST = """
SELECT sink, received FROM outbox_calls JOIN (
    SELECT sink, min(call) AS first FROM outbox_deliveries
    WHERE owner = %s AND due IS NOT NULL GROUP BY sink
) AS f ON id = first
"""
_ADOPT = """
UPDATE outbox_deliveries SET owner = %s WHERE (call, sink) IN (
    SELECT call, sink FROM outbox_deliveries WHERE owner = %s
    ORDER BY call LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def adopt(cursor: Any, fromMember: str, toMember: str | None, most: int) -> int:
    """
    Deliveries of a member that is gone become another's, dead letters too; with their keys. What
    a transaction is about to change is skipped: it is for the next time.

    @param cursor: of psycopg, in a transaction.
    @param toMember: C{None} for nobody's: then each goes to a member that has its sink, as soon
        as that looks.
    @param most: how many at a time.
    @return: how many there were; 0 when there are no more, or only such as were skipped.
    """
    cursor.execute(_ADOPT, (toMember, fromMember, most))
    count: int = cursor.rowcount
    return count


class Statements(LetterStatements):
    """
    What L{StoreTables<iris_twisted.outbox.batched_store.StoreTables>} says, on C{self.cursor}.

    @param member: whose deliveries these are.
    @param fence: proves by which right calls are added and given.
    @param forgetAfter: see L{Tables<iris_twisted.outbox.tables.Tables>}; C{strictOrder} too:
        what other members owe of an account they give in an order of their own.
    @ivar cursor: of psycopg, in a transaction.
    """

    cursor: Any

    def __init__(self, member: str, fence: IFence, forgetAfter: float, strictOrder: bool) -> None:
        self._member = member
        self._fence = fence
        self._forgetAfter = forgetAfter
        self._strict = strictOrder

    def add(self, additions: Sequence[Addition]) -> list[int | NotHeld | None]:
        """Calls came; their ids, C{None} for each whose key is known, errors for the fenced."""
        refusals = self._refusals(additions)
        fresh: dict[str, Addition] = {}
        for addition in additions:
            if addition.place not in refusals:
                fresh.setdefault(addition.record.key, addition)
        ids = self._add(list(fresh.values())) if fresh else {}
        results: list[int | NotHeld | None] = []
        for addition in additions:
            key = addition.record.key
            if addition.place in refusals:
                results.append(refusals[addition.place])
            else:
                # The second one of a key finds none.
                results.append(ids.pop(key, None))
        return results

    def _refusals(self, additions: Sequence[Addition]) -> dict[Place | None, NotHeld]:
        """Of the places that we do not hold."""
        places = sorted({a.place for a in additions if a.place is not None})
        held = self._fence.holding(self.cursor, places) if places else ()
        refusals: dict[Place | None, NotHeld] = {
            place: NotHeld(
                f"{self._member} does not hold copy {place.copy} of {place.account} "
                f"in epoch {place.epoch} any more"
            )
            for place, holds in zip(places, held, strict=True)
            if not holds
        }
        refusals[None] = NotHeld(f"{self._member} was told of a call without a place")
        return refusals

    def _add(self, additions: Sequence[Addition]) -> dict[str, int]:
        records = [addition.record for addition in additions]
        now = max(record.received for record in records)
        self.cursor.execute(
            _FORGET_KEYS,
            (
                now - self._forgetAfter,
                _FORGET * len(records),
                EARLIEST if now >= EARLIEST else 0.0,
                now,
            ),
        )
        self.cursor.execute(
            _ADD,
            (
                [record.key for record in records],
                [record.account for record in records],
                [record.received for record in records],
                [record.text for record in records],
            ),
        )
        ids = {key: id for id, key in self.cursor.fetchall()}
        owed = [
            (ids[a.record.key], sink) for a in additions if a.record.key in ids for sink in a.sinks
        ]
        if owed:
            self.cursor.execute(
                _OWE_STRICTLY if self._strict else _OWE, (self._member, *columns(owed, 2))
            )
        return ids

    def due(
        self, sink: str, now: float, most: int, known: Sequence[int], skipped: Sequence[str]
    ) -> Look:
        """
        What a sink is to be given now; what is nobody's becomes ours. Nothing while we may be
        thought to be gone: another process may have our name by then.
        """
        if not self._fence.lives(self.cursor):
            return Look([], None)
        self.cursor.execute(_CLAIM, (self._member, sink, now, most))
        self.cursor.execute(_DUE, (self._member, sink, now, list(known), list(skipped), most))
        due = [
            Due(id, attempts, CallRecord.stored(key, account, received, text), revived)
            for id, attempts, key, account, received, text, revived in self.cursor.fetchall()
        ]
        self.cursor.execute(_NEXT, (self._member, sink, now))
        next = self.cursor.fetchone()
        return Look(due, None if next is None else next[0])

    def taken(self, deliveries: Sequence[tuple[int, str]]) -> list[bool]:
        """Sinks have these calls."""
        self.cursor.execute(_TAKEN, (*columns(deliveries, 2), self._member))
        ours = set(self.cursor.fetchall())
        self.forget({id for id, _ in ours})
        return [delivery in ours for delivery in deliveries]

    def failed(self, attempts: Sequence[Attempt]) -> list[bool]:
        """Sinks did not take these."""
        rows = [(a.id, a.sink, a.due, a.reason) for a in attempts]
        self.cursor.execute(_FAILED, (*columns(rows, 4), self._member))
        found = set(self.cursor.fetchall())
        ours = [(a.id, a.sink) in found for a in attempts]
        again = [
            (a.id, a.sink, a.due)
            for a, isOurs in zip(attempts, ours, strict=True)
            if isOurs and a.due is not None
        ]
        if self._strict and again:
            self.cursor.execute(_PUSH_BACK, (*columns(again, 3), self._member))
        return ours

    def forgetKey(self, key: str) -> None:
        """As if that call had never come."""
        self.cursor.execute("DELETE FROM outbox_keys WHERE key = %s", (key,))

    def depths(self) -> dict[tuple[str, bool], int]:
        """How many deliveries are ours, by sink and whether they are dead."""
        self.cursor.execute(_DEPTHS, (self._member,))
        return {(sink, dead): count for sink, dead, count in self.cursor.fetchall()}

    def oldestWaiting(self) -> dict[str, float]:
        """By sink, when the oldest call of ours came that is still to be delivered."""
        self.cursor.execute(_OLDEST, (self._member,))
        return dict(self.cursor.fetchall())
