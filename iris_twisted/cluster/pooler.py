"""
A pooler between a member and its database: it must give each client a session of its own.
"""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from ..errors import DatabaseFailed
from .conninfo import connect
from .listening import CHANNEL

__all__ = ["checkPooler"]

# Seconds within which what was said is heard, which takes a millisecond.
_PATIENCE = 3.0


def checkPooler(connection: psycopg.Connection, conninfo: str, name: str) -> None:
    """
    See whether LISTEN works where the server is not the one that answered the login. It waits.

    @param connection: to the database that C{conninfo} names.
    @param name: of the program.
    @raise DatabaseFailed: when nothing is heard: the pooler gives the server to somebody else
        after each transaction.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] == connection.info.backend_pid:
        return
    with closing(connect(conninfo, name)) as listener, closing(connect(conninfo, name)) as other:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        other.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        if not list(listener.notifies(timeout=_PATIENCE, stop_after=1)):
            raise DatabaseFailed(
                "the pooler before the database is not in session mode, and LISTEN hears nothing "
                "there: set its pool_mode to session, or name the database itself",
                lasting=True,
            )
