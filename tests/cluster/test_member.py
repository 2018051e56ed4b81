"""
Members of one process that share a real PostgreSQL, with connections that are played.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.cluster import accounts, membership, places, schema
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.interfaces import IPlaceRunner
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.member import ClusterMember
from iris_twisted.cluster.membership import Identity
from iris_twisted.cluster.values import LEASE, ClusterAccount, Kept
from iris_twisted.errors import DatabaseFailed, NotKept
from iris_twisted.net.steady_time import steadyTime
from iris_twisted.outbox import IFence

from .databases import freshDatabase


@attrs.define(eq=False)
class Platform:
    """
    Who is connected for whom.

    @ivar dark: the accounts that were connected once and were not, at some time.
    """

    connected: dict[str, set[str]] = attrs.field(factory=dict)
    dark: set[str] = attrs.field(factory=set)


@implementer(IPlaceRunner)
class Connections:
    """Connections that are up in the next turn, unless C{hangs}."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform = platform
        self.name = name
        self.up: set[str] = set()
        self.hangs = False
        self.accounts: dict[str, ClusterAccount] = {}
        self.adopted: list[Sequence[str]] = []
        self.started = 0

    def start(self, kept: Kept) -> Deferred[None]:
        self.started += 1
        self.accounts[kept.account.routingId] = kept.account
        up: Deferred[None] = Deferred()
        if not self.hangs:
            reactor.callLater(0, self._up, kept, up)  # type: ignore[attr-defined]
        return up

    def _up(self, kept: Kept, up: Deferred[None]) -> None:
        name = kept.account.routingId
        if name in self.accounts:
            self.up.add(name)
            self.platform.connected.setdefault(name, set()).add(self.name)
            up.callback(None)

    def change(self, kept: Kept) -> None:
        self.accounts[kept.account.routingId] = kept.account

    def stop(self, kept: Kept) -> Deferred[None]:
        name = kept.account.routingId
        self.accounts.pop(name, None)
        self.up.discard(name)
        others = self.platform.connected.get(name, set())
        others.discard(self.name)
        if not others:
            self.platform.dark.add(name)
        return succeed(None)

    def isUp(self, kept: Kept) -> bool:
        return kept.account.routingId in self.up

    def adopt(self, names: Sequence[str]) -> None:
        self.adopted.append(names)


