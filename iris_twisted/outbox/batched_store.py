"""
A store over tables: what is asked for at the same time is one transaction in a thread, and
what spoils a transaction is found, and fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import NotHeld, NotKept
from ..sinks.group_commit import GroupCommit
from .interfaces import IOutboxStore
from .values import Addition, Attempt, DeadLetter, Look

__all__ = ["BatchedStore", "StoreTables"]

_Result = TypeVar("_Result")


class StoreTables(Protocol):
    """
    Tables with a connection, used by one thread at a time. What L{IOutboxStore} says of each
    of these holds here too; they are called in a transaction.
    """

    def transaction(self) -> AbstractContextManager[object]:
        """What is done within happens as a whole, or not at all; opens what is not open."""

    def isOurs(self, error: Exception) -> bool:
        """Whether an error came of the store itself, and not of what was to be stored."""

    def reason(self, error: Exception) -> str:
        """An error in a few words, without what was to be stored."""

    def add(self, additions: Sequence[Addition]) -> Sequence[int | NotHeld | None]:
        """Calls came; the ids follow their order."""

    def taken(self, deliveries: Sequence[tuple[int, str]]) -> Sequence[bool]:
        """Sinks have these calls."""

    def failed(self, attempts: Sequence[Attempt]) -> Sequence[bool]:
        """Sinks did not take these."""

    def due(
        self, sink: str, now: float, most: int, known: Sequence[int], skipped: Sequence[str]
    ) -> Look: ...

    def forgetKey(self, key: str) -> None: ...

    def depths(self) -> dict[tuple[str, bool], int]: ...

    def oldestWaiting(self) -> dict[str, float]: ...

    def deadLetters(
        self, ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> list[DeadLetter]: ...

    def revive(self, letters: Iterable[DeadLetter], now: float) -> None: ...

    def purge(self, letters: Iterable[DeadLetter]) -> None: ...

    def close(self) -> None:
        """Close the connection; it is not used again."""


@attrs.frozen
class _Work:
    """What is to be done: several of one of L{_MANY}, or something else."""

    kind: str
    argument: Any


# These are done together, and before what looks at the tables.
_MANY = ("add", "taken", "failed")


@implementer(IOutboxStore)
class BatchedStore:
    """
    @param name: what it is called in errors, without a secret.
    @param keeps: see L{IOutboxStore}.
    """

    def __init__(self, reactor: Any, name: str, tables: StoreTables, keeps: bool) -> None:
        self.name = name
        self.keeps = keeps
        self._reactor = reactor
        self._tables = tables
        self._commits: GroupCommit[_Work, Any] = GroupCommit(reactor, self._commit)
        # Whether the store itself failed, the last time that it was asked.
        self._failed = False

    def term(self) -> int | None:
        return 0

    def close(self) -> Deferred[None]:
        return self._commits.idle().addCallback(lambda _: self._tables.close())

    def add(self, additions: Sequence[Addition]) -> Deferred[list[int | NotKept | None]]:
        return self._commits.submit(_Work("add", additions))

    def taken(self, deliveries: Sequence[tuple[int, str]]) -> Deferred[list[bool]]:
        return self._commits.submit(_Work("taken", deliveries))

    def failed(self, attempt: Attempt) -> Deferred[bool]:
        # What no text column takes shall not keep a delivery from its next attempt.
        reason = attempt.reason.encode("utf-8", "backslashreplace").decode()
        plain = attrs.evolve(attempt, reason=reason.replace("\0", "\\x00"))
        failing = self._commits.submit(_Work("failed", [plain]))
        return failing.addCallback(lambda ours: ours[0])

    def due(
        self,
        sink: str,
        now: float,
        most: int,
        known: Sequence[int] = (),
        skipped: Sequence[str] = (),
    ) -> Deferred[Look]:
        return self._do(lambda: self._tables.due(sink, now, most, known, skipped))

    def forgetKey(self, key: str) -> Deferred[None]:
        return self._do(lambda: self._tables.forgetKey(key))

    def depths(self) -> Deferred[dict[tuple[str, bool], int]]:
        return self._do(self._tables.depths)

    def oldestWaiting(self) -> Deferred[dict[str, float]]:
        return self._do(self._tables.oldestWaiting)

    def deadLetters(
        self, ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> Deferred[list[DeadLetter]]:
        return self._do(lambda: self._tables.deadLetters(ids, account, most))

    def revive(self, letters: Iterable[DeadLetter], now: float) -> Deferred[None]:
        return self._do(lambda: self._tables.revive(list(letters), now))

    def purge(self, letters: Iterable[DeadLetter]) -> Deferred[None]:
        return self._do(lambda: self._tables.purge(list(letters)))

    def _do(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        return self._commits.submit(_Work("do", work))

    # In a thread, one batch at a time

    def _commit(self, works: Sequence[_Work]) -> list[Any]:
        try:
            results = self._transaction(works)
        except Exception as e:
            if self._tables.isOurs(e):
                self._failed = True
                return [self._refused(work, e) for work in works]
            if len(works) == 1:
                return [self._halved(works[0], e)]
        else:
            self._failed = False
            return results
        # One of them cannot be stored: it shall not keep the others out.
        middle = len(works) // 2
        return self._commit(works[:middle]) + self._commit(works[middle:])

    def _halved(self, work: _Work, error: Exception) -> Any:
        """The same within one addition of many."""
        if work.kind != "add" or len(work.argument) == 1:
            return self._refused(work, error)
        middle = len(work.argument) // 2
        halves = [_Work("add", work.argument[:middle]), _Work("add", work.argument[middle:])]
        return [one for half in halves for one in self._commit([half])[0]]

    def _refused(self, work: _Work, error: Exception) -> Any:
        words = f"the outbox {self.name} failed: {self._tables.reason(error)}"
        if work.kind == "add":
            return [NotKept(words, cause=error) for _ in work.argument]
        return Failure(NotKept(words, cause=error))

    def _transaction(self, works: Sequence[_Work]) -> list[Any]:
        results: list[Any] = [None] * len(works)
        with self._tables.transaction():
            for kind in _MANY:
                numbers = [n for n, work in enumerate(works) if work.kind == kind]
                if numbers:
                    every = [one for n in numbers for one in works[n].argument]
                    found = iter(getattr(self._tables, kind)(every))
                    for n in numbers:
                        results[n] = list(islice(found, len(works[n].argument)))
            for n, work in enumerate(works):
                if work.kind == "do":
                    results[n] = work.argument()
        return results
