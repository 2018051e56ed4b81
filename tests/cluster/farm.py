"""
A farm: a sandbox, a receiver of webhooks, a database, and members of a cluster that are real
processes, with calls all the time.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import psycopg
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.trial.unittest import SkipTest, TestCase

from iris_twisted.cluster import accounts, schema
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.overview import statusOf
from iris_twisted.cluster.values import LEASE, ClusterAccount
from iris_twisted.errors import DatabaseFailed
from iris_twisted.sandbox import Sandbox, platform, startSandbox
from iris_twisted.sandbox.platform import Platform
from iris_twisted.sandbox.records import Call, UserSession

from ..postgresql import MISSING, NoMount, PostgreSQL
from ..processes import Program, startTwist
from .lateness import Lateness
from .receiver import QuietSite, Receiver, now

__all__ = ["FarmCase", "Placed", "now"]

# The part of its share by which a member may be off without a move for that.
_TOLERANCE = 0.05
# Seconds late by which a machine is too busy to be measured.
_BUSY = 1.0
# How many transactions, one after the other, a failover takes at most.
_STEPS = 10


@attrs.frozen
class Placed:
    """
    A call.

    @ivar at: when it was placed.
    @ivar sessions: those of the account then whose sockets were there.
    """

    call: Call
    at: float
    sessions: frozenset[str]

    @property
    def connected(self) -> int:
        """How many there were."""
        return len(self.sessions)

    @property
    def trace(self) -> str:
        return str(self.call.info["traceid"])


class FarmCase(TestCase):
    """
    Each with a PostgreSQL of its own, which it may stop and kill.

    @cvar disk: how many megabytes PostgreSQL has for its data; C{None} for as many as there are.
    @ivar calls: those that were placed.
    @ivar kills: when members were killed.
    @ivar cut: the sessions whose sockets went without a word, and when.
    @ivar unwritten: the calls that a member owed when it was killed, stopped or cut off, and when
        that was: of those that a receiver had by then, that was not written down.
    """

    timeout = 300
    disk: int | None = None
    log = Logger()

    async def setUp(self) -> None:
        if MISSING:
            raise SkipTest(MISSING)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # All of the platform's sockets are this process's.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        try:
            self.server = PostgreSQL(self.disk)
        except NoMount as e:
            raise SkipTest(str(e)) from None
        self.addCleanup(self.server.remove)
        self._eyes: psycopg.Connection | None = None
        self.addCleanup(self._closeEyes)
        self._lateness = Lateness()
        self.addCleanup(self._lateness.stop)
        self.conninfo = self.server.database()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.key = str(self.folder / "key")
        addKey(self.key)
        self.sandbox: Sandbox = await startSandbox(reactor)
        self.addCleanup(self.sandbox.stop)
        # Thousands of sessions of those that were killed are of no use to anybody.
        self.sandbox.platform.resumptionPatience = 60.0
        # What is answered late, it remembers too.
        self.patch(platform, "_CALLS_KEPT", 100_000)
        self.cut: dict[str, float] = {}
        self._watchSessions()
        self.receiver = Receiver()
        port = reactor.listenTCP(0, QuietSite(self.receiver, timeout=None), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.hook = f"http://127.0.0.1:{port.getHost().port}/"
        self.calls: list[Placed] = []
        self.kills: list[float] = []
        self.unwritten: dict[str, float] = {}
        self.accounts: list[str] = []
        self.members: dict[str, Program] = {}
        self._placing = LoopingCall(self._place)
        self.addCleanup(self.stopCalls)

    def _watchSessions(self) -> None:
        left = Platform.left

        def watched(platform: Platform, user: UserSession, waits: bool) -> None:
            if waits:
                self.cut[user.id] = now()
            left(platform, user, waits)

        self.patch(Platform, "left", watched)

    # Making

    def add(self, number: int, copies: int = 1, name: str = "user") -> list[str]:
        """Add so many accounts, which are called from now on, and no others. @return: them."""
        self.accounts = [f"{name}{n}@sandbox.test" for n in range(number)]
        with connect(self.conninfo, "test") as connection, connection.transaction():
            schema.migrate(connection)
            some = [ClusterAccount(name, "any", copies=copies) for name in self.accounts]
            accounts.add(connection, Keys(self.key), some)
        return self.accounts

    def start(self, name: str, *options: str, conninfo: str | None = None) -> Program:
        """Start a member."""
        self.members[name] = program = startTwist(
            self,
            "iris",
            "--event-manager",
            self.sandbox.url,
            "--cluster",
            conninfo or self.conninfo,
            "--cluster-key-file",
            self.key,
            "--member",
            name,
            "--sink",
            f"webhook:{self.hook}",
            "--output",
            "none",
            *options,
        )
        return program

    async def signal(self, name: str, signal: str) -> int:
        """Signal a member, which ends by that."""
        if signal == "KILL":
            self.kills.append(now())
        status = await self.members.pop(name).signal(signal)
        if signal == "KILL":
            self.broke(name, self.kills[-1])
        return status

    def broke(self, name: str, at: float) -> None:
        """That member writes nothing down any more, since then."""
        self.unwritten.update(dict.fromkeys(self.owedBy(name), at))

    # Calls

    def callAll(self, rate: float) -> None:
        """Place so many calls a second from now on, to one account after the other."""
        self._placing.start(1.0 / rate, now=True).addErrback(
            lambda failure: failure.raiseException()
        )

    def stopCalls(self) -> None:
        """Place none any more."""
        if self._placing.running:
            self._placing.stop()

    def _place(self) -> None:
        to = self.accounts[len(self.calls) % len(self.accounts)]
        sessions = self.sessions(to)
        self.calls.append(Placed(self.sandbox.placeCall(to), now(), sessions))

    def sessions(self, *routingIds: str) -> frozenset[str]:
        """The sessions of these accounts, those left out whose sockets are gone."""
        known = self.sandbox.platform
        found = (s.id for name in routingIds for s in known.sessionsOf(name))
        return frozenset(id for id in found if id in known.sessions)

    # Seeing

    def look(self, work: Callable[[psycopg.Connection], Any]) -> Any:
        """Ask the database, by a connection that stays."""
        for _ in range(2):
            if self._eyes is None:
                self._eyes = connect(self.conninfo, "test")
            try:
                with self._eyes.transaction():
                    return work(self._eyes)
            except psycopg.OperationalError:
                # It was restarted meanwhile.
                self._closeEyes()
        self.fail("the database does not stay")

    def _closeEyes(self) -> None:
        eyes, self._eyes = self._eyes, None
        if eyes is not None:
            eyes.close()

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database answers."""
        found: list[tuple[Any, ...]] = self.look(
            lambda connection: connection.execute(statement, parameters).fetchall()
        )
        return found

    def status(self) -> dict[str, Any]:
        """What C{twist iris-cluster status --json} says."""
        seen: dict[str, Any] = self.look(statusOf)
        return seen

    def shares(self) -> dict[str, int]:
        """How many places each member has that lives; none before there are tables."""
        if self.rows("SELECT to_regclass('iris_members') IS NOT NULL") == [(False,)]:
            return {}
        # Not all of the status: this is asked again and again.
        return dict(
            self.rows(
                "SELECT name, (SELECT count(*)::int FROM iris_places WHERE owner = m.id) "
                "FROM iris_members m WHERE expires > clock_timestamp() AND NOT draining"
            )
        )

    def sessionsOf(self, member: str) -> frozenset[str]:
        """The sessions of the accounts that a member owns."""
        return self.sessions(*self.ownedBy(member))

    async def until(self, met: Callable[[], object], seconds: float = 60.0) -> float:
        """Wait until that holds. @return: how long it took."""
        began = now()
        while not met():
            if now() - began > seconds:
                words = "\n".join(f"{n}: {p.stderr}" for n, p in self.members.items())
                try:
                    status = str(self.status())
                except DatabaseFailed as e:
                    status = e.message
                self.fail(f"not met in {seconds} s; {status}\n{words}")
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        return now() - began

    async def adopted(self, members: int, places: int) -> float:
        """
        Wait until so many members live and own all places, which must take less than 12 seconds.

        @return: how long it took.
        """

        def met() -> bool:
            shares = self.shares()
            return len(shares) == members and sum(shares.values()) == places

        self._lateness.begin()
        took = await self.until(met, 40.0)
        self.assertPrompt(took, 12.0)
        return took

    def assertPrompt(self, took: float, seconds: float) -> None:
        """
        It took less than that, or as much longer as a machine that was busy meanwhile lets each step
        wait; and a lease more where that is long: whoever waited long for the database gives others the
        time to renew theirs.
        """
        late = self._lateness.most
        seconds += _STEPS * late + (LEASE if late > _BUSY else 0.0)
        self.assertLess(took, seconds, f"the machine was late by {late:.2f} s")

    async def up(self, connections: int, seconds: float = 60.0) -> float:
        """Wait until so many connections are up, each kept by its owner."""
        sessions = self.sandbox.platform.sessions
        return await self.until(lambda: len(sessions) == connections, seconds)

    def missed(self) -> list[Placed]:
        """The calls that the receiver does not have."""
        return [placed for placed in self.calls if placed.trace not in self.receiver.traces]

    def unexplained(self) -> list[Placed]:
        """
        Those of them for which somebody was connected, whose socket was not cut before there
        was time for an answer.
        """
        return [
            placed
            for placed in self.missed()
            if any(self.cut.get(id, placed.at + 60) - placed.at > 5 for id in placed.sessions)
        ]

    def forgotten(self) -> list[Placed]:
        """Those of them that the platform was told had arrived."""
        return [placed for placed in self.missed() if placed.call.state == "acknowledged"]

    def ownedBy(self, name: str) -> list[str]:
        """The accounts of which a member has a place."""
        owned = "SELECT routing_id FROM iris_accounts a JOIN iris_places ON account = a.id "
        members = "JOIN iris_members m ON owner = m.id"
        return [account for (account,) in self.rows(f"{owned} {members} WHERE m.name = %s", name)]

    def owedBy(self, name: str) -> list[str]:
        """The keys of what a member has still to deliver, as the database knows it."""
        owed = "SELECT key::text FROM outbox_deliveries JOIN outbox_calls ON id = call "
        return [key for (key,) in self.rows(f"{owed} WHERE owner = %s", name)]

    def repeated(self) -> dict[str, list[float]]:
        """
        The keys that the receiver has more than once, and when.

        One is excused: the receiver had it from a member that was killed, stopped or cut off before
        it had written that down, so that nobody else can know; then it comes once again. Whether
        it was written is what the database said right then. What such a member had not
        given by then comes from another one, which does not have it before a lease is over.
        """
        return {
            key: times
            for key, times in self.receiver.keys.items()
            if len(times) > 1 and not (len(times) == 2 and self._hadUnwritten(key, times[0]))
        }

    def _hadUnwritten(self, key: str, first: float) -> bool:
        # What it had sent may be read a while later, where this process is busy. It comes from
        # nobody else: a lease lasts for seven seconds more at least.
        return key in self.unwritten and first < self.unwritten[key] + 5.0

    async def settled(self, seconds: float = 30.0) -> None:
        """No more calls; wait until the last are answered, and all that are owed are delivered."""
        self.stopCalls()
        last = [p.call for p in self.calls if p.sessions and p.at > now() - 2]
        await self.until(lambda: all(call.state != "ringing" for call in last), seconds)
        owed = "SELECT count(*) FROM outbox_deliveries"
        await self.until(lambda: self.rows(owed) == [(0,)], seconds)

    async def balanced(self, members: int, places: int, seconds: float = 90.0) -> float:
        """
        Wait until so many members have fair shares of so many places, all connected, and
        nothing moves.

        @return: how long it took.
        """
        even, over = divmod(places, members)
        low, high = even - int(even * _TOLERANCE), even + bool(over)
        high += int(high * _TOLERANCE)

        def met() -> bool:
            shares = self.shares()
            fair = all(low <= share <= high for share in shares.values())
            done = len(shares) == members and sum(shares.values()) == places and fair
            moving = "SELECT count(*) FROM iris_places WHERE successor IS NOT NULL"
            return done and self.rows(moving) == [(0,)]

        took = await self.until(met, seconds)
        return took + await self.up(places, seconds)

    async def end(self) -> None:
        """End all members politely."""
        ending: list[Deferred[int]] = [p.signal("TERM") for p in self.members.values()]
        self.members.clear()
        await gatherResults(ending)
