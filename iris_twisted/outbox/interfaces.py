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

from ..errors import NotKept
from .values import Addition, Attempt, DeadLetter, Look, Place

__all__ = ["IFence", "IOutboxStore"]


class IOutboxStore(Interface):
    """
    Keeps calls and what of them is owed to whom. What is asked for in one turn of the reactor, or
    while something else is being stored, is stored together.

    Each Deferred fires when it is stored as safely as it is going to be, and all but that of L{add}
    fail with L{NotKept<iris_twisted.errors.NotKept>} when it is not, as far as anybody knows.
    """

    keeps: bool = Attribute("Whether what is stored here outlives the process.")

    def term() -> int | None:
        """
        Called before a delivery begins. What was read or added in one term is given in that term
        only: in the next one it is read again, since it may be somebody else's by then.

        @return: the number of this term; C{None} while nothing is to be given, since somebody else
            may be giving it, or since nobody could write down that a sink took it. In a store
            that only this process gives from there is one term, and it does not end.
        """

    def add(additions: Sequence[Addition]) -> Deferred[list[int | NotKept | None]]:
        """
        Calls came. What cannot be stored keeps no other out.

        @return: fires with what became of each: its id, which follow their order; C{None} when its
            key is known, since it is kept, or was delivered already; or why it is not kept, of
            which L{NotHeld<iris_twisted.errors.NotHeld>} means that somebody else has its place.
        """

    def due(
        sink: str,
        now: float,
        most: int,
        known: Sequence[int] = (),
        skipped: Sequence[str] = (),
    ) -> Deferred[Look]:
        """
        What that sink is to be given: what came first comes first, then what is tried again.

        @param now: epoch seconds.
        @param most: how many deliveries at most.
        @param known: the ids of calls that are left out, and C{skipped}: accounts.
        """

    def taken(deliveries: Sequence[tuple[int, str]]) -> Deferred[list[bool]]:
        """
        Sinks have these calls.

        @param deliveries: the ids of the calls, and the sinks.
        @return: fires with whether each delivery was ours; C{False} when somebody else has
            adopted it.
        """

    def failed(attempt: Attempt) -> Deferred[bool]:
        """
        A sink did not take a call. In strict order what came later of its account is due no
        sooner.

        @return: as of L{taken}.
        """

    def forgetKey(key: str) -> Deferred[None]:
        """The call of that key is not kept after all: told again, it is another attempt."""

    def depths() -> Deferred[dict[tuple[str, bool], int]]:
        """How many deliveries there are, by sink and whether they are dead letters."""

    def oldestWaiting() -> Deferred[dict[str, float]]:
        """By sink, when the oldest call came that is still to be delivered, epoch seconds."""

    def deadLetters(
        ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> Deferred[list[DeadLetter]]:
        """
        Those given up, the oldest first: of these calls, or all; of that account, or all; so
        many at most.
        """

    def revive(letters: Iterable[DeadLetter], now: float) -> Deferred[None]:
        """
        Try those of them again that are still dead letters, as if they had come now.

        @param now: epoch seconds.
        """

    def purge(letters: Iterable[DeadLetter]) -> Deferred[None]:
        """Forget those of them that are still dead letters."""

    def close() -> Deferred[None]:
        """Fires when all that was asked for is done, and nothing is open."""


class IFence(Interface):
    """
    Proves, in transactions of PostgreSQL, by which right calls are added and given; and knows
    between them, without asking, for how long that may be relied on.
    """

    def term() -> int | None:
        """As L{IOutboxStore.term}, as far as the member knows by itself."""

    def lives(cursor: Any) -> bool:
        """
        Called in a thread, in the transaction that reads what is to be given.

        @return: whether we are the member that we were, and nobody may think that we are gone.
        """

    def isGone(cursor: Any, name: str) -> bool:
        """
        Called in a thread, in the transaction that adopts what a member owes.

        What it answers must stay true until the transaction ends: so it locks what that member
        would have to change before it gives anything again.

        @return: whether nobody of that name lives.
        """

    def holding(cursor: Any, places: Sequence[Place]) -> Sequence[bool]:
        """
        Called in a thread, in the transaction that adds calls, before anything else.

        What it answers must stay true until the transaction ends: so it locks the rows that it
        looks at (C{FOR SHARE}), in the order of the places, which are sorted, each once; whoever
        takes a place locks in that order too, or skips what is locked.

        @param cursor: of psycopg.
        @return: of each place, whether we hold it.
        """