class Members(TestCase):
    """Members that come and go."""

    timeout = 90

    def setUp(self) -> None:
        self.conninfo = freshDatabase(self)
        self.connection = connect(self.conninfo, "test")
        self.addCleanup(self.connection.close)
        path = os.path.abspath(self.mktemp())
        addKey(path)
        self.keys = Keys(path)
        self.platform = Platform()
        self.members: dict[str, ClusterMember] = {}
        self.runners: dict[str, Connections] = {}
        self.ended: list[DatabaseFailed] = []
        # Before the database is dropped.
        self.addCleanup(self._stopAll)

    def _stopAll(self) -> Any:
        return gatherResults([self.leave(m) for m in self.members.values()])

    async def _leave(self, member: ClusterMember) -> None:
        if member.running:
            await member.stopService()
        await member.close()
        await member.close()

    def leave(self, member: ClusterMember) -> Deferred[None]:
        return Deferred.fromCoroutine(self._leave(member))

    def do(self, work: Any, *args: Any) -> Any:
        with self.connection.transaction():
            return work(self.connection, *args)

    def accounts(self, number: int, copies: int = 1) -> None:
        self.do(schema.migrate)
        some = [ClusterAccount(f"{n}@x.test", f"t{n}", copies=copies) for n in range(number)]
        self.do(accounts.add, self.keys, some)

    def join(self, name: str, capacity: int = 1000, **others: Any) -> Connections:
        runner = Connections(self.platform, name)
        member = ClusterMember(
            reactor,
            self.conninfo,
            Identity(name, capacity, **others),
            self.keys,
            runner,
            self.ended.append,
            runner.adopt,
        )
        self.members[name], self.runners[name] = member, runner
        member.startService()
        return runner

    async def until(self, met: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until that holds."""
        for _ in range(int(seconds * 50)):
            if met():
                return
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
        self.fail(f"not met: {[(n, m.owned, m.sight) for n, m in self.members.items()]}")

    def owned(self) -> list[int]:
        return [member.owned for member in self.members.values()]

    def settled(self, *owned: int) -> Callable[[], bool]:
        """Each member has so many places, and all connected."""

        def met() -> bool:
            up = [len(self.runners[name].up) for name in self.members]
            return self.owned() == list(owned) == up

        return met

    def shared(self, places: int) -> Callable[[], bool]:
        """All have an owner and are connected, and no member is off its share by more than 5 %."""

        def met() -> bool:
            up = [len(self.runners[name].up) for name in self.members]
            share = places / len(self.members)
            return (
                sum(up) == places
                and self.owned() == up
                and max(abs(number - share) for number in up) <= 0.05 * share
            )

        return met

    async def test_alone(self) -> None:
        """The first member makes the tables, and has all; new accounts come, others go."""
        self.accounts(5)
        runner = self.join("a")
        verifyObject(IPlaceRunner, runner)
        await self.until(self.settled(5))
        self.assertEqual(runner.accounts["3@x.test"].token, "t3")
        self.do(accounts.add, self.keys, [ClusterAccount("new@x.test", "t")])
        self.do(accounts.remove, ["0@x.test"])
        self.do(accounts.change, self.keys, ClusterAccount("1@x.test", "other"))
        await self.until(lambda: "new@x.test" in runner.up, 2.0)
        await self.until(lambda: "0@x.test" not in runner.up, 2.0)
        await self.until(lambda: runner.accounts["1@x.test"].token == "other", 2.0)
        self.assertEqual(runner.started, 6)

    async def test_share(self) -> None:
        """Who joins gets its share, a few at a time, and nobody is without a connection."""
        self.accounts(90)
        self.join("a")
        await self.until(self.settled(90))
        self.join("b")
        await self.until(self.settled(45, 45))
        self.join("c")
        await self.until(self.settled(30, 30, 30))
        self.assertEqual(self.platform.dark, set())
        counts = [member.counts for member in self.members.values()]
        self.assertEqual([c.claimed for c in counts], [90, 0, 0])
        self.assertEqual([c.moved for c in counts], [0, 45, 30])
        self.assertEqual(sum(c.gone for c in counts), 75)
        self.assertEqual(sum(c.lost for c in counts), 0)

    async def test_drain(self) -> None:
        """Who leaves hands everything over first, with no account ever without a connection."""
        self.accounts(60)
        for name in "abc":
            self.join(name)
        await self.until(self.shared(60))
        leaving = self.members.pop("b")
        await leaving.drain(20.0)
        self.assertEqual(leaving.owned, 0)
        await self.leave(leaving)
        self.assertEqual(self.platform.dark, set())
        await self.until(self.shared(60))

    async def test_drainToTheLatest(self) -> None:
        """Who came after the last look is somebody to hand everything over to."""
        self.accounts(3)
        self.join("a")
        await self.until(self.settled(3))
        self.join("b")
        leaving, other = self.members["a"], self.members["b"]
        await self.until(lambda: other.sight is not None)
        assert leaving.sight is not None
        before = [member for member in leaving.sight.members if member.name == "a"]
        leaving.sight = attrs.evolve(leaving.sight, members=tuple(before))
        await leaving.drain(20.0)
        self.assertEqual(leaving.owned, 0)
        self.assertEqual(self.platform.dark, set())

    async def test_nobodyLeft(self) -> None:
        """The last one has nobody to wait for."""
        self.accounts(3)
        self.join("a")
        await self.until(self.settled(3))
        await self.members["a"].drain(60.0)
        await self.leave(self.members.pop("a"))
        self.assertEqual(
            self.connection.execute("SELECT count(*) FROM iris_members").fetchone(), (0,)
        )
        rows = self.connection.execute("SELECT DISTINCT owner FROM iris_places").fetchall()
        self.assertEqual(rows, [(None,)])

    async def test_copies(self) -> None:
        """Each copy has another member; what nobody can have waits."""
        self.accounts(10, copies=2)
        self.join("a")
        await self.until(self.settled(10))
        self.join("b")
        await self.until(self.settled(10, 10))
        self.assertEqual({len(who) for who in self.platform.connected.values()}, {2})

    async def test_capacity(self) -> None:
        """Nobody has more than it can; it is said that something waits."""
        self.accounts(10)
        self.join("a", 3)
        self.join("b", 4)
        await self.until(self.settled(3, 4))
        await self.until(lambda: self.members["a"].decisions.shortage == 3)
        self.join("c", 9)
        await self.until(self.settled(3, 4, 3))
        await self.until(lambda: self.members["a"].decisions.shortage == 0)

    async def test_dies(self) -> None:
        """What a dead member had is claimed within a lease; its name is told for its calls."""
        self.accounts(30)
        runners = [self.join(name) for name in "abc"]
        await self.until(self.settled(10, 10, 10))
        dead = self.members.pop("c")
        account = next(iter(runners[2].up))
        place = dead.right(account)
        term = dead.fence.term()
        self.assertIsNotNone(term)
        self.assertTrue(dead.fence.lives(self.connection))
        self.assertTrue(verifyObject(IFence, dead.fence))
        await dead._rounds.stop()
        began = reactor.seconds()  # type: ignore[attr-defined]
        await self.until(lambda: self.owned() == [15, 15])
        self.assertLess(reactor.seconds() - began, 12.0)  # type: ignore[attr-defined]
        self.assertEqual([runner.adopted for runner in runners[:2]], [[["c"]], [["c"]]])
        # It wakes up: nothing of it is its own any more.
        self.assertIsNone(dead.fence.term())
        self.assertFalse(dead.fence.lives(self.connection))
        self.assertTrue(dead.fence.isGone(self.connection, "c"))
        told: list[int | None] = []
        dead._tellSure = lambda: told.append(dead.fence.term())
        dead._rounds._stopped = False
        dead._rounds.wake()
        self.members["c"] = dead
        await self.until(lambda: dead.counts.lost == 10)
        self.assertEqual(dead.fence.holding(self.connection, [place]), [False])
        self.assertEqual(told, [dead.fence.term()])
        self.assertNotIn(term, told)
        await self.until(self.settled(10, 10, 10))

    async def test_signedOff(self) -> None:
        """Who has signed off owns nothing; who then dies before it left is adopted like any dead."""
        self.accounts(4)
        told: list[str] = []
        self.join("a")
        self.join("b")
        await self.until(self.settled(2, 2))
        self.members["a"]._adopt = told.extend
        gone = self.members.pop("b")
        await gone.stopService()
        await self.until(self.settled(4))
        names = "SELECT name FROM iris_members ORDER BY name"
        self.assertEqual(self.connection.execute(names).fetchall(), [("a",), ("b",)])
        await self.until(lambda: told[:1] == ["b"])
        await gone.close()
        self.assertEqual(self.connection.execute(names).fetchall(), [("a",)])

    async def test_cutAfterAClaim(self) -> None:
        """What was claimed just before the connection to the database broke is kept."""
        self.accounts(3)
        runner = self.join("a")
        reconciler, cut = self.members["a"]._reconciler, list[Any]()
        fetch = reconciler.fetch

        async def cutAndFetch(about: Any) -> None:
            if about and not cut:
                cut.append(about)
                self.connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'iris-twisted a'"
                )
            await fetch(about)

        self.patch(reconciler, "fetch", cutAndFetch)
        await self.until(lambda: len(runner.up) == 3)
        self.assertEqual(len(cut), 1)

    async def test_sameName(self) -> None:
        """A second process of a name waits, and is refused while the first lives."""
        self.accounts(1)
        self.join("a")
        await self.until(self.settled(1))
        first = self.members["a"]
        self.join("a")
        second = self.members["a"]
        await self.until(lambda: bool(self.ended))
        self.assertIn("choose another name with --member", self.ended[0].message)
        self.assertIsNone(second.me)
        await self.leave(second)
        self.members["a"] = first

    async def test_away(self) -> None:
        """While it cannot reach the database it takes no call, and closes nothing."""
        self.accounts(2)
        runner = self.join("a")
        await self.until(self.settled(2))
        member = self.members["a"]
        self.assertEqual(member.right("0@X.test").epoch, 1)
        with self.assertRaises(NotKept) as caught:
            member.right("none@x.test")
        self.assertIn("another member keeps none@x.test", str(caught.exception))
        # As if nothing had come back for as long as a lease lasts.
        member._lease._sent = member._time.seconds() - 10.0
        with self.assertRaises(NotKept) as caught:
            member.right("0@x.test")
        self.assertIn("out of reach", str(caught.exception))
        self.assertEqual(len(runner.up), 2)

    async def test_forgotten(self) -> None:
        """Who is forgotten drops everything, and begins anew."""
        self.accounts(2)
        self.join("a")
        await self.until(self.settled(2))
        self.connection.execute("DELETE FROM iris_members")
        await self.until(lambda: self.members["a"].counts.lost == 2)
        await self.until(self.settled(2))
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    async def test_successorHangs(self) -> None:
        """Who cannot connect does not become the owner."""
        self.accounts(4)
        self.join("a")
        await self.until(self.settled(4))
        self.join("b").hangs = True
        b = self.members["b"]
        await self.until(lambda: len(b._holdings.keys) == 2)
        for holding in b._holdings._held.values():
            holding.since -= 60.0
        await self.until(lambda: not b.sight or not b._holdings.hopeless())
        self.assertEqual(self.platform.dark, set())
        self.assertEqual(self.members["a"].owned, 4)

    async def test_clockOfTheDatabase(self) -> None:
        """When the database's clock is set forward past all leases, nobody takes anything."""
        self.accounts(9, copies=2)
        statements = (
            "CREATE SCHEMA clock",
            "CREATE TABLE clock.ahead (seconds) AS VALUES (0)",
            "CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ "
            "SELECT pg_catalog.clock_timestamp() + seconds * interval '1 second' "
            "FROM clock.ahead $$",
            f"ALTER DATABASE {self.connection.info.dbname} "
            "SET search_path = clock, pg_catalog, public",
        )
        for statement in statements:
            self.connection.execute(statement)
        for name in "abc":
            self.join(name)
        await self.until(self.settled(6, 6, 6))
        # Whoever is silent for that long counts as dead.
        await self.until(lambda: all(m._watching._since + LEASE < self.now() for m in self.all()))
        started = [runner.started for runner in self.runners.values()]
        for hours in (1, 2):
            self.connection.execute("UPDATE clock.ahead SET seconds = %s", (hours * 3600,))
            for _ in range(2):
                await self.allLook()
                self.assertEqual(self.owned(), [6, 6, 6])
            await self.until(
                lambda: all(m._watching._since + LEASE < self.now() for m in self.all())
            )
        self.assertEqual([runner.started for runner in self.runners.values()], started)
        self.assertEqual([member.counts.lost for member in self.all()], [0, 0, 0])
        # Who dies after that is dead nevertheless.
        await self.leave(self.members.pop("c"))
        await self.until(self.settled(9, 9))

    async def allLook(self) -> None:
        """Wait until each has looked once more."""
        seen = {member: member.sight for member in self.all()}
        await self.until(lambda: all(member.sight is not seen[member] for member in seen))

    def now(self) -> float:
        return steadyTime(reactor).seconds()

    def all(self) -> list[ClusterMember]:
        return list(self.members.values())

    async def test_newKey(self) -> None:
        """A key that is added to the file is used by members that run already."""
        self.accounts(2)
        a = self.join("a")
        await self.until(self.settled(2))
        addKey(self.keys.path)
        fresh = Keys(self.keys.path)
        self.do(accounts.change, fresh, ClusterAccount("0@x.test", "renewed"))
        self.do(accounts.add, fresh, [ClusterAccount("new@x.test", "t")])
        await self.until(self.settled(3))
        await self.until(lambda: a.accounts["0@x.test"].token == "renewed")
        self.do(accounts.rotate, fresh)
        self.members["a"].doubt()
        self.do(accounts.add, fresh, [ClusterAccount("newer@x.test", "t")])
        await self.until(self.settled(4))
        self.assertEqual(a.started, 4)

    async def test_missingKey(self) -> None:
        """Who lacks a key keeps its connections, and takes nothing that it cannot use."""
        self.accounts(2)
        path = os.path.abspath(self.mktemp())
        shutil.copy(self.keys.path, path)
        newer, self.keys = self.keys.path, Keys(path)
        a = self.join("a")
        await self.until(self.settled(2))
        addKey(newer)
        fresh = Keys(newer)
        self.do(accounts.change, fresh, ClusterAccount("0@x.test", "renewed"))
        self.do(accounts.add, fresh, [ClusterAccount(f"new{n}@x.test", "t") for n in range(2)])
        await self.until(lambda: self.members["a"]._reconciler.unreadable == {1, 3, 4})
        self.members["a"].doubt()
        await self.until(lambda: self.members["a"]._reconciler.unreadable == {1, 3, 4})
        self.keys = fresh
        b = self.join("b")
        await self.until(self.settled(2, 2))
        # What b wants to leave behind, a does not want.
        self.do(membership.drain, "b", True)
        await self.until(lambda: self.drains("b"))
        self.assertEqual([a.up, b.up], [{"0@x.test", "1@x.test"}, {"new0@x.test", "new1@x.test"}])
        self.assertEqual(self.platform.dark, set())
        shutil.copy(newer, path)
        await self.until(self.settled(4, 0))
        await self.until(lambda: a.accounts["0@x.test"].token == "renewed")
        self.assertEqual(self.platform.dark, set())

    def drains(self, name: str) -> bool:
        """Whether a member knows that it shall hand everything over."""
        sight = self.members[name].sight
        return sight is not None and any(m.name == name and m.draining for m in sight.members)

    async def test_completedMeanwhile(self) -> None:
        """Who gives up a place that the owner gives it in the same moment keeps that place."""
        self.accounts(2)
        self.join("a")
        await self.until(self.settled(2))
        self.join("b").hangs = True
        a, b = self.members["a"], self.members["b"]
        await self.until(lambda: len(b._holdings.keys) == 1)
        (key,) = b._holdings.keys
        given: list[Any] = []

        def hopeless() -> list[Any]:
            if given:
                return []
            given.append(self.do(partial(places.complete, dark=True), a.me, [key]))
            return [key]

        self.patch(b._holdings, "hopeless", hopeless)
        b._rounds.wake()
        await self.until(lambda: bool(given))
        self.assertEqual(given[0], [key])
        await self.until(lambda: b.owned == 1 and list(b._holdings.keys) == [key], 10.0)
        owner = "SELECT owner FROM iris_places WHERE account = %s AND copy = %s"
        self.assertEqual(self.connection.execute(owner, key).fetchone(), (b.me,))

    async def test_drainCommand(self) -> None:
        """A member that is asked to hands over, and stays."""
        self.accounts(4)
        self.join("a")
        self.join("b")
        await self.until(self.settled(2, 2))
        self.do(membership.drain, "a", True)
        await self.until(self.settled(0, 4))
        self.do(membership.drain, "a", False)
        await self.until(self.settled(2, 2))
        self.assertEqual(self.platform.dark, set())


class Ends(TestCase):
    """What ends the program."""

    timeout = 60

    async def test_lasting(self) -> None:
        """What somebody has to change ends it with a sentence."""
        conninfo = freshDatabase(self)
        path = os.path.abspath(self.mktemp())
        addKey(path)
        told: Deferred[DatabaseFailed] = Deferred()
        member = ClusterMember(
            reactor,
            conninfo.replace("dbname=", "dbname=no"),
            Identity("a", 1),
            Keys(path),
            Connections(Platform(), "a"),
            told.callback,
            lambda names: None,
        )
        member.startService()
        error = await told
        self.assertIn("there is no such database", error.message)
        await member.stopService()
        await member.close()
