"""
What can be wrong with the database, in sentences for operators.
"""

from __future__ import annotations

import psycopg
from psycopg import errors

from ..errors import DatabaseFailed

__all__ = ["failureOf"]


# What the server or libpq says, what that means, and whether it lasts. A refused login has
# no SQLSTATE in libpq: only words.
_WORDS = (
    ("password authentication failed", "the database refuses the password", True),
    ("no password supplied", "the database wants a password: put it into .pgpass", True),
    ("pg_hba.conf", "the database does not let this user or host in: see its pg_hba.conf", True),
    ("certificate verify failed", "the database's certificate does not verify", True),
    ("does not match host name", "the database's certificate is another host's", True),
    ("root certificate file", "there is no certificate to verify the database's with", True),
    ("session is read-only", "the database is a read-only standby", True),
    ("the database system is starting up", "the database is starting", False),
    ("the database system is shutting down", "the database is shutting down", False),
    ("too many clients", "the database has no connection left", False),
    ("remaining connection slots", "the database has no connection left", False),
)
_HINTS = {
    "the database's certificate does not verify": "name the file with its CA with sslrootcert",
    "there is no certificate to verify the database's with": "name it with sslrootcert",
    "the database refuses the password": "check .pgpass, or the file that passfile names",
    "the database is a read-only standby": "name the primary, or all hosts with "
    "target_session_attrs=read-write",
}
_STATES: tuple[tuple[type[psycopg.Error], str, bool], ...] = (
    (errors.ReadOnlySqlTransaction, "the database is a read-only standby", True),
    (errors.DiskFull, "the database's disk is full", False),
    (errors.InsufficientPrivilege, "the database's user may not do that", True),
    (errors.QueryCanceled, "the database took too long", False),
    (errors.LockNotAvailable, "the database took too long", False),
    (errors.AdminShutdown, "the database is shutting down", False),
    (errors.CrashShutdown, "the database crashed", False),
    (errors.TooManyConnections, "the database has no connection left", False),
    (errors.UndefinedTable, "the database has no tables of a cluster: run twist iris-cluster "
     "migrate", True),
    (errors.UndefinedColumn, "the database's tables are none of this program", True),
)  # fmt: skip


def failureOf(error: psycopg.Error) -> DatabaseFailed:
    """The sentence for an error of psycopg."""
    text = " ".join(str(error).split())
    for kind, meaning, lasting in _STATES:
        if isinstance(error, kind):
            return _failed(meaning, text, lasting, error)
    for words, meaning, lasting in _WORDS:
        if words in text:
            return _failed(meaning, text, lasting, error)
    if 'database "' in text and "does not exist" in text:
        return _failed("there is no such database", text, True, error)
    if 'role "' in text and "does not exist" in text:
        return _failed("the database knows no such user", text, True, error)
    return DatabaseFailed(f"the database failed: {text}", cause=error)


def _failed(meaning: str, text: str, lasting: bool, cause: psycopg.Error) -> DatabaseFailed:
    hint = _HINTS.get(meaning)
    sentence = f"{meaning}: {hint} ({text})" if hint else f"{meaning} ({text})"
    return DatabaseFailed(sentence, lasting=lasting, cause=cause)
