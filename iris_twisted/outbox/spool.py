"""
The outbox on the disk: SQLite in WAL mode, each batch of changes flushed before anybody
hears that it was made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from typing import Any

from twisted.internet.defer import Deferred

from ..errors import IncorrectParameters
from .batched_store import BatchedStore
from .tables import Tables

__all__ = ["Spool", "checkSpool", "mayPass", "openTables"]

# Milliseconds that another process, iris-outbox for one, may hold the tables.
_PATIENCE = 5000
# What ends by itself, or when somebody makes room: the configuration need not change for it.
_PASSING = (
    *(errno.EAGAIN, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.ENOSPC, errno.EFBIG),
)
_SQLITE_PASSING = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED),
    sqlite3.SQLITE_NOMEM,
)


def mayPass(error: IncorrectParameters) -> bool:
    """
    Whether what could not be opened may be opened later as it is: its disk is full, for one, or
    another process has it.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        # The low byte of an extended code is what it extends.
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_PASSING
    return isinstance(cause, OSError) and cause.errno in _PASSING


def openTables(
    path: str | None,
    *,
    make: bool = True,
    forgetAfter: float = 86_400.0,
    strictOrder: bool = False,
) -> tuple[sqlite3.Connection, Tables]:
    """
    @param path: C{None} for tables in memory.
    @param make: the file too, readable for its owner only.
    @param forgetAfter: see L{Tables}; C{strictOrder} too.
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
            tables = Tables(connection, forgetAfter, strictOrder)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise IncorrectParameters(f"the outbox {path!r} cannot be opened: {reason}") from e
    return connection, tables


def _locked(path: str) -> int:
    """A lock that ends with the process, on a file beside it."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise IncorrectParameters(f"the outbox {path!r} cannot be opened: {e.strerror}") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os.close(lock)
        raise IncorrectParameters(f"another process has the outbox {path!r}") from e
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


class Spool(BatchedStore):
    """
    The embedded store.

    @param path: of the file, made when it is not there; C{None} for one in memory, which
        promises nothing.
    @param forgetAfter: seconds for which the key of a call is remembered.
    @param strictOrder: see L{Tables}.
    @raise IncorrectParameters: when it cannot be opened, is something else, or another
        process has it.
    """

    def __init__(
        self,
        reactor: Any,
        path: str | None,
        forgetAfter: float = 86_400.0,
        strictOrder: bool = False,
    ) -> None:
        self._lock: int | None = None
        if path is not None:
            self._lock = _locked(path)
        try:
            self._connection, tables = openTables(
                path, forgetAfter=forgetAfter, strictOrder=strictOrder
            )
        except IncorrectParameters:
            self._unlock()
            raise
        super().__init__(reactor, path or "in memory", tables, keeps=path is not None)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> Deferred[None]:
        return super().close().addCallback(lambda _: self._unlock())
