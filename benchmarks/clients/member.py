"""
The store of a member that is alone in its cluster, on an empty PostgreSQL.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from iris_twisted.cluster import accounts, schema
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.interfaces import IPlaceRunner
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.member import ClusterMember
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.values import ClusterAccount, Kept
from iris_twisted.outbox.postgresql import PostgreSQLStore

__all__ = ["Played", "memberOf"]

# A day, as the daemon has it.
_FORGET = 24 * 3600.0


@implementer(IPlaceRunner)
class Played:
    """Connections that are up at once."""

    def start(self, kept: Kept) -> Deferred[None]:
        return succeed(None)

    def change(self, kept: Kept) -> None:
        """Nothing to do."""

    def stop(self, kept: Kept) -> Deferred[None]:
        return succeed(None)

    def isUp(self, kept: Kept) -> bool:
        return True


async def memberOf(
    reactor: Any, conninfo: str, names: list[str]
) -> tuple[ClusterMember, PostgreSQLStore]:
    """
    Whatever is in that database goes.

    @return: one that owns these accounts already, and where it keeps their calls: what it does
        not own is not kept, as in the daemon.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "key")
        addKey(path)
        keys = Keys(path)
    with connect(conninfo, "benchmark") as connection, connection.transaction():
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        schema.migrate(connection)
        accounts.add(connection, keys, [ClusterAccount(name, "t") for name in names])
    member = ClusterMember(
        reactor,
        conninfo,
        Identity("m0", len(names)),
        keys,
        Played(),
        lambda error: print(error.message),
        lambda names: None,
    )
    member.startService()
    while member.owned < len(names):
        await deferLater(reactor, 0.05)
    return member, PostgreSQLStore(reactor, conninfo, "m0", member.fence, forgetAfter=_FORGET)
