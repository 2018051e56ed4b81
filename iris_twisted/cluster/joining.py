"""
Becoming a member: the tables are brought to this program's version, and the name is taken when
nobody has it who lives.
"""

from __future__ import annotations

from typing import Any

import psycopg
from twisted.logger import Logger

from ..errors import DatabaseFailed
from ..net.steady_time import steadyTime
from . import membership, schema
from .database import Database
from .membership import Identity, Taken
from .values import LEASE, RENEW

__all__ = ["Joining"]

# Seconds for which a second process with a member's name waits for the first to be dead.
_TAKEN = LEASE + RENEW


class Joining:
    """
    @param identity: what the member says of itself.
    @ivar wait: seconds until it is to be tried again, when it was in vain.
    """

    _log = Logger()

    def __init__(self, reactor: Any, database: Database, identity: Identity) -> None:
        self._time = steadyTime(reactor)
        self._database = database
        self._identity = identity
        self._takenSince: float | None = None
        self.wait = 0.0

    async def join(self) -> int | None:
        """
        @return: the id of this run; C{None} while another process has the name.
        @raise DatabaseFailed: when that one lives, or with what is wrong with the database.
        """

        def join(connection: psycopg.Connection) -> int | Taken:
            schema.migrate(connection)
            return membership.join(connection, self._identity)

        found = await self._database.run(join)
        if isinstance(found, Taken):
            self._taken(found)
            return None
        self._takenSince = None
        self._log.info("a member of the cluster, as {name}", name=self._identity.name)
        return found

    def _taken(self, found: Taken) -> None:
        name, now = self._identity.name, self._time.seconds()
        if self._takenSince is None:
            self._takenSince = now
            self._log.warn(
                "another process is the member {name} (on {host}, process {process}): waiting "
                "for its lease to expire",
                name=name,
                host=found.host,
                process=found.process,
            )
        if now - self._takenSince > _TAKEN:
            raise DatabaseFailed(
                f"another process is the member {name!r} (on {found.host}, process "
                f"{found.process}), and lives: choose another name with --member",
                lasting=True,
            )
        self.wait = min(found.left + 0.05, RENEW)
