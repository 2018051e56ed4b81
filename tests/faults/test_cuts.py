"""
A network that cuts, resets, half-closes, swallows, delays and slices.
"""

from __future__ import annotations

import gc
import random
from itertools import pairwise
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from iris_twisted import IrisRtcConnection
from iris_twisted.connection.state import ConnectionState
from iris_twisted.sandbox import Sandbox
from iris_twisted.xmpp.jids import _prepared

from ..doubles import FixedDelay
from ..network import RID, NetworkCase
from .proxy import DOWN, UP, Fault, Proxy

# What the contract allows after onConnected, however often the network breaks.
ALLOWED = {
    "onConnected": {"onDisconnected"},
    "onDisconnected": {"onReconnecting"},
    "onReconnecting": {"onConnected"},
}


class FaultCase(NetworkCase):
    """Through the proxy to the sandbox."""

    timeout = 600

    async def through(self, **settings: Any) -> tuple[Sandbox, Proxy, IrisRtcConnection]:
        sandbox = await self.sandbox()
        proxy = await Proxy(reactor, int(sandbox.url.rpartition(":")[2])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(proxy.stop()))
        connection = self.connection(
            **{"retryPolicy": FixedDelay(0.0), "stableAfter": 0, **settings}
        )
        token = sandbox.token(RID)
        await connection.connect(token, RID, f"http://127.0.0.1:{proxy.port}")
        await self.settled(connection)
        return sandbox, proxy, connection

    async def settled(self, connection: IrisRtcConnection) -> None:
        """Wait until the connection is up, and its session could be resumed."""

        def resumable() -> bool:
            self.assertNotIn("onConnectionError", self.recorder.names())
            alive = connection.isConnectionAlive()
            return alive and bool(connection._driver._link.session.resumption)

        await self.until(resumable)

    async def ring(self, sandbox: Sandbox, connection: IrisRtcConnection) -> None:
        """Place a call, and wait until it is acknowledged on a live connection."""
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged")
        await self.settled(connection)

    def assertCallbacks(self, sandbox: Sandbox) -> None:
        """Only what the contract allows; and each call once, in order."""
        names = [n for n in self.recorder.names() if n != "onNotification"]
        for before, after in pairwise(names):
            self.assertIn(after, ALLOWED[before])
        rooms = [info["roomid"] for (info,) in self.recorder.of("onNotification")]
        self.assertEqual(rooms, [c.info["roomid"] for c in sandbox.platform.calls.values()])
        self.recorder.calls = [("onConnected",)]
        sandbox.platform.calls.clear()


class Cuts(FaultCase):
    """Cut, swallowed, sliced."""

    async def everyByte(self, direction: str, how: str, step: int = 1) -> None:
        sandbox, proxy, connection = await self.through()
        # A good session: back from a loss, with a call.
        proxy.fault = Fault()
        sandbox.drop()
        await self.ring(sandbox, connection)
        self.assertCallbacks(sandbox)
        length = proxy.fault.passed[direction]
        self.assertGreater(length, 1000)
        happened = 0
        for position in range(0, length, step):
            proxy.fault = Fault(direction, position, how)
            sandbox.drop()
            await self.ring(sandbox, connection)
            happened += proxy.fault.happened
            self.assertCallbacks(sandbox)
        # The lengths of two sessions differ by a few bytes of random ids.
        self.assertGreater(happened, 0.9 * length / step)
        self.assertEqual(connection.stats.callbackErrors, 0)

    async def test_everyByteDown(self) -> None:
        """Cut at every byte from the server: reconnected, and each call arrives once."""
        await self.everyByte(DOWN, "reset")

    async def test_everyByteUp(self) -> None:
        """Cut at every byte to the server."""
        await self.everyByte(UP, "reset")

    async def test_halfClose(self) -> None:
        """The same with an orderly end of the socket, at every seventh byte."""
        for direction in (UP, DOWN):
            await self.everyByte(direction, "half-close", 7)

    async def test_blackhole(self) -> None:
        """A network that swallows everything from some byte on: at each step, found out."""
        settings = {"pingInterval": 0.02, "pingTimeout": 0.08, "connectTimeout": 0.2}
        sandbox, proxy, connection = await self.through(**settings)
        for position in range(0, 3000, 400):
            lost = self.next("onDisconnected")
            sandbox.drop()
            await lost
            proxy.fault = Fault(DOWN, position, "blackhole")
            await self.until(lambda: proxy.fault.happened)
            # The client gives up what says nothing more, by itself.
            self.recorder.calls.clear()
            await self.until(lambda: "SDK_WebSocketServerReconnecting" in self.recorder.states())
            proxy.fault = Fault()
            proxy.cut()
            await self.settled(connection)
            await self.ring(sandbox, connection)

    async def test_slices(self) -> None:
        """Every byte on its own, and late."""
        sandbox, proxy, connection = await self.through()
        proxy.fault = Fault(slices=True, delay=0.001)
        sandbox.drop()
        await self.ring(sandbox, connection)
        self.assertCallbacks(sandbox)


