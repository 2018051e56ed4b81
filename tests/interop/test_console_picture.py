"""
The picture of the console that the documentation shows: half an hour of five accounts, in some
seconds. Where C{IRIS_ARTEFACTS} names a folder it stays there, as C{picture-light.png}.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from iris_twisted.console import CallHistory, consoleRoot
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.fleet.fleet import IrisFleet
from iris_twisted.net.steady_time import wallSeconds
from iris_twisted.sandbox.records import Call

from ..console.refusing import RefusingOutbox
from .test_console import ConsoleCase

ACCOUNTS = [
    f"{name}@example.com" for name in ("reception", "warehouse", "night-desk", "lobby", "workshop")
]
LOST, AWAY = ACCOUNTS[2], ACCOUNTS[1]
CALLERS = (
    ("+12155550142", "office@example.org"),
    ("+442079460958", "taxi@example.org"),
    ("+12155550100", "grandma@example.org"),
    ("+493023125000", "front-door@example.org"),
)
# So many times something happens, each half a minute after the last one.
_TICKS = 60
_TICK = 0.2
_SHOWN = 30.0
_LOST, _AWAY = 25, 48
# The picture is part of the repository and of a page.
_LARGEST = 200 * 1024


class Hastened(CallHistory):
    """
    Its dates run faster, and are right in the end.

    @ivar ticks: how often something has happened.
    """

    ticks = 0

    def __init__(self, clock: Any) -> None:
        self._ends = wallSeconds(clock)
        super().__init__(clock)

    def now(self) -> float:
        return self._ends - (_TICKS - self.ticks) * _SHOWN


class Picture(ConsoleCase):
    """It shows what there is to see."""

    async def begin(self) -> str:
        """The URL of a console of accounts that are connected."""
        self.box = sandbox = await self.sandbox()
        self.refusing = await RefusingOutbox.start(self)
        fleet = IrisFleet(sandbox.url, reactor=reactor, pingInterval=0.2)
        self.callHistory = Hastened(reactor)
        for routingId in ACCOUNTS:
            history = self.callHistory.open(routingId)
            service = fleet.add(routingId, sandbox.token(routingId, 10_000.0), history)
            history.connection = service.connection
        fleet.startService()
        self.addCleanup(fleet.stopService)
        root = consoleRoot(reactor, self.callHistory, fleet, outbox=lambda: self.refusing.outbox)
        site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        url = await site.listen()
        self.addCleanup(site.stop)
        await self.until(lambda: len(sandbox.sessions) == len(ACCOUNTS))
        return url

    def lose(self, account: str) -> None:
        """Its connection is cut."""
        (session,) = [s for s in self.box.sessions if s.routingId == account]
        session.abort()

    def end(self, call: Call, rejected: bool) -> None:
        """A call is over."""
        connection = self.callHistory.accounts[call.to].connection
        if rejected and connection is not None and connection.isConnectionAlive():
            connection.rejectSession(call.info)
        else:
            self.box.cancelCall(call.id)

    def happen(self) -> None:
        """What happens in half a minute."""
        self.callHistory.ticks += 1
        tick, chosen = self.callHistory.ticks, self.random
        for history in self.callHistory.accounts.values():
            history.sample()
        if chosen.random() < 0.6 or tick == _TICKS:
            number, sender = chosen.choice(CALLERS)
            # To the one that is away nobody comes through.
            to = chosen.choice([a for a in ACCOUNTS if a != AWAY or tick < _AWAY])
            self.ringing.append(self.box.placeCall(to, caller=number, sender=sender))
        if len(self.ringing) > 3:
            self.end(self.ringing.pop(0), chosen.random() < 0.3)
        if tick == _LOST:
            self.lose(LOST)
        if tick == _AWAY:
            self.box.platform.dialects = ()
            self.lose(AWAY)
        if tick >= _TICKS:
            self.happening.stop()

    async def test_picture(self) -> None:
        """Calls that ring and are over, pings, an account that was lost and one that is reconnecting."""
        url = await self.begin()
        await self.browse(url)
        await self.do("size", 1280, 720)
        self.random = random.Random(7)
        self.ringing: list[Call] = []
        self.happening: Any = LoopingCall(self.happen)
        self.addCleanup(lambda: self.happening.running and self.happening.stop())
        ending = self.happening.start(_TICK)
        await ending
        await self.do("until", "article .state.reconnecting")
        await self.do("until", "#calls button:visible")
        await self.do("until", "#calls tr.over span:text-is('rejected')")
        await self.do("until", "#calls tr.over span:text-is('ended')")
        for scheme in ("dark", "light"):
            path = await self.shot("picture", scheme)
        self.assertLess(Path(path).stat().st_size, _LARGEST)
        await self.well()
