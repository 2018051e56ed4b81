"""
Where the database is, and who asks: as libpq writes it.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..errors import DatabaseFailed, IncorrectParameters
from .failures import failureOf

__all__ = ["checkConninfo", "connect", "shownConninfo"]

# PostgreSQL's way to write its own version: 13.0.
_OLDEST = 130000
# Seconds and milliseconds: a host that says nothing is noticed within a lease.
_DEFAULTS: dict[str, str | int] = {
    "client_encoding": "UTF8",
    "connect_timeout": 3,
    "keepalives_idle": 4,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
# Each statement has its index, but a planner without statistics would read every place. What
# has none then looks so expensive that PostgreSQL would compile it, for 150 ms each time.
# As statements, since a pooler takes none of them at login. Whoever is stopped within a
# transaction must not keep others from a row for longer than a lease.
_SESSION = """
SET statement_timeout = '5s';
SET lock_timeout = '4s';
SET idle_in_transaction_session_timeout = '5s';
SET default_transaction_isolation = 'read committed';
SET client_min_messages = warning;
SET enable_seqscan = off;
SET jit = off;
"""
_SECRETS = ("password", "sslpassword", "oauth_client_secret")


def checkConninfo(text: str) -> dict[str, str]:
    """
    @return: its parts.
    @raise IncorrectParameters: when it is none, or holds a password, which everybody on the
        machine could read.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except psycopg.Error:
        # libpq's own words quote what it did not understand, which may be a password.
        raise IncorrectParameters(
            "is no connection string of libpq: host=HOST dbname=NAME, or postgresql://HOST/NAME"
        ) from None
    for name in _SECRETS:
        if name in parts:
            raise IncorrectParameters(
                f"must not hold a {name}: put it into the file ~/.pgpass, or into one that "
                "passfile=PATH names"
            )
    return parts


def shownConninfo(text: str) -> str:
    """What operators may see of it."""
    parts = checkConninfo(text)
    return " ".join(f"{n}={parts[n]}" for n in ("service", "host", "port", "dbname") if n in parts)


def connect(conninfo: str, name: str) -> psycopg.Connection:
    """
    A connection to the database, in autocommit mode. It waits.

    @param name: of the program, for whoever looks into C{pg_stat_activity}.
    @raise DatabaseFailed: with the sentence for it.
    """
    parts = checkConninfo(conninfo)
    more: dict[str, Any] = {key: value for key, value in _DEFAULTS.items() if key not in parts}
    try:
        whole = make_conninfo(conninfo, **more, application_name=name)
        connection = psycopg.connect(whole, autocommit=True, prepare_threshold=None)
        try:
            connection.execute(_SESSION)
            row = connection.execute(
                "SELECT current_setting('transaction_read_only'), "
                "current_setting('server_version_num')::int"
            ).fetchone()
        except BaseException:
            connection.close()
            raise
    except psycopg.Error as e:
        raise failureOf(e) from None
    assert row is not None
    why = None
    if row[1] < _OLDEST:
        why = f"the database must be PostgreSQL 13 or newer, and is {row[1] // 10000}"
    elif row[0] == "on":
        why = (
            "the database is a read-only standby: name the primary, or all hosts with "
            "target_session_attrs=read-write"
        )
    if why is not None:
        connection.close()
        raise DatabaseFailed(why, lasting=True)
    return connection
