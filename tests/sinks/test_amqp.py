"""
Calls to an AMQP broker: what it may say, one after the other.
"""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import CallRecord, SinkContext, amqp_channel, testing
from iris_twisted.sinks.amqp import AmqpSinks

from ..doubles import DriftingClock
from ..network import NetworkCase
from .doubles import AmqpBroker


class TestAmqp(testing.SinkConformance):
    """What every sink promises, with a broker that says what is expected."""

    provider = AmqpSinks()
    wrongArguments = (
        "amqp://127.0.0.1/",
        "amqp://127.0.0.1/?exchange=",
        "amqp://127.0.0.1/?exchange=e&routing-key={room}",
        "amqp://127.0.0.1/?exchange=e&declare=maybe",
        "amqp://127.0.0.1/?exchange=&routing-key=q&declare=topic",
        "amqp://127.0.0.1/?exchange=e&heartbeat=no",
        "amqp://127.0.0.1/?exchange=e&timeout=0",
        "amqp://iris@127.0.0.1/?exchange=e",
        "amqp://127.0.0.1/?exchange=" + "e" * 256,
    )

    async def place(self) -> str:
        self.broker = AmqpBroker(reactor)
        await self.broker.start()
        self.addCleanup(self.broker.stop)
        self.broker.outcome = self.kind
        self.held = ""
        return f"amqp://127.0.0.1:{self.broker.port}/?exchange=calls&timeout=5"

    def kind(self, routingKey: str) -> str:
        if routingKey.endswith(".poison"):
            return "return"
        return "hold" if self.held and self.held in routingKey else "ack"

    async def arrived(self, count: int) -> list[Any]:
        return [
            json.loads(body)
            for method, _, body in self.broker.messages
            if self.kind(method.routing_key) != "return"
        ]

    async def poison(self) -> CallRecord:
        return self.record(type="poison")

    async def hold(self, record: CallRecord) -> None:
        self.held = record.account

    async def release(self) -> None:
        self.held = ""
        self.broker.acknowledgeAll()

    async def forbid(self) -> None:
        self.broker.credentials = (b"guest", b"another")

    async def permit(self) -> None:
        self.broker.credentials = (b"guest", b"guest")

    async def wrongPlaces(self) -> list[str]:
        place = f"amqp://127.0.0.1:{self.broker.port}"
        return [
            f"{place}/?exchange=nowhere",
            f"{place}/?exchange=&routing-key=nowhere",
            f"{place}/nowhere?exchange=calls",
        ]

    async def takeAway(self) -> None:
        await self.broker.stop()

    async def bringBack(self) -> None:
        await self.broker.start()


