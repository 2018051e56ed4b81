"""
Hearing at once what others changed: LISTEN, on a connection of its own that the reactor
watches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..connection.retry import FullJitter
from ..errors import DatabaseFailed
from ..net.steady_time import steadyTime
from .conninfo import connect

__all__ = ["CHANNEL", "Listening"]

CHANNEL = "iris_cluster"


@implementer(IReadDescriptor)
class _Ear:
    """
    The socket of a connection that listens.

    @param heard: called with each payload.
    @param lost: called once, when it is of no use any more.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        heard: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._heard = heard
        self._lost = lost
        # libpq closes its own as soon as it sees a loss, while the reactor still watches it.
        self._socket = os.dup(connection.fileno())

    def fileno(self) -> int:
        return self._socket

    def close(self) -> None:
        """To be called when the reactor does not watch it any more."""
        os.close(self._socket)
        self._socket = -1
        with suppress(psycopg.Error):
            self._connection.close()

    def logPrefix(self) -> str:
        return "iris-cluster"

    def doRead(self) -> Failure | None:
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
            while (notify := pgconn.notifies()) is not None:
                self._heard(notify.extra.decode("utf-8", "replace"))
        except psycopg.Error as e:
            return Failure(e)
        return None

    def connectionLost(self, reason: object) -> None:
        self.close()
        self._lost()


class Listening:
    """
    @param heard: called with each payload; with an empty one whenever it listens anew, since
        something may have been missed.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, conninfo: str, name: str, heard: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._conninfo = conninfo
        self._name = name
        self._heard = heard
        self._policy = FullJitter(base=0.5, cap=3.0)
        self._failures = 0
        self._again: IDelayedCall | None = None
        self._ear: _Ear | None = None
        self._connecting: Deferred[None] | None = None
        self._stopped = False

    @property
    def listens(self) -> bool:
        """Whether it would hear something now."""
        return self._ear is not None

    def start(self) -> None:
        """Begin, and go on after each loss."""
        self._again = None
        pool = self._reactor.getThreadPool()
        connecting: Deferred[Any] = deferToThreadPool(self._reactor, pool, self._connect)
        self._connecting = connecting.addCallbacks(self._connected, self._failed)

    def _connect(self) -> psycopg.Connection:
        """In a thread."""
        connection = connect(self._conninfo, self._name)
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        return connection

    def _connected(self, connection: psycopg.Connection) -> None:
        self._connecting = None
        if self._stopped:
            connection.close()
            return
        self._failures = 0
        self._ear = _Ear(connection, self._heard, self._lost)
        self._reactor.addReader(self._ear)
        self._heard("")

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if not failure.check(DatabaseFailed, psycopg.Error):
            self._log.failure("a bug in listening to the database", failure)
        self._retry()

    def _lost(self) -> None:
        self._ear = None
        self._retry()

    def _retry(self) -> None:
        if not self._stopped:
            self._failures += 1
            delay = self._policy.delay(self._failures) or 0.0
            self._again = self._time.callLater(delay, self.start)

    async def stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._connecting is not None:
            await self._connecting
        if self._ear is not None:
            self._reactor.removeReader(self._ear)
            self._ear.close()
            self._ear = None
