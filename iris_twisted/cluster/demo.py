"""
A cluster to look at: a PostgreSQL, a sandbox and some members on this machine, calls all the
time, and now and then a member that is killed.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

from ..errors import DatabaseFailed
from ..net.http.serving import QuietSite
from ..net.steady_time import steadyTime
from .local_cluster import LocalCluster

__all__ = ["ClusterDemo", "Settings"]

# Seconds after which a call that was not delivered counts as missed.
_MISSED = 20.0
# Seconds until a killed member is started again, and between two looks at the database.
_DOWN = 15.0
_LOOK = 1.0
_TELL = 10.0


@attrs.frozen
class Settings:
    """
    @ivar members: how many.
    @ivar accounts: how many.
    @ivar copies: of each account.
    @ivar rate: calls per second.
    @ivar killEvery: seconds between two kills.
    """

    members: int = 3
    accounts: int = 60
    copies: int = 2
    rate: float = 10.0
    killEvery: float = 60.0


class _Receiver(Resource):
    """
    Takes calls.

    @ivar keys: those of the calls, by which repetitions are known.
    """

    isLeaf = True

    def __init__(self, taken: Callable[[str], None]) -> None:
        super().__init__()
        self._taken = taken
        self.keys: set[str] = set()
        self.repeated = 0

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        record = json.loads(request.content.read())
        self.repeated += record["key"] in self.keys
        self.keys.add(record["key"])
        self._taken(record["notification"]["traceid"])
        return b""


class ClusterDemo(Service):
    """
    @param write: writes a line.
    @ivar placed: how many calls were placed.
    @ivar delivered: how many of them came to the receiver.
    @ivar missed: how many did not, in time.
    """

    _log = Logger()

    def __init__(self, reactor: Any, settings: Settings, write: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._settings = settings
        self._write = write
        self._cluster = LocalCluster(reactor)
        self._port: Any = None
        self._receiver = _Receiver(self._taken)
        self._owed: dict[str, float] = {}
        self._order: deque[str] = deque()
        self._status: dict[str, Any] = {"members": [], "waiting": 0}
        self._killed: tuple[str, float] | None = None
        self._loops: list[LoopingCall | _Once] = []
        self._ended: list[Deferred[Any]] = []
        self._turn = 0
        self._accounts: list[str] = []
        self.placed = self.delivered = self.missed = 0
        self.started: Deferred[None] | None = None

    @property
    def repeated(self) -> int:
        """How many calls the receiver was given again."""
        return self._receiver.repeated

    # Starting and stopping

    def startService(self) -> None:
        super().startService()
        self.started = Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        settings, cluster = self._settings, self._cluster
        self._write("Starting a PostgreSQL in a folder of its own ...")
        await cluster.start()
        self._port = self._reactor.listenTCP(0, QuietSite(self._receiver), interface="127.0.0.1")
        self._accounts = [f"user{number}@sandbox.test" for number in range(settings.accounts)]
        await cluster.add(self._accounts, settings.copies)
        names = [f"member-{number}" for number in range(1, settings.members + 1)]
        self._write(f"Starting {', '.join(names)}; their logs are in {cluster.folder}")
        for name in names:
            self._startMember(name)
        self._loop(self._look, _LOOK)
        wanted = settings.accounts * min(settings.copies, settings.members)
        while self.running and cluster.connected < wanted:
            await deferLater(self._time, 0.1)
        self._write("All accounts are connected: calls from now on.")
        self._loop(self._place, 1.0 / settings.rate)
        self._loop(self._kill, settings.killEvery, now=False)
        self._loop(lambda: self._write(self.lines()[-1]), _TELL, now=False)

    def _startMember(self, name: str) -> None:
        hook = f"webhook:http://127.0.0.1:{self._port.getHost().port}/"
        self._cluster.startMember(name, hook)

    def _loop(self, work: Callable[[], Any], seconds: float, *, now: bool = True) -> None:
        if self.running:
            loop = LoopingCall(work)
            loop.clock = self._time
            ended = loop.start(seconds, now)
            ended.addErrback(lambda f: self._log.failure("a bug in the demonstration", f))
            self._ended.append(ended)
            self._loops.append(loop)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for loop in self._loops:
            if loop.running:
                loop.stop()
        # A look that is under way would see the database go.
        await DeferredList(self._ended)
        if self.started is not None:
            with suppress(Exception):
                # Whoever looks at it is told.
                await self.started
        if self._port is not None:
            await self._port.stopListening()
        await self._cluster.stop(keepLogs=bool(self.missed))

    # What happens

    def _place(self) -> None:
        to = self._accounts[self.placed % len(self._accounts)]
        call = self._cluster.sandbox.placeCall(to)
        self.placed += 1
        trace = str(call.info["traceid"])
        # It may be delivered already.
        self._owed[trace] = self._time.seconds()
        self._order.append(trace)
        self._count()

    def _taken(self, trace: str) -> None:
        if self._owed.pop(trace, None) is not None:
            self.delivered += 1

    def _count(self) -> None:
        """See which calls are missed by now; the oldest stand first."""
        latest = self._time.seconds() - _MISSED
        while self._order:
            placed = self._owed.get(self._order[0])
            if placed is not None:
                if placed > latest:
                    return
                del self._owed[self._order[0]]
                self.missed += 1
                self._write("A call was missed.")
            self._order.popleft()

    def _kill(self) -> None:
        names = self._cluster.names
        name = names[self._turn % len(names)]
        self._turn += 1
        self._cluster.kill(name)
        self._killed = name, self._time.seconds()
        self._write(f"{name} was killed: kill -9")
        again = self._time.callLater(_DOWN, self._startMember, name)
        self._loops.append(_Once(again))

    async def _look(self) -> None:
        with suppress(DatabaseFailed):
            self._status = await self._cluster.status()
        if self._killed is None:
            return
        name, at = self._killed
        states = {m["name"]: m["state"] for m in self._status["members"]}
        if states.get(name) != "live" and not self._status["waiting"]:
            self._killed = None
            seconds = self._time.seconds() - at
            self._write(f"After {seconds:.0f} s others have all places of {name}.")

    def lines(self) -> list[str]:
        """How it is right now."""
        members = [
            f"{m['name']:<12} {m['state']:<9} {m['places']:>5} places {m['connected']:>5} connected"
            for m in self._status["members"]
        ]
        return [
            *members,
            f"{self.placed:,} calls placed, {self.delivered:,} delivered, "
            f"{len(self._owed):,} under way, {self.missed:,} missed, {self.repeated:,} repeated",
        ]


class _Once:
    """A delayed call that is stopped as a loop is."""

    def __init__(self, call: Any) -> None:
        self._call = call

    @property
    def running(self) -> bool:
        return bool(self._call.active())

    def stop(self) -> None:
        self._call.cancel()