class Drops(FaultCase):
    """Cut at random, under load."""

    async def test_everyCallOnce(self) -> None:
        """Over 50 drops, 1,000 calls arrive exactly once, in order, and are acknowledged."""
        sandbox, proxy, connection = await self.through()
        chance = random.Random(7)
        drops = set(chance.sample(range(1, 1000), 50))
        for number in range(1000):
            sandbox.placeCall(RID, room=f"room-{number}")
            if number in drops:
                # In the middle of what is on its way, in either direction.
                for _ in range(chance.randrange(8)):
                    await deferLater(reactor, 0)
                await self.settled(connection)
                back = self.next("onConnected")
                proxy.cut()
                await back
        calls = sandbox.platform.calls.values()
        await self.until(lambda: all(call.state == "acknowledged" for call in calls))
        rooms = [info["roomid"] for (info,) in self.recorder.of("onNotification")]
        self.assertEqual(rooms, [f"room-{n}" for n in range(1000)])
        self.assertEqual(connection.stats.reconnects, 50)
        self.assertNotIn("SDK_SessionNotResumed", self.recorder.states())


class Leaks(FaultCase):
    """Contract promise 17, over and over."""

    async def reconnect(self, sandbox: Sandbox, connection: IrisRtcConnection, times: int) -> None:
        for _ in range(times):
            back = self.next("onConnected")
            sandbox.drop()
            await back
            if sandbox.platform.streamManagement:
                await self.settled(connection)
            self.recorder.calls.clear()

    @staticmethod
    def things(sandbox: Sandbox) -> tuple[int, int, int]:
        """How many objects there are, besides what the sandbox and a bounded cache keep."""
        sandbox.platform._websocketTokens.clear()
        _prepared.cache_clear()
        gc.collect()
        timers, readers = reactor.getDelayedCalls(), reactor.getReaders()  # type: ignore[attr-defined]
        return len(gc.get_objects()), len(timers), len(readers)

    async def test_reconnects(self) -> None:
        """2,000 reconnects leave no more objects, timers and sockets than 100 do."""
        for resuming, times in ((True, 2000), (False, 500)):
            sandbox = await self.sandbox()
            sandbox.platform.streamManagement = resuming
            connection = self.connection(retryPolicy=FixedDelay(0.0), stableAfter=0)
            await connection.connect(sandbox.token(RID), RID, sandbox.url)
            if resuming:
                await self.settled(connection)
            await self.reconnect(sandbox, connection, 100)
            objects, timers, readers = self.things(sandbox)
            await self.reconnect(sandbox, connection, times - 100)
            after = self.things(sandbox)
            self.assertLess(after[0], objects + 200)
            self.assertEqual(after[1:], (timers, readers))
            self.assertIs(connection.state, ConnectionState.CONNECTED)
            await connection.close()
