"""
asyncio programs, on loops of their own, against the sandbox.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import IsolatedAsyncioTestCase

from twisted.internet.threads import deferToThreadPool
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import IrisListener, aio
from iris_twisted.aio.calls import CallIterator, CallQueue
from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import (
    ConnectionFailed,
    IncorrectParameters,
    InvalidState,
    NotConnected,
    NotKept,
    TokenRefused,
)
from iris_twisted.net.limits import Limits
from iris_twisted.sandbox import Sandbox, startSandbox

RID = "alice@sandbox.test"


class AsyncioCase(IsolatedAsyncioTestCase):
    """A loop for each test; each ends within a minute, and leaves nothing of ours on it."""

    platform: Sandbox

    async def asyncSetUp(self) -> None:
        loop = asyncio.get_running_loop()
        # The sandbox has a reactor of its own, so that every timer on ours is the client's.
        self.platform = await startSandbox(aio.LoopReactor(loop)).asFuture(loop)
        self.addAsyncCleanup(lambda: self.platform.stop().asFuture(loop))
        self.reactor = aio.loopReactor()
        await self.enterAsyncContext(asyncio.timeout(60))
        self.addAsyncCleanup(self.nothingLeft)

    async def nothingLeft(self) -> None:
        await self.until(lambda: not self.platform.sessions)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual([*self.reactor.getReaders(), *self.reactor.getWriters()], [])

    def connect(self, **keywords: Any) -> aio.AsyncioConnection:
        token = self.platform.token(RID)
        return aio.connect(token, RID, self.platform.url, **keywords)

    async def until(self, condition: Any) -> None:
        """Turns of the loop, until it is so: for what the other side does."""
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Calls(AsyncioCase):
    """C{async for call in connection.calls()}."""

    async def test_acknowledgedWhenTheNextIsAskedFor(self) -> None:
        """What is in hand is not acknowledged; what was before it is."""
        async with self.connect() as connection:
            calls = [self.platform.placeCall(RID, room=f"r{n}") for n in range(3)]
            seen = []
            async for call in connection.calls():
                seen.append(call.room)
                if len(seen) == 3:
                    break
            await self.until(lambda: calls[1].state == "acknowledged")
            self.assertEqual(seen, ["r0", "r1", "r2"])
            states = [call.state for call in calls]
            self.assertEqual(states, ["acknowledged", "acknowledged", "ringing"])
            call.acknowledge()
            call.acknowledge()
            await self.until(lambda: calls[2].state == "acknowledged")

    async def test_crash(self) -> None:
        """A program that crashes acknowledges nothing that it did not have done with."""
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            async with self.connect() as connection:
                call = self.platform.placeCall(RID)
                async for _ in connection.calls():
                    raise ZeroDivisionError("mine")
        await self.until(lambda: not self.platform.sessions)
        self.assertEqual(call.state, "ringing")

    async def test_reject(self) -> None:
        """A call knows who calls, and is rejected; one that is over cannot be."""
        async with self.connect() as connection:
            placed = self.platform.placeCall(RID, sender="bob@example.com", caller="+1", room="r")
            call = await anext(connection.calls())
            told = call.type, call.caller, call.number, call.room, repr(call)
            shown = "<Call notify from bob@example.com for r>"
            self.assertEqual(told, ("notify", "bob@example.com", "+1", "r", shown))
            await call.reject()
            self.assertEqual(placed.state, "rejected")
            self.platform.cancelCall(placed.id)
            cancel = await anext(connection.calls())
            self.assertEqual((cancel.type, cancel.room), ("cancel", "r"))
            self.platform.platform.calls.clear()
            with self.assertRaisesRegex(Exception, "item-not-found"):
                await connection.reject(call.info)
        with self.assertRaises(NotConnected):
            await call.reject()

    async def test_backPressure(self) -> None:
        """
        A slow loop stops the reading; rejecting goes on all the same; in the end every call
        came once, in order.
        """
        async with self.connect(limits=Limits(unanswered=4)) as connection:
            placed = [self.platform.placeCall(RID, room=f"r{n}") for n in range(30)]
            rooms = []
            async for call in connection.calls():
                rooms.append(call.room)
                unanswered = sum(p.state == "ringing" for p in placed)
                self.assertGreaterEqual(unanswered, 30 - len(rooms))
                await call.reject()
                if len(rooms) == len(placed):
                    break
            self.assertEqual(rooms, [p.info["roomid"] for p in placed])
            await self.until(lambda: all(p.state == "rejected" for p in placed))

    async def test_refused(self) -> None:
        """What the program cannot keep is told to the platform, as an error."""
        async with self.connect() as connection:
            placed = self.platform.placeCall(RID)
            call = await anext(connection.calls())
            call.refuse(NotKept("the disk is full"))
            call.acknowledge()
            call.refuse(NotKept("again"))
            await self.until(lambda: connection.connection.stats.callbackErrors == 1)
            self.assertEqual(placed.state, "ringing")

    async def test_severalTasks(self) -> None:
        """Several tasks share the calls: each gets what no other has; all end with the close."""
        got: list[list[str]] = [[], [], []]

        async def work(connection: aio.AsyncioConnection, mine: list[str]) -> None:
            async for call in connection.calls():
                mine.append(call.room)
                await asyncio.sleep(0)

        async with self.connect() as connection, asyncio.TaskGroup() as group:
            for mine in got:
                group.create_task(work(connection, mine))
            placed = [self.platform.placeCall(RID, room=f"r{n}") for n in range(9)]
            await self.until(lambda: all(p.state == "acknowledged" for p in placed))
            await connection.close()
        self.assertEqual(sorted(room for mine in got for room in mine), [f"r{n}" for n in range(9)])
        self.assertTrue(all(got))

    async def test_throughALoss(self) -> None:
        """The iteration goes on through a reconnect."""
        async with self.connect() as connection:
            calls = connection.calls()
            self.platform.placeCall(RID, room="before")
            self.assertEqual((await anext(calls)).room, "before")
            self.platform.drop()
            self.platform.placeCall(RID, room="meanwhile")
            self.assertEqual((await anext(calls)).room, "meanwhile")
            self.assertEqual(connection.connection.stats.reconnects, 1)


class Endings(AsyncioCase):
    """Every way out closes."""

    async def test_cancelledWhileIterating(self) -> None:
        """Cancelling the task closes the connection before the task ends."""

        entered: asyncio.Future[aio.AsyncioConnection] = asyncio.Future()

        async def program() -> None:
            async with self.connect() as connection:
                entered.set_result(connection)
                async for _ in connection.calls():
                    pass

        task = asyncio.create_task(program())
        connection = await entered
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(connection.state, ConnectionState.DISCONNECTED)
        self.assertIsNone(connection.jid)
        self.assertEqual(repr(connection), "<AsyncioConnection disconnected>")

    async def test_cancelledWhileConnecting(self) -> None:
        """At every step of connecting the task can be cancelled, and nothing is left."""
        for step in ("discovery", "upgrade", "stream", "sasl", "bind"):
            self.platform.hang(step)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.2):
                    async with self.connect():
                        self.fail("it hangs")
            self.platform.platform.hanging.clear()
            await self.nothingLeft()

    async def test_cancelledWhileClosing(self) -> None:
        """Who is cancelled while it closes is cancelled when it is closed."""
        connection = self.connect()
        await connection.__aenter__()
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        closing.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await closing
        self.assertEqual(await connection.close(), None)
        await self.until(lambda: not self.platform.sessions)

    async def test_gaveUp(self) -> None:
        """When the connection ends for good, the loop raises why, after what had come."""
        async with self.connect(giveUpAfter=0.2) as connection:
            self.platform.placeCall(RID, room="last")
            await self.until(lambda: connection.connection.stats.notifications)
            self.platform.answerDiscovery(500, b"<html>")
            self.platform.drop("close")
            calls = connection.calls()
            await self.until(lambda: connection.state is ConnectionState.DISCONNECTED)
            self.assertEqual((await anext(calls)).room, "last")
            for _ in range(2):
                with self.assertRaises(ConnectionFailed):
                    await anext(calls)
            self.platform.platform.answer = None

    async def test_refusedToken(self) -> None:
        """A first connect that fails raises what connect() fails with."""
        token = self.platform.token(RID, lifetime=-1)
        with self.assertRaises(TokenRefused):
            async with aio.connect(token, RID, self.platform.url):
                self.fail("it is refused")

    async def test_outOfTurn(self) -> None:
        """Before and after its time it says so; it is entered once."""
        connection = self.connect()
        for early in (connection.updateToken, lambda: connection._up("x")):
            with self.assertRaisesRegex(InvalidState, "use async with"):
                early()
        with self.assertRaises(InvalidState):
            await connection.reject({})
        self.assertEqual((connection.jid, connection.isAlive), (None, False))
        await connection.close()
        with self.assertRaises(StopAsyncIteration):
            await anext(connection.calls())
        async with connection:
            self.assertTrue(connection.isAlive)
            with self.assertRaisesRegex(InvalidState, "entered once"):
                await connection.__aenter__()

    async def test_wrongArguments(self) -> None:
        """A wrong keyword raises at once, and names itself."""
        for keywords in ({"iqTimeout": -1}, {"tokenProvider": 5}):
            with self.assertRaisesRegex(IncorrectParameters, next(iter(keywords))):
                self.connect(**keywords)
        with self.assertRaisesRegex(IncorrectParameters, "listener"):
            async with self.connect(listener=object()):
                self.fail("that is no listener")


class Callbacks(AsyncioCase):
    """The other callbacks, and the token provider, are asyncio's."""

    async def test_coroutines(self) -> None:
        """Each may be a coroutine function that awaits what only asyncio knows."""
        told: list[str] = []

        class Telling(IrisListener):
            async def onConnected(self) -> None:
                await asyncio.sleep(0)
                told.append("connected")

            async def onDisconnected(self) -> None:
                await asyncio.sleep(0)
                told.append("disconnected")

            async def onReconnecting(self) -> None:
                await asyncio.sleep(0)
                told.append("reconnecting")

            async def onEvent(self, event: dict[str, Any]) -> None:
                await asyncio.sleep(0)

            async def onTokenAboutToExpire(self, secondsLeft: float) -> None:
                await asyncio.sleep(0)
                told.append("token")

            async def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
                await asyncio.sleep(0)
                told.append(str(errorCode))

        async def another() -> str:
            await asyncio.sleep(0)
            told.append("provider")
            return self.platform.token(RID)

        token = self.platform.token(RID, lifetime=2)
        async with aio.connect(
            token, RID, self.platform.url, listener=Telling(), tokenProvider=another
        ) as connection:
            await self.until(lambda: "provider" in told)
            connection.updateToken(self.platform.token(RID))
            self.platform.drop("close")
            await self.until(lambda: told.count("connected") == 2)
        await self.until(lambda: told.count("disconnected") == 2)
        self.assertEqual(connection.connection.stats.callbackErrors, 0)
        with self.assertRaises(ConnectionFailed):
            async with aio.connect("t", RID, "http://127.0.0.1:1", listener=Telling()):
                self.fail("nobody listens there")
        await self.until(lambda: "-106" in told)
        self.assertLess(told.index("disconnected"), told.index("reconnecting"))
        self.assertIn("token", told)


