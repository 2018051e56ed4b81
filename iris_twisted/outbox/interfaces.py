"""
What can keep the calls of an outbox.

A delivery is a call owed to a sink. It is due at a time, or it is a dead letter and has none.
A call is gone when nobody is owed it any more; its key is remembered for longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from ..sinks.record import CallRecord
from .values import DeadLetter, Look, Place

__all__ = ["IFence", "IOutboxStore"]


class IOutboxStore(Interface):
    """
    Keeps calls and what of them is owed to whom. What is asked for in one turn of the reactor, or
    while something else is being stored, is stored together; what cannot be stored fails
    alone.

    Each Deferred fires when it is stored as safely as it is going to be, and fails with
    L{NotKept<iris_twisted.errors.NotKept>}, when nothing of it is, as far as anybody knows.
    """

    keeps: bool = Attribute("Whether what is stored here outlives the process.")

    def add(
        record: CallRecord, sinks: Iterable[str], place: Place | None = None
    ) -> Deferred[int | None]:
        """
        A call came.

        @param sinks: who is owed it, as they are configured.
        @param place: by which right it is added; only a store that others write to asks.
        @return: fires with its id, or with C{None} when its key is known: it is kept, or was
            delivered already. Fails with L{NotHeld<iris_twisted.errors.NotHeld>} when somebody
            else has that place.
        """

    def due(sink: str, now: float, most: int) -> Deferred[Look]:
        """
        What that sink is to be given: what came first comes first, then what is tried again.

        @param now: epoch seconds.
        @param most: how many deliveries at most.
        """

    def taken(id: int, sink: str) -> Deferred[bool]:
        """
        That sink has the call.

        @return: fires with whether the delivery was ours; C{False} when somebody else has
            adopted it.
        """

    def failed(id: int, sink: str, due: float | None, reason: str) -> Deferred[bool]:
        """
        That sink did not take it.

        @param due: when to try again, epoch seconds; C{None} for a dead letter.
        @param reason: for an operator, without a secret.
        @return: as of L{taken}.
        """

    def forgetKey(key: str) -> Deferred[None]:
        """The call of that key is not kept after all: told again, it is another attempt."""

    def depths() -> Deferred[dict[tuple[str, bool], int]]:
        """How many deliveries there are, by sink and whether they are dead letters."""

    def oldestWaiting() -> Deferred[dict[str, float]]:
        """By sink, when the oldest call came that is still to be delivered, epoch seconds."""

    def deadLetters(ids: Sequence[int] = ()) -> Deferred[list[DeadLetter]]:
        """Those given up, the oldest first: of these calls, or all."""

    def revive(letters: Iterable[DeadLetter], now: float) -> Deferred[None]:
        """Try them again, as if they had come now."""

    def purge(letters: Iterable[DeadLetter]) -> Deferred[None]:
        """Forget them."""

    def close() -> Deferred[None]:
        """Fires when all that was asked for is done, and nothing is open."""


class IFence(Interface):
    """Proves, in a transaction of PostgreSQL, by which right calls are added."""

    def holding(cursor: Any, places: Sequence[Place]) -> Sequence[bool]:
        """
        Called in a thread, in the transaction that adds calls, before anything else.

        What it answers must stay true until the transaction ends: so it locks the rows that it
        looks at (C{FOR SHARE}), in the order of the places, which are sorted, each once; whoever
        takes a place locks in that order too, or skips what is locked.

        @param cursor: of psycopg.
        @return: of each place, whether we hold it.
        """
