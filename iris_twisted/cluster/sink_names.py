"""
What sinks are called in the database: a sink's URL may carry a secret, so an account's sinks are
encrypted like its token, and those that calls are owed to stand there by names that nobody can
guess them from.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

import psycopg

from ..errors import DatabaseFailed, IncorrectParameters
from ..sinks.registry import shownSink
from .key_file import Keys

__all__ = ["rotateNames", "sealSinks", "sinkNames"]

_BYTES = 32
# Hexadecimal digits that tell two sinks apart of which the same is shown.
_DIGITS = 24
# In the place of a routing id, which has an @.
_WHOSE = "names of sinks"
# For a process that has no use for the key otherwise.
_WANTED = (
    "the database holds sinks that are to be encrypted: name the file with the keys, "
    "--cluster-key-file"
)


def sinkNames(connection: psycopg.Connection, keys: Keys) -> Callable[[str], str]:
    """
    All members call a sink the same: they share a secret, which is in the database, encrypted.

    @return: gives the name of a sink's specification: what operators are shown of it, and a
        digest.
    @raise DatabaseFailed: when no key decrypts that secret: it is another cluster's key file.
    """
    row = connection.execute("SELECT naming FROM iris_cluster FOR UPDATE").fetchone()
    assert row is not None
    if row[0] is None:
        secret = os.urandom(_BYTES)
        sealed = keys.encrypt(_WHOSE, {"secret": secret.hex()})
        connection.execute("UPDATE iris_cluster SET naming = %s", (sealed,))
    else:
        try:
            secret = bytes.fromhex(keys.decrypt(_WHOSE, bytes(row[0]))["secret"])
        except IncorrectParameters:
            raise DatabaseFailed(
                f"the key file {keys.path!r} is none of this cluster: no key in it decrypts what "
                "is in the database",
                lasting=True,
            ) from None

    def name(spec: str) -> str:
        digest = hmac.new(secret, spec.encode(), hashlib.sha256).hexdigest()
        return f"{shownSink(spec)} #{digest[:_DIGITS]}"

    return name


def rotateNames(connection: psycopg.Connection, keys: Keys) -> None:
    """
    Encrypt the members' secret with the newest key.

    @raise IncorrectParameters: when none of the keys did encrypt it.
    """
    row = connection.execute("SELECT naming FROM iris_cluster FOR UPDATE").fetchone()
    if row is not None and row[0] is not None:
        sealed = keys.rotate(bytes(row[0]))
        connection.execute("UPDATE iris_cluster SET naming = %s", (sealed,))


def sealSinks(connection: psycopg.Connection, keys: Callable[[], Keys] | None) -> None:
    """
    Encrypt the sinks of a database in which they stand as they are.

    @param keys: only called when there are some.
    @raise DatabaseFailed: when there are some, and no keys; or none that decrypts an account.
    """
    rows = connection.execute(
        "SELECT id, routing_id, secret, sinks FROM iris_accounts WHERE sinks IS NOT NULL"
    ).fetchall()
    owed = connection.execute("SELECT DISTINCT sink FROM outbox_deliveries").fetchall()
    if not rows and not owed:
        return
    if keys is None:
        raise DatabaseFailed(_WANTED, lasting=True)
    try:
        found = keys()
        for id, routingId, secret, sinks in rows:
            secrets = found.decrypt(routingId, bytes(secret))
            connection.execute(
                "UPDATE iris_accounts SET secret = %s, shown_sinks = %s, sinks = NULL "
                "WHERE id = %s",
                (
                    found.encrypt(routingId, {**secrets, "sinks": sinks}),
                    [shownSink(sink) for sink in sinks],
                    id,
                ),
            )
    except IncorrectParameters as e:
        raise DatabaseFailed(e.message, lasting=True) from None
    name = sinkNames(connection, found)
    for (sink,) in owed:
        connection.execute(
            "UPDATE outbox_deliveries SET sink = %s WHERE sink = %s", (name(sink), sink)
        )