class Queue(IsolatedAsyncioTestCase):
    """The queue by itself."""

    async def test_wokenAndCancelled(self) -> None:
        """A task that is cancelled in the turn in which its call came leaves it to the next."""

        async def reject(info: dict[str, Any]) -> None:
            raise AssertionError

        queue = CallQueue(reject)
        first, second = (asyncio.create_task(queue.next()) for _ in range(2))
        await asyncio.sleep(0)
        queue.put({"roomid": "r"})
        first.cancel()
        self.assertEqual((await second).room, "r")
        with self.assertRaises(asyncio.CancelledError):
            await first
        third = asyncio.create_task(queue.next())
        await asyncio.sleep(0)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        queue.put({"roomid": "s"})
        self.assertEqual((await anext(CallIterator(queue))).room, "s")
        queue.end(None)
        queue.end(InvalidState("too late"))
        with self.assertRaises(StopAsyncIteration):
            await queue.next()


class Loops(SynchronousTestCase):
    """Programs one after the other, and at the same time, each with a loop of its own."""

    def test_oneAfterTheOther(self) -> None:
        """asyncio.run() twice in a process, with TLS: each loop has what it needs."""
        for _ in range(2):
            self.assertEqual(asyncio.run(self.ring(tls=True)), "rejected")

    def test_inAThread(self) -> None:
        """A loop in a thread works as well as one in the main thread."""
        states: list[str] = []
        thread = threading.Thread(target=lambda: states.append(asyncio.run(self.ring())))
        thread.start()
        thread.join(60)
        self.assertEqual(states, ["rejected"])

    async def ring(self, **options: Any) -> str:
        async with aio.sandbox(**options) as platform:
            # A name, not an address: it has to be looked up, which takes a thread.
            url = platform.url.replace("127.0.0.1", "localhost")
            async with aio.connect(
                platform.token(RID), RID, url, trustRoot=platform.caFile
            ) as connection:
                placed = platform.placeCall(RID)
                await (await anext(connection.calls())).reject()
                return placed.state

    def test_reactor(self) -> None:
        """A loop has one reactor while somebody uses it; loops that ended have none."""

        @asynccontextmanager
        async def descriptors() -> AsyncIterator[None]:
            with socket.socket() as probe:
                before = probe.fileno()
            yield
            gc.collect()
            with socket.socket() as probe:
                self.assertEqual(probe.fileno(), before)

        async def main() -> None:
            async with descriptors():
                reactor = aio.loopReactor()
                self.assertIs(aio.loopReactor(asyncio.get_running_loop()), reactor)
                pool = reactor.getThreadPool()
                loop = asyncio.get_running_loop()
                named = await deferToThreadPool(reactor, pool, threading.current_thread).asFuture(
                    loop
                )
                self.assertIsNot(named, threading.current_thread())
                with self.assertRaises(ZeroDivisionError):
                    await deferToThreadPool(reactor, pool, lambda: 1 // 0).asFuture(loop)
                done = asyncio.Event()
                reactor.callInThread(lambda: reactor.callFromThread(done.set))
                await done.wait()

        asyncio.run(main())
        with self.assertRaises(RuntimeError):
            aio.loopReactor()