class Answers(NetworkCase):
    """What the broker says."""

    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def context(self) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None)

    async def broker_(self) -> AmqpBroker:
        broker = AmqpBroker(reactor)
        await broker.start()
        self.addCleanup(broker.stop)
        return broker

    def sink(self, port: int, rest: str = "exchange=calls", host: str = "") -> Any:
        sink: Any = AmqpSinks().make(f"amqp://127.0.0.1:{port}/{host}?{rest}", self.context())
        self.addCleanup(sink.stop)
        return sink

    async def outcomes(self, *taking: Deferred[None]) -> list[Any]:
        """What became of each: C{None}, or the error."""
        caught = [d.addErrback(lambda failure: failure.value) for d in taking]
        return await gatherResults(caught)

    async def test_nack(self) -> None:
        """A call that the broker could not keep is tried again."""
        broker = await self.broker_()
        broker.outcome = lambda _: "nack"
        sink, record = self.sink(broker.port), self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(record)
        self.assertNotIsInstance(caught.exception, SinkRefused)
        self.assertIn("could not keep the call (basic.nack)", caught.exception.message)
        broker.outcome = lambda _: "ack"
        await sink.take(record)

    async def test_returnsAmongAcknowledged(self) -> None:
        """One acknowledgement for several: those that came back are refused, no others."""
        broker = await self.broker_()
        broker.outcome = lambda key: "hold and return" if "cancel" in key else "hold"
        sink = self.sink(broker.port)
        await sink.check()
        kinds = ("notify", "cancel", "notify", "cancel", "cancel", "notify")
        taking = [sink.take(self.record(type=kind)) for kind in kinds]
        await self.until(lambda: len(broker.messages) == len(kinds))
        broker.acknowledgeAll()
        found = await self.outcomes(*taking)
        for kind, outcome in zip(kinds, found, strict=True):
            if kind == "cancel":
                self.assertIsInstance(outcome, SinkRefused)
            else:
                self.assertIsNone(outcome)

    async def test_blocked(self) -> None:
        """While the broker is blocked nothing is sent to it; then what waits is."""
        broker = await self.broker_()
        sink = self.sink(broker.port, "exchange=calls&timeout=1")
        broker.outcome = lambda _: "block"
        first = sink.take(self.record())
        await self.until(lambda: len(broker.messages) == 1)
        (error,) = await self.outcomes(first)
        self.assertIn("is blocked by the broker (low on memory)", error.message)
        self.assertIs(type(error), NotTaken)
        waiting = [sink.take(self.record()) for _ in range(5)]
        self.assertEqual(len(broker.messages), 1)
        broker.unblock()
        self.assertEqual(await self.outcomes(*waiting), [None] * 5)
        self.assertEqual(len(broker.messages), 6)
        # And when it goes away instead.
        broker.outcome = lambda _: "block"
        await self.outcomes(sink.take(self.record()))
        lost = sink.take(self.record())
        await broker.stop()
        (error,) = await self.outcomes(lost)
        self.assertIn("lost its connection", error.message)

    async def test_lostWhileBlocked(self) -> None:
        """What is given in the moment when the connection is lost waits for the next one."""
        broker = await self.broker_()
        sink = self.sink(broker.port, "exchange=calls&timeout=20")
        broker.outcome = lambda _: "block"
        # Sent already, and held back.
        taking = [sink.take(self.record())]
        await self.until(lambda: broker.messages and sink._kept._connection.blocked)
        taking += [sink.take(self.record()) for _ in range(2)]
        # As the outbox does.
        next = [d.addErrback(lambda _: sink.take(self.record())) for d in taking]
        await broker.stop()
        for error in await self.outcomes(*next):
            self.assertIn("lost its connection", error.message)
            self.assertIsNotNone(error.retryAfter)

    async def test_unconfirmed(self) -> None:
        """What is not confirmed in time is sent again, on another connection."""
        broker = await self.broker_()
        broker.outcome = lambda _: "hold"
        sink, record = self.sink(broker.port, "exchange=calls&timeout=0.2"), self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(record)
        self.assertIn("did not confirm the call within 0.2 seconds", caught.exception.message)
        await self.until(lambda: not broker.open)
        broker.outcome = lambda _: "ack"
        await self.takenAgain(sink, record)  # type: ignore[arg-type]
        self.assertEqual([p.message_id for _, p, _ in broker.messages], [record.key] * 2)

    async def test_channelClosed(self) -> None:
        """A channel that the broker closes is told with its reason, and opened again."""
        broker = await self.broker_()
        broker.outcome = lambda _: "refuse"
        sink, record = self.sink(broker.port), self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(record)
        self.assertIn("403 ACCESS_REFUSED - no write access", caught.exception.message)
        broker.outcome = lambda _: "ack"
        await self.takenAgain(sink, record)  # type: ignore[arg-type]

    async def test_longHeaders(self) -> None:
        """What fits no frame is refused, and cuts off nobody else's calls."""
        broker = await self.broker_()
        sink = self.sink(broker.port, "exchange=calls&routing-key=all")
        (error,) = await self.outcomes(sink.take(self.record(type="x" * 140_000)))
        self.assertIsInstance(error, SinkRefused)
        self.assertIn("the headers would be longer than 65536 bytes", error.message)
        self.assertEqual(broker.messages, [])
        await sink.take(self.record(type="x" * 60_000))

    async def test_nothingStays(self) -> None:
        """Of a connection that was lost with calls under way nothing stays in memory."""
        broker = await self.broker_()
        broker.outcome = lambda _: "hold"
        sink = self.sink(broker.port)
        await sink.check()
        channel = weakref.ref(await sink._kept.get())
        taking = [sink.take(self.record()) for _ in range(8)]
        await self.until(lambda: len(broker.messages) == 8)
        await broker.stop()
        errors = await self.outcomes(*taking)
        self.assertEqual({type(error) for error in errors}, {NotTaken})
        del errors, taking
        await self.until(lambda: gc.collect() >= 0 and channel() is None)

    async def test_heartbeats(self) -> None:
        """They go out in time while the wall clock is set back."""
        clock, beats = DriftingClock(), list[int]()
        clock.callFromThread = None  # type: ignore[attr-defined]
        amqp_channel._SteadyReactor(clock).callLater(5.0, beats.append, 1)
        clock.jump(-3600)
        clock.advance(5)
        self.assertEqual(beats, [1])

    async def test_mistakes(self) -> None:
        """What somebody has to change, told at the start; a call waits for it."""
        broker = await self.broker_()
        password = Path(self.mktemp()).absolute()
        password.write_text("wrong-CANARY\n")
        for rest, host, words in (
            (f"exchange=calls&password-file={password}", "", "refused the user 'guest'"),
            ("exchange=calls", "other", "into the virtual host 'other'"),
            ("exchange=none", "", "404 NOT_FOUND - no exchange 'none'"),
            ("exchange=&routing-key=none", "", "404 NOT_FOUND - no queue 'none'"),
        ):
            sink = self.sink(broker.port, rest, host)
            with self.assertRaises(IncorrectParameters) as caught:
                await sink.check()
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
            with self.assertRaises(NotTaken) as late:
                await sink.take(self.record())
            self.assertIn(words, late.exception.message)

    async def test_declarations(self) -> None:
        """What is declared, and what is only asked for."""
        broker = await self.broker_()
        for rest, exchanges in (
            ("exchange=new&declare=none", {"calls"}),
            ("exchange=new&declare=fanout", {"calls", "new"}),
            ("exchange=new", {"calls", "new"}),
            ("exchange=&routing-key=calls", {"calls", "new"}),
            ("exchange=&routing-key={account}", {"calls", "new"}),
        ):
            await self.sink(broker.port, rest).check()
            self.assertEqual(set(broker.exchanges), exchanges)
        self.assertEqual(broker.exchanges["new"], "fanout")

    async def test_notAmqp(self) -> None:
        """Something else that listens there is told as that."""

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()

        factory = Factory.forProtocol(Other)
        factory.noisy = False
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        sink = self.sink(port.getHost().port, "exchange=calls&timeout=2")
        (error,) = await self.outcomes(sink.check())
        self.assertIsInstance(error, (NotTaken, IncorrectParameters))
        self.assertIn(f"amqp:amqp://127.0.0.1:{port.getHost().port}", error.message)
