"""
The room of the database: statements in a thread, so that the reactor never waits for them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from ..errors import DatabaseFailed
from ..net.steady_time import steadyTime
from ..sinks.group_commit import GroupCommit
from .conninfo import connect
from .failures import failureOf

__all__ = ["Database", "cutOff"]

_T = TypeVar("_T")
_Work = Callable[[psycopg.Connection], Any]

# Seconds that a transaction may take, with the wait for those before it. The server itself
# gives up sooner, if it is there.
_PATIENCE = 8.0
# Seconds after which others may have been kept from renewing their leases.
_SLOW = 2.0
# How often a transaction is tried that got into the way of another.
_TRIES = 3


def cutOff(connection: psycopg.Connection | None) -> None:
    """
    Cut a connection's socket, so that a thread which waits for the server hears that there
    is none.
    """
    with suppress(OSError, psycopg.Error):
        if connection is not None and not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)


class Database:
    """
    One connection, and one thread at a time that uses it. A lost connection is made again
    by the next transaction.

    @param conninfo: where it is, as libpq writes it; see L{checkConninfo
        <iris_twisted.cluster.conninfo.checkConninfo>}.
    @param name: of the program, for whoever looks at the server.
    """

    def __init__(self, reactor: Any, conninfo: str, name: str) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._conninfo = conninfo
        self._name = name
        self._connection: psycopg.Connection | None = None
        self._closed = False
        self._since: float | None = None
        self._works: GroupCommit[_Work, Any] = GroupCommit(reactor, self._do)

    @property
    def watching(self) -> float:
        """
        Seconds since it sees the database without a gap: since it was connected, or since
        the last answer that took suspiciously long.
        """
        return 0.0 if self._since is None else self._time.seconds() - self._since

    def run(self, work: Callable[[psycopg.Connection], _T]) -> Deferred[_T]:
        """
        @param work: is called in the thread, within a transaction of its own; again when
            that got into the way of another one.
        @return: fires with its result when it is committed; fails with L{DatabaseFailed}
            when it is not, or nobody knows.
        """
        cut = self._time.callLater(_PATIENCE, lambda: cutOff(self._connection))
        done: Deferred[Any] = self._works.submit(work)

        def end(result: Any) -> Any:
            if cut.active():
                cut.cancel()
            return result

        return done.addBoth(end)

    def close(self) -> Deferred[None]:
        """Fires when all that was asked for is done, and the connection is closed."""
        self._closed = True

        def close(_: None) -> Deferred[None]:
            if self._connection is None:
                return succeed(None)
            pool = self._reactor.getThreadPool()
            return deferToThreadPool(self._reactor, pool, self._forget)

        return self._works.idle().addCallback(close)

    # In the thread

    def _do(self, works: Sequence[_Work]) -> list[Any]:
        results: list[Any] = []
        for work in works:
            try:
                results.append(self._transaction(work))
            except Exception:
                results.append(Failure())
        return results

    def _transaction(self, work: _Work) -> Any:
        for left in reversed(range(_TRIES)):
            connection = self._connected()
            began = self._time.seconds()
            try:
                with connection.transaction():
                    return work(connection)
            except (errors.DeadlockDetected, errors.SerializationFailure) as e:
                if not left:
                    raise failureOf(e) from None
            except psycopg.Error as e:
                if connection.closed:
                    self._forget()
                raise failureOf(e) from None
            finally:
                if self._time.seconds() - began > _SLOW and self._since is not None:
                    self._since = self._time.seconds()
        raise AssertionError

    def _connected(self) -> psycopg.Connection:
        if self._closed and self._connection is None:
            raise DatabaseFailed("the database is not used any more")
        if self._connection is None:
            self._connection = connect(self._conninfo, self._name)
            self._since = self._time.seconds()
        return self._connection

    def _forget(self) -> None:
        connection, self._connection, self._since = self._connection, None, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
