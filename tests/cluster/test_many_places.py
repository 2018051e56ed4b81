"""
What it costs the database when there are many places: no more than what is asked for.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster import accounts, membership, schema, taking
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.ownership import Pull
from iris_twisted.cluster.values import ClusterAccount, Life, Member

from .databases import freshDatabase

_ALL = 2000
_WANTED = 20


class ManyPlaces(SynchronousTestCase):
    """Two members, and nearly all places are kept by the first."""

    def setUp(self) -> None:
        self.conninfo = freshDatabase(self)
        self.connection = connect(self.conninfo, "test")
        self.addCleanup(self.connection.close)
        path = os.path.abspath(self.mktemp())
        addKey(path)
        with self.connection.transaction():
            schema.migrate(self.connection)
            some = [ClusterAccount(f"{n}@x.test", "t") for n in range(_ALL)]
            accounts.add(self.connection, Keys(path), some)
            first, second = (membership.join(self.connection, Identity(n, _ALL)) for n in "ab")
        assert isinstance(first, int)
        assert isinstance(second, int)
        self.first, self.second = first, second
        with self.connection.transaction():
            taking.claim(self.connection, first, self.members(), _ALL - _WANTED)

    def members(self, *dead: int) -> list[Member]:
        return [
            Member(id, str(id), _ALL, life=Life.DEAD if id in dead else Life.LIVE)
            for id in (self.first, self.second)
        ]

    def reads(self, work: Any, *arguments: Any) -> tuple[int, int]:
        """How many places that gave, and how many rows of places were read for it."""
        with self.connection.transaction():
            before = self.counted()
            found = work(self.connection, *arguments)
            return len(found), self.counted() - before

    def counted(self) -> int:
        row = self.connection.execute(
            "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int "
            "FROM pg_stat_xact_user_tables WHERE relname = 'iris_places'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def test_few(self) -> None:
        """Who claims the last free places does not read those that are kept."""
        found, read = self.reads(taking.claim, self.second, self.members(), 100)
        self.assertEqual(found, _WANTED)
        self.assertLess(read, 20 * _WANTED)

    def test_dead(self) -> None:
        """Nor does who claims some of a dead member's, whatever it has itself."""
        self.reads(taking.claim, self.second, self.members(), 100)
        self.connection.execute(
            "UPDATE iris_members SET expires = clock_timestamp() WHERE id = %s", (self.first,)
        )
        found, read = self.reads(taking.claim, self.second, self.members(self.first), _WANTED)
        self.assertEqual(found, _WANTED)
        self.assertLess(read, 20 * _WANTED)

    def test_pull(self) -> None:
        """Nor does who pulls some of another one's."""
        found, read = self.reads(
            taking.pull, self.second, self.members(), Pull(self.first, _WANTED)
        )
        self.assertEqual(found, _WANTED)
        self.assertLess(read, 20 * _WANTED)

    def test_apart(self) -> None:
        """Two that claim at the same time begin with different places, and end with all."""
        self.connection.execute("UPDATE iris_places SET owner = NULL")
        with connect(self.conninfo, "test") as other:
            with self.connection.transaction(), other.transaction():
                one = taking.claim(self.connection, self.first, self.members(), _WANTED)
                two = taking.claim(other, self.second, self.members(), _WANTED)
            self.assertEqual(len({p.account for p in one + two}), 2 * _WANTED)
            between = sorted(p.account for p in two)[0] - sorted(p.account for p in one)[-1]
            self.assertGreater(between, _ALL // 4)
        self.assertEqual(
            self.reads(taking.claim, self.second, self.members(), _ALL)[0], _ALL - 2 * _WANTED
        )

    def test_notCompiled(self) -> None:
        """No statement is compiled: that takes longer than any of them."""
        self.assertEqual(self.connection.execute("SHOW jit").fetchone(), ("off",))
