"""
A farm: a sandbox, a receiver of webhooks, a database, and members of a cluster that are real
processes, with calls all the time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from iris_twisted.cluster import accounts, schema
from iris_twisted.cluster.accounts import ClusterAccount
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.overview import statusOf
from iris_twisted.sandbox import Sandbox, startSandbox
from iris_twisted.sandbox.records import Call

from ..postgresql import MISSING, PostgreSQL
from ..processes import Program, startTwist

__all__ = ["FarmCase"]


class _Receiver(Resource):
    """
    Takes every call, and counts it by its key.

    @ivar held: those that wait for an answer; C{None} where each is answered at once.
    @ivar refused: the traces of those that it does not take now.
    @ivar tried: the traces of all that came, again and again.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, list[float]] = {}
        self.traces: set[str] = set()
        self.closed = False
        self.held: list[Request] | None = None
        self.refused: set[str] = set()
        self.tried: list[str] = []

    def answer(self) -> None:
        """Those that wait, and all from now on."""
        held, self.held = self.held, None
        for request in held or ():
            request.finish()

    def render_POST(self, request: Request) -> bytes | int:
        record = json.loads(request.content.read())
        trace = record["notification"]["traceid"]
        self.tried.append(trace)
        if self.closed or trace in self.refused:
            request.setResponseCode(503)
            return b""
        now = reactor.seconds()  # type: ignore[attr-defined]
        self.keys.setdefault(record["key"], []).append(now)
        self.traces.add(trace)
        if self.held is not None:
            self.held.append(request)
            return NOT_DONE_YET
        return b""


@attrs.frozen
class Placed:
    """
    A call.

    @ivar at: when it was placed.
    @ivar connected: how many sessions the account had then.
    """

    call: Call
    at: float
    connected: int

    @property
    def trace(self) -> str:
        return str(self.call.info["traceid"])


class FarmCase(TestCase):
    """
    Each with a PostgreSQL of its own, which it may stop and kill.

    @ivar calls: those that were placed.
    @ivar kills: when members were killed.
    @ivar unwritten: the calls that a member owed when it was killed, stopped or cut off, and when
        that was: of those that a receiver had by then, that was not written down.
    """

    timeout = 300

    async def setUp(self) -> None:
        if MISSING:
            raise SkipTest(MISSING)
        self.server = PostgreSQL()
        self.addCleanup(self.server.remove)
        self.conninfo = self.server.database()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.key = str(self.folder / "key")
        addKey(self.key)
        self.sandbox: Sandbox = await startSandbox(reactor)
        self.addCleanup(self.sandbox.stop)
        self.receiver = _Receiver()
        port = reactor.listenTCP(0, Site(self.receiver), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.hook = f"http://127.0.0.1:{port.getHost().port}/"
        self.calls: list[Placed] = []
        self.kills: list[float] = []
        self.unwritten: dict[str, float] = {}
        self.accounts: list[str] = []
        self.members: dict[str, Program] = {}
        self._placing = LoopingCall(self._place)
        self.addCleanup(self.stopCalls)

    # Making

    def add(self, number: int, copies: int = 1) -> None:
        """Add so many accounts."""
        self.accounts = [f"user{n}@sandbox.test" for n in range(number)]
        with connect(self.conninfo, "test") as connection, connection.transaction():
            schema.migrate(connection)
            some = [ClusterAccount(name, "any", copies=copies) for name in self.accounts]
            accounts.add(connection, Keys(self.key), some)

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
            self.kills.append(reactor.seconds())  # type: ignore[attr-defined]
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
        connected = self.connections(to)
        now = reactor.seconds()  # type: ignore[attr-defined]
        self.calls.append(Placed(self.sandbox.placeCall(to), now, connected))

    def connections(self, routingId: str) -> int:
        """How many sessions an account has, those left out whose sockets are gone."""
        platform = self.sandbox.platform
        return sum(s.id in platform.sessions for s in platform.sessionsOf(routingId))

    # Seeing

    def status(self) -> dict[str, Any]:
        """What C{twist iris-cluster status --json} says."""
        with connect(self.conninfo, "test") as connection, connection.transaction():
            return statusOf(connection)

    def shares(self) -> dict[str, int]:
        """How many places each member has that lives; none before there are tables."""
        there = "SELECT to_regclass('iris_members') IS NOT NULL"
        if self.server.execute(there, self.conninfo) == [(False,)]:
            return {}
        return {m["name"]: m["places"] for m in self.status()["members"] if m["state"] == "live"}

    async def until(self, met: Callable[[], object], seconds: float = 60.0) -> float:
        """Wait until that holds. @return: how long it took."""
        began = reactor.seconds()  # type: ignore[attr-defined]
        while True:
            if met():
                return float(reactor.seconds() - began)  # type: ignore[attr-defined]
            if reactor.seconds() - began > seconds:  # type: ignore[attr-defined]
                words = "\n".join(f"{n}: {p.stderr}" for n, p in self.members.items())
                self.fail(f"not met in {seconds} s; {self.status()}\n{words}")
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]

    async def up(self, connections: int, seconds: float = 60.0) -> float:
        """Wait until so many connections are up, each kept by its owner."""
        sessions = self.sandbox.platform.sessions
        return await self.until(lambda: len(sessions) == connections, seconds)

    def missed(self) -> list[Placed]:
        """The calls that the receiver does not have."""
        return [placed for placed in self.calls if placed.trace not in self.receiver.traces]

    def forgotten(self) -> list[Placed]:
        """Those of them that the platform was told had arrived."""
        return [placed for placed in self.missed() if placed.call.state == "acknowledged"]

    def owedBy(self, name: str) -> list[str]:
        """The keys of what a member has still to deliver, as the database knows it."""
        owed = "SELECT key::text FROM outbox_deliveries JOIN outbox_calls ON id = call "
        rows = self.server.execute(f"{owed} WHERE owner = '{name}'", self.conninfo)
        return [key for (key,) in rows]

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
        # What the member had sent is read a moment later; until it notices that the database is
        # out of reach, it may give something too.
        return key in self.unwritten and first < self.unwritten[key] + 1.0

    async def settled(self, seconds: float = 30.0) -> None:
        """No more calls; wait until all that are owed are delivered."""
        self.stopCalls()
        owed = "SELECT count(*) FROM outbox_deliveries"
        await self.until(lambda: self.server.execute(owed, self.conninfo) == [(0,)], seconds)

    async def balanced(self, members: int, places: int, seconds: float = 60.0) -> None:
        """Wait until so many members have fair shares of so many places, all connected."""
        low, high = int(places / members * 0.9), int(places / members * 1.1 + 1)

        def met() -> bool:
            shares = self.shares()
            fair = all(low <= share <= high for share in shares.values())
            return len(shares) == members and sum(shares.values()) == places and fair

        await self.until(met, seconds)
        await self.up(places)

    async def end(self) -> None:
        """End all members politely."""
        ending: list[Deferred[int]] = [p.signal("TERM") for p in self.members.values()]
        self.members.clear()
        await gatherResults(ending)
