"""
The outbox in PostgreSQL, for members of a cluster: one connection, used in a thread by one batch
at a time, and made anew after a loss. It needs psycopg 3: C{pip install iris-twisted[cluster]}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..connection.interfaces import IRetryPolicy
from ..connection.retry import FullJitter
from .batched_store import BatchedStore
from .interfaces import IFence
from .postgresql_names import NamingStatements
from .postgresql_tables import adopt
from .values import Place

__all__ = ["PostgreSQLStore", "Unfenced"]

# What is meant for one call, and not for the store: data that no column takes, and a
# transaction that met another one (PostgreSQL's Appendix A: classes 22, 23, 40, 54).
_NOT_OURS = ("22", "23", "40", "54")
# libpq's parameters, where the operator does not say otherwise. The keepalives find a machine
# that is gone.
_PARAMETERS = {
    "application_name": "iris-twisted outbox",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "target_session_attrs": "read-write",
}
# Seconds after which a server that has not answered may not answer at all: what a sink takes
# meanwhile could not be marked.
_SLOW = 0.5


@implementer(IFence)
class Unfenced:
    """Takes every place for held, and every member for what it is said to be: for tests."""

    def term(self) -> int | None:
        return 0

    def lives(self, cursor: Any) -> bool:
        return True

    def isGone(self, cursor: Any, name: str) -> bool:
        return True

    def holding(self, cursor: Any, places: Sequence[Place]) -> Sequence[bool]:
        return [True] * len(places)


class _Connection(psycopg.Connection[Any]):
    """
    One that waits for no answer for ever: a server that is stopped, or behind a cable that was cut,
    says nothing.

    @cvar patience: seconds.
    """

    patience = 10.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, self.patience if timeout is None else timeout)


class _Tables(NamingStatements):
    """
    The statements with their connection.

    @param connect: makes a connection.
    @param policy: when to try to connect again.
    @param monotonic: seconds that nobody sets back.
    """

    def __init__(
        self,
        member: str,
        fence: IFence,
        forgetAfter: float,
        strictOrder: bool,
        connect: Callable[[], Any],
        policy: IRetryPolicy,
        monotonic: Callable[[], float],
        sinkName: Callable[[str], str],
    ) -> None:
        super().__init__(member, fence, forgetAfter, strictOrder, sinkName)
        self._connect = connect
        self._policy = policy
        self._monotonic = monotonic
        self._connection: Any = None
        self._closed = False
        self._failures = 0
        self._notBefore = 0.0
        self._last = ""

    def close(self) -> None:
        """Close the connection, if there is one, and make no other."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within happens as a whole, or not at all."""
        connection = self._connected()
        try:
            with connection.cursor() as self.cursor:
                self.cursor.execute("BEGIN")
                yield
                self.cursor.execute("COMMIT")
        except BaseException as e:
            if isinstance(e, Exception) and not self.isOurs(e):
                self._rollBack(connection)
            else:
                # Whatever state it is in, another one is in none.
                self._disconnect()
            raise

    def _rollBack(self, connection: Any) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _connected(self) -> Any:
        if self._connection is not None:
            return self._connection
        if self._closed:
            raise psycopg.OperationalError("it is closed")
        wait = self._notBefore - self._monotonic()
        if wait > 0:
            raise psycopg.OperationalError(self._last)
        try:
            self._connection = self._connect()
        except psycopg.Error as e:
            self._failures += 1
            self._last = self.reason(e)
            self._notBefore = self._monotonic() + (self._policy.delay(self._failures) or 0.0)
            raise
        self._failures = 0
        return self._connection

    def isOurs(self, error: Exception) -> bool:
        """Whether it is the server, the connection or the tables."""
        if not isinstance(error, psycopg.Error):
            return False
        if error.sqlstate is not None:
            return not error.sqlstate.startswith(_NOT_OURS)
        # Without a state it was psycopg that refused some data, or the connection is lost.
        return not isinstance(error, psycopg.DataError)

    def reason(self, error: Exception) -> str:
        """The server's sentence, without its details, which may repeat what was to be stored."""
        if isinstance(error, psycopg.Error) and error.diag.message_primary:
            return error.diag.message_primary
        if isinstance(error, UnicodeError):
            return "it holds half of a surrogate pair"
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0]


class PostgreSQLStore(BatchedStore):
    """
    The calls of one member.

    While the server cannot be reached everything fails at once, and the first thing that is asked
    for after a while tries to connect again.

    @param conninfo: libpq's; it holds no password.
    @param member: the name of this member of the cluster.
    @param fence: proves by which right calls are added and given.
    @param forgetAfter: seconds for which the key of a call is remembered.
    @param strictOrder: whether what this member owes of an account is due no sooner than what
        came before it.
    @param patience: seconds that the server may take for a statement; twice as long until it
        counts as lost.
    @param policy: when to try to connect again; C{None} for full jitter up to two seconds.
    @param monotonic: seconds that nobody sets back.
    @param sinkName: what a sink is called in the database, which may not hold its secret.
    """

    def __init__(
        self,
        reactor: Any,
        conninfo: str,
        member: str,
        fence: IFence,
        *,
        forgetAfter: float = 86_400.0,
        strictOrder: bool = False,
        patience: float = 5.0,
        policy: IRetryPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sinkName: Callable[[str], str] = str,
    ) -> None:
        parameters: dict[str, Any] = {**_PARAMETERS, **conninfo_to_dict(conninfo)}
        milliseconds = max(1, int(patience * 1000))

        def connect() -> Any:
            connection = _Connection.connect(**parameters, autocommit=True, client_encoding="utf8")
            connection.patience = 2 * patience
            try:
                # Nor does anybody else wait for ever for what this process has locked.
                for name in (
                    "statement_timeout",
                    "lock_timeout",
                    "idle_in_transaction_session_timeout",
                ):
                    connection.execute(f"SET {name} = {milliseconds}")
                # Compiling takes longer than any statement of ours.
                connection.execute("SET jit = off")
            except BaseException:
                # Otherwise it would stay open for as long as somebody keeps the error.
                connection.close()
                raise
            return connection

        self._own = _Tables(
            member,
            fence,
            forgetAfter,
            strictOrder,
            connect,
            policy or FullJitter(base=0.1, cap=2.0),
            monotonic,
            sinkName,
        )
        self._fence = fence
        super().__init__(reactor, "in PostgreSQL", self._own, keeps=True)

    def term(self) -> int | None:
        if self._failed or self._commits.waited > _SLOW:
            return None
        return self._fence.term()

    def adopt(
        self, fromMember: str, toMember: str | None = None, most: int = 1000
    ) -> Deferred[int]:
        """
        What another member owed becomes that of a third, or nobody's: then each delivery goes
        to a member that has its sink, as soon as that looks. The other one, should it still be
        there, marks none of them any more.

        @return: fires with how many there were; to be called again until there is none, and
            later, while that member is gone: what it is about to change is left out. Of a member
            that lives after all there are none.
        """

        def work() -> int:
            cursor = self._own.cursor
            if not self._fence.isGone(cursor, fromMember):
                return 0
            return adopt(cursor, fromMember, toMember, most)

        return self._do(work)
