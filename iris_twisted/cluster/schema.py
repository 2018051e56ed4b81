"""
The cluster's tables, by version.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from ..errors import DatabaseFailed
from ..outbox import postgresql_schema as outbox
from .key_file import Keys
from .sink_names import sealSinks

__all__ = ["VERSION", "checkSchema", "migrate"]

# Any number will do that nobody else uses.
_LOCK = 0x49524953

# From each version to the next. Those that were released are never changed.
_STEPS = (
    """
    CREATE TABLE iris_cluster (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL,
        outbox integer NOT NULL DEFAULT 0,
        changes bigint NOT NULL DEFAULT 0
    );
    INSERT INTO iris_cluster (version) VALUES (0);

    CREATE TABLE iris_members (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        capacity integer NOT NULL CHECK (capacity > 0),
        zone text,
        draining boolean NOT NULL DEFAULT false,
        joined timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires timestamptz NOT NULL,
        held integer NOT NULL DEFAULT 0,
        connected integer NOT NULL DEFAULT 0,
        host text NOT NULL DEFAULT '',
        process integer NOT NULL DEFAULT 0,
        program text NOT NULL DEFAULT ''
    ) WITH (fillfactor = 50);

    CREATE TABLE iris_accounts (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        routing_id text NOT NULL,
        copies smallint NOT NULL DEFAULT 1 CHECK (copies BETWEEN 1 AND 9),
        sinks text[],
        email text,
        secret bytea NOT NULL,
        changed bigint NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX iris_accounts_routing_id ON iris_accounts (lower(routing_id));
    CREATE INDEX iris_accounts_changed ON iris_accounts (changed);

    CREATE TABLE iris_removed (
        account bigint NOT NULL,
        changed bigint PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    CREATE TABLE iris_places (
        account bigint NOT NULL REFERENCES iris_accounts ON DELETE CASCADE,
        copy smallint NOT NULL,
        owner bigint REFERENCES iris_members ON DELETE SET NULL,
        epoch bigint NOT NULL DEFAULT 0,
        successor bigint REFERENCES iris_members ON DELETE SET NULL,
        ready boolean NOT NULL DEFAULT false,
        PRIMARY KEY (account, copy)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX iris_places_owner ON iris_places (owner);
    CREATE INDEX iris_places_successor ON iris_places (successor)
        WHERE successor IS NOT NULL;
    """,
    """
    DROP INDEX iris_places_owner;
    CREATE INDEX iris_places_owner ON iris_places (owner, account);

    ALTER TABLE iris_cluster ADD COLUMN naming bytea;
    ALTER TABLE iris_accounts ADD COLUMN shown_sinks text[];
    """,
    # L{sealSinks} comes in between.
    "ALTER TABLE iris_accounts DROP COLUMN sinks;",
)
VERSION = len(_STEPS)
_UNSEALED = 2


def _versions(connection: psycopg.Connection) -> tuple[int, int]:
    """That of the cluster's tables, and that of the outbox's; 0 where there are none."""
    found = connection.execute("SELECT to_regclass('iris_cluster') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return 0, 0
    row = connection.execute("SELECT version, outbox FROM iris_cluster").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _refuseNewer(found: tuple[int, int]) -> None:
    for version, known in zip(found, (VERSION, outbox.VERSION), strict=True):
        if version > known:
            raise DatabaseFailed(
                f"the database's tables are of version {version}, and this program knows "
                f"{known}: use a newer program",
                lasting=True,
            )


def migrate(connection: psycopg.Connection, keys: Callable[[], Keys] | None = None) -> bool:
    """
    Make the tables, those of the outboxes too, or bring them to this program's version; those
    who do that at the same time wait for each other. To be called within a transaction.

    @param keys: those of the key file, for what was not encrypted before.
    @return: whether there was something to do.
    @raise DatabaseFailed: when they are newer; or when something is to be encrypted, and
        there are no keys for it.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    before, owed = found = _versions(connection)
    _refuseNewer(found)
    if found == (VERSION, outbox.VERSION):
        return False
    with connection.cursor() as cursor:
        outbox.createTables(cursor, owed)
    for version, step in enumerate(_STEPS[before:], before):
        if version == _UNSEALED:
            sealSinks(connection, keys)
        connection.execute(step)
    connection.execute(
        "UPDATE iris_cluster SET version = %s, outbox = %s", (VERSION, outbox.VERSION)
    )
    return True


def checkSchema(connection: psycopg.Connection) -> None:
    """
    @raise DatabaseFailed: when the tables are not those of this program.
    """
    found = _versions(connection)
    _refuseNewer(found)
    if found != (VERSION, outbox.VERSION):
        raise DatabaseFailed(
            "the database has no tables of this program's version: run twist iris-cluster migrate",
            lasting=True,
        )
