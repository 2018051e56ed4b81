"""
The outbox on the disk: SQLite in WAL mode, each batch of changes flushed before anybody
hears that it was made.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import IncorrectParameters, NotKept
from ..sinks.group_commit import GroupCommit
from ..sinks.record import CallRecord
from .tables import DeadLetter, Due, Tables

__all__ = ["DeadLetter", "Spool", "checkSpool", "openTables"]

_Result = TypeVar("_Result")

# Milliseconds that another process, iris-outbox for one, may hold the tables.
_PATIENCE = 5000


def openTables(
    path: str | None, *, make: bool = True, forgetAfter: float = 86_400.0
) -> tuple[sqlite3.Connection, Tables]:
    """
    @param path: C{None} for tables in memory.
    @param make: the file too, readable for its owner only.
    @param forgetAfter: see L{Tables}.
    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    try:
        if path is not None:
            # SQLite gives its other files the mode of this one.
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
            os.close(os.open(path, flags, 0o600))
        connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            tables = Tables(connection, forgetAfter)
            tables.prepare()
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise IncorrectParameters(f"the outbox {path!r} cannot be opened: {reason}") from None
    return connection, tables


def _locked(path: str) -> int:
    """A lock that ends with the process, on a file beside it."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise IncorrectParameters(f"the outbox {path!r} cannot be opened: {e.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise IncorrectParameters(f"another process has the outbox {path!r}") from None
    return lock


def checkSpool(path: str, *, inUse: bool = False) -> None:
    """
    See whether it could be opened, and make it if need be.

    @param inUse: whether another process may have it.
    @raise IncorrectParameters: as L{Spool} does.
    """
    lock = None if inUse else _locked(path)
    try:
        openTables(path)[0].close()
    finally:
        if lock is not None:
            os.close(lock)


class Spool:
    """
    @param path: of the file, made when it is not there; C{None} for one in memory, which
        promises nothing.
    @param forgetAfter: seconds for which the key of a call is remembered.
    @raise IncorrectParameters: when it cannot be opened, is something else, or another
        process has it.
    """

    def __init__(self, reactor: Any, path: str | None, forgetAfter: float = 86_400.0) -> None:
        self.path = path
        self._reactor = reactor
        self._lock: int | None = None
        if path is not None:
            self._lock = _locked(path)
        try:
            self._connection, self._tables = openTables(path, forgetAfter=forgetAfter)
        except IncorrectParameters:
            self._unlock()
            raise
        self._commits: GroupCommit[Callable[[], Any], Any] = GroupCommit(reactor, self._commit)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> Deferred[None]:
        """Fires when all that was asked for is done, and the file is closed."""

        def close(_: None) -> None:
            self._connection.close()
            self._unlock()

        return self._commits.idle().addCallback(close)

    # Each of these fires when it is on the disk, and fails with NotKept.

    def add(self, record: CallRecord, sinks: Iterable[str]) -> Deferred[int | None]:
        """See L{Tables.add}."""
        sinks = list(sinks)
        return self._submit(lambda: self._tables.add(record, sinks))

    def forgetKey(self, key: str) -> Deferred[None]:
        """See L{Tables.forgetKey}."""
        return self._submit(lambda: self._tables.forgetKey(key))

    def due(self, sink: str, now: float, most: int) -> Deferred[list[Due]]:
        """See L{Tables.due}."""
        return self._submit(lambda: self._tables.due(sink, now, most))

    def nextDue(self, sink: str, after: float) -> Deferred[float | None]:
        """See L{Tables.nextDue}."""
        return self._submit(lambda: self._tables.nextDue(sink, after))

    def taken(self, id: int, sink: str) -> Deferred[None]:
        """See L{Tables.taken}."""
        return self._submit(lambda: self._tables.taken(id, sink))

    def failed(self, id: int, sink: str, due: float | None, reason: str) -> Deferred[None]:
        """See L{Tables.failed}."""
        return self._submit(lambda: self._tables.failed(id, sink, due, reason))

    def depths(self) -> Deferred[dict[tuple[str, bool], int]]:
        """See L{Tables.depths}."""
        return self._submit(self._tables.depths)

    def oldestWaiting(self) -> Deferred[dict[str, float]]:
        """See L{Tables.oldestWaiting}."""
        return self._submit(self._tables.oldestWaiting)

    def _submit(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        async def run() -> _Result:
            try:
                result: _Result = await self._commits.submit(work)
            except Exception as e:
                raise NotKept(f"the outbox {self.path} failed: {e}", cause=e) from None
            return result

        return Deferred.fromCoroutine(run())

    def _commit(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """In a thread, one at a time."""
        try:
            return self._transaction(works)
        except sqlite3.OperationalError:
            # The disk, not one of them: none can be kept now.
            raise
        except Exception:
            if len(works) == 1:
                raise
        # One of them cannot be kept: it shall not keep the others out.
        return [self._alone(work) for work in works]

    def _alone(self, work: Callable[[], Any]) -> Any:
        try:
            return self._transaction([work])[0]
        except Exception:
            return Failure()

    def _transaction(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = [work() for work in works]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return results
