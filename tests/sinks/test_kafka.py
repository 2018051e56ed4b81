"""
Calls to Kafka: librdkafka's own mock cluster, over sockets.
"""

from __future__ import annotations

import gc
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import trustme
from cloudevents.core.bindings import kafka
from confluent_kafka import KafkaError
from hypothesis import core
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, eventAsText

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import CallRecord, SinkContext, kafka_producer, testing
from iris_twisted.sinks.formats import formatNamed
from iris_twisted.sinks.kafka import KafkaSinks
from iris_twisted.sinks.kafka_settings import readSettings
from iris_twisted.sinks.leftovers import held

from ..network import NetworkCase
from .kafka_cluster import PRODUCE, KafkaCluster

# What brokers may answer, and another attempt may cure.
ERRORS = (
    0,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.LISTENER_NOT_FOUND,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.INVALID_MSG,
    KafkaError.UNKNOWN,
)
SECRET = "password-of-kafka-CANARY"


class TestKafka(testing.SinkConformance):
    """What every sink promises."""

    provider = KafkaSinks()
    secrets = (SECRET,)

    def setUp(self) -> None:
        super().setUp()
        self.config = Path(self.mktemp()).absolute()
        self.config.write_text(f"sasl.password={SECRET}\nacks=1\n")
        self.wrongArguments = (
            "",
            "127.0.0.1:9092",
            "127.0.0.1:9092/",
            "127.0.0.1:9092/a topic",
            "127.0.0.1:9092,/calls",
            f"user:{SECRET}@127.0.0.1/calls",
            "h.test:9092/calls",
            "127.0.0.1/calls?timeout=0",
            "127.0.0.1/calls?timeout=2147484",
            "127.0.0.1/calls?timeout=1e308",
            "127.0.0.1/calls?confg=x",
            "127.0.0.1/calls?config=/no/where",
            f"127.0.0.1/calls?config={self.config}",
        )

    async def place(self) -> str:
        self.cluster = KafkaCluster()
        self.addCleanup(self.cluster.stop)
        self.cluster.createTopic("calls")
        config = Path(self.mktemp()).absolute()
        # An answer of the mock's, so that it does not take a minute to notice.
        config.write_text(
            "reconnect.backoff.max.ms = 200\n# a remark\nmessage.max.bytes = 300000\n"
        )
        return f"{self.cluster.brokers}/calls?timeout=2&config={config}"

    async def arrived(self, count: int) -> list[Any]:
        messages = self.cluster.messages("calls", count)
        # One account's are in one partition; between partitions there is no order.
        messages.sort(key=lambda message: message.partition())
        return [json.loads(message.value()) for message in messages]

    async def takeAway(self) -> None:
        self.cluster.down()

    async def bringBack(self) -> None:
        self.cluster.up()

    async def poison(self) -> CallRecord:
        return self.record(userdata="x" * 400_000)

    async def forbid(self) -> None:
        self.cluster.topicError("calls", KafkaError.TOPIC_AUTHORIZATION_FAILED)

    async def permit(self) -> None:
        self.cluster.topicError("calls", 0)

    async def wrongPlaces(self) -> list[str]:
        self.cluster.createTopic("nowhere")
        self.cluster.topicError("nowhere", KafkaError.UNKNOWN_TOPIC_OR_PART)
        return [f"{self.cluster.brokers}/nowhere"]

    async def test_concurrency(self) -> None:
        """As in the suite, whose list of arrivals grows at its end only."""
        sink = await self.made()
        records = [self.record(f"user{n}@x.test") for n in range(sink.concurrency)]
        await gatherResults([sink.take(record) for record in records])
        keys = await self.keys(len(records))
        self.assertEqual(sorted(keys), sorted(record.key for record in records))


class KafkaTests(NetworkCase):
    """What only Kafka does."""

    timeout = 60
    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def setUp(self) -> None:
        super().setUp()
        self.cluster = KafkaCluster()
        self.addCleanup(self.cluster.stop)
        self.cluster.createTopic("calls")

    def context(self, **settings: Any) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None, settings=Settings(**settings))

    def sink(self, config: str = "", *, timeout: float = 5, topic: str = "calls") -> Any:
        self.config = Path(self.mktemp()).absolute()
        self.config.write_text(config)
        argument = f"{self.cluster.brokers}/{topic}?config={self.config}&timeout={timeout}"
        sink: Any = KafkaSinks().make(argument, self.context())
        self.addCleanup(sink.stop)
        return sink

    async def test_message(self) -> None:
        """The account is the key; time, kind and key are where Kafka has a place for them."""
        record = self.record()
        await self.sink().take(record)
        (message,) = self.cluster.messages("calls", 1)
        self.assertEqual(message.key(), b"alice@x.test")
        self.assertEqual(message.value(), record.line.encode())
        self.assertEqual(message.timestamp()[1], 1_700_000_000_500)
        self.assertEqual(
            dict(message.headers()),
            {
                "key": record.key.encode(),
                "type": b"notify",
                "content-type": b"application/json",
            },
        )

    async def test_notEvenGiven(self) -> None:
        """What librdkafka cannot even be given fails, and its producer ends all the same."""
        sink = self.sink()
        producer = sink._usable()
        with self.assertRaises(TypeError):
            await producer.produce("calls", b"key", b"value", [("name", object())], 0)
        await sink.stop()
        self.assertTrue(producer.gone.called)

    async def test_cloudEvents(self) -> None:
        """Both modes, as the reader of CloudEvents' own project reads them."""
        for count, mode in enumerate(("cloudevents", "cloudevents-binary"), 1):
            context = attrs.evolve(self.context(), format=formatNamed(mode))
            sink: Any = KafkaSinks().make(f"{self.cluster.brokers}/calls", context)
            self.addCleanup(sink.stop)
            record = self.record()
            await sink.take(record)
            message = self.cluster.messages("calls", count)[-1]
            event = kafka.from_kafka_event(
                kafka.KafkaMessage(dict(message.headers()), message.key(), message.value())
            )
            self.assertEqual(event.get_id(), record.key)
            self.assertEqual(event.get_data(), record.notification)

    async def test_order(self) -> None:
        """An account's calls stay in order, all under way at once, and errors in between."""
        sink = self.sink("linger.ms=0\n")
        retriable = KafkaError.NOT_LEADER_FOR_PARTITION
        self.cluster.requestErrors(
            PRODUCE, 0, retriable, 0, retriable, KafkaError.REQUEST_TIMED_OUT
        )
        records = [self.record(f"user{n % 5}@x.test") for n in range(sink.concurrency)]
        await gatherResults([sink.take(record) for record in records])
        messages = self.cluster.messages("calls", len(records))
        for account in {record.account for record in records}:
            mine = [m for m in messages if m.key() == account.encode()]
            self.assertEqual(len({message.partition() for message in mine}), 1)
            keys = [dict(message.headers())["key"].decode() for message in mine]
            self.assertEqual(keys, [r.key for r in records if r.account == account])

    async def test_errors(self) -> None:
        """What the brokers say decides whether a call is refused or tried again."""
        for error, refused in (
            (KafkaError.MSG_SIZE_TOO_LARGE, True),
            (KafkaError.INVALID_RECORD, True),
            (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
            (KafkaError.CLUSTER_AUTHORIZATION_FAILED, False),
        ):
            sink = self.sink()
            await sink.take(self.record())
            # Twice: what is refused among others is tried again by itself.
            self.cluster.requestErrors(PRODUCE, error, *[error] * refused)
            record = self.record()
            with self.assertRaises(NotTaken) as caught:
                await sink.take(record)
            words = caught.exception.message
            self.assertEqual(isinstance(caught.exception, SinkRefused), refused, words)
            self.assertIn(f"kafka:{self.cluster.brokers}/calls did not take the call: ", words)
            if not refused:
                # One of these is fatal for a producer.
                await self.takenAgain(sink, record)  # type: ignore[arg-type]

    async def test_batchRefused(self) -> None:
        """A batch is refused for one call in it: each is sent again by itself, in order."""
        for error in (KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD):
            sink = self.sink("linger.ms=50\n")
            await sink.take(self.record("other@x.test"))
            # All go into one batch. Of those that go by themselves then, the third is refused.
            self.cluster.requestErrors(PRODUCE, error, 0, 0, error)
            records = [self.record() for _ in range(7)]
            taking = [sink.take(record) for record in records]
            taking[4].addErrback(lambda failure: failure.trap(CancelledError) and None)
            taking[4].cancel()
            await taking[0]
            # Behind those that still go by themselves.
            taking.append(sink.take(self.record()))
            with self.assertRaises(SinkRefused):
                await taking[2]
            await gatherResults([*taking[:2], *taking[3:]])
            messages = self.cluster.messages("calls", 6)
            keys = [dict(message.headers())["key"].decode() for message in messages]
            taken = [r.key for r in records if r not in (records[2], records[4])]
            self.assertEqual([key for key in keys if key in taken], taken)
            self.assertNotIn(records[2].key, keys)

    async def test_batchRefusedAtTheEnd(self) -> None:
        """What waits to be sent by itself is not lost when the sink is stopped: it is not taken."""
        sink = self.sink("linger.ms=50\n")
        await sink.take(self.record())
        self.cluster.requestErrors(PRODUCE, KafkaError.INVALID_RECORD)
        taking = [sink.take(self.record()) for _ in range(5)]
        # The first that is taken by itself.
        await taking[0]
        stopping = sink.stop()
        for waiting in taking[1:]:
            with self.assertRaises(NotTaken) as caught:
                await waiting
            self.assertNotIsInstance(caught.exception, SinkRefused)
        await stopping

    async def test_fatal(self) -> None:
        """
        What is fatal for a producer, as after an unclean election of a leader, ends all that is
        under way, and the next call gets another producer.
        """
        sink = self.sink("linger.ms=20\n")
        await sink.take(self.record())
        self.cluster.requestErrors(PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
        records = [self.record(f"user{n}@x.test") for n in range(60)]
        outcomes = await DeferredList([sink.take(r) for r in records], consumeErrors=True)
        again = [r for r, (taken, _) in zip(records, outcomes, strict=True) if not taken]
        self.assertTrue(again)
        for taken, failure in outcomes:
            if not taken:
                self.assertIs(failure.type, NotTaken)
                self.assertIn("OUT_OF_ORDER_SEQUENCE_NUMBER", failure.value.message)
        await gatherResults([sink.take(record) for record in again])
        await sink.stop()

    async def test_anyErrors(self) -> None:
        """
        Whatever the brokers answer, each call has an end, none is refused, and all that are given
        again arrive; an account's that never failed are in their order.
        """
        draw = random.Random(core.global_force_seed)
        sink = self.sink("linger.ms=5\nretry.backoff.ms=10\nretry.backoff.max.ms=20\n")
        records = [self.record(f"user{n % 9}@x.test") for n in range(200)]
        left, failed, attempts = records, set(), 0
        # Each attempt of a call meets other errors, the first ten of them.
        while left:
            attempts += 1
            if attempts <= 10:
                self.cluster.requestErrors(PRODUCE, *draw.choices(ERRORS, k=draw.randint(1, 9)))
            outcomes = await DeferredList([sink.take(r) for r in left], consumeErrors=True)
            for taken, failure in outcomes:
                if not taken:
                    self.assertIs(failure.type, NotTaken, failure.value)
            left = [r for r, (taken, _) in zip(left, outcomes, strict=True) if not taken]
            failed.update(record.key for record in left)
        messages = self.cluster.messages("calls", len(records))
        messages.sort(key=lambda message: (message.partition(), message.offset()))
        keys = list(dict.fromkeys(dict(m.headers())["key"].decode() for m in messages))
        self.assertEqual(set(keys), {record.key for record in records})
        for account in {record.account for record in records}:
            mine = [r.key for r in records if r.account == account and r.key not in failed]
            self.assertEqual([key for key in keys if key in mine], mine)

    async def test_tooLong(self) -> None:
        """A call that is longer than a message may be is refused at once."""
        sink = self.sink("message.max.bytes=2000\n")
        with self.assertRaises(SinkRefused):
            await sink.take(self.record(userdata="x" * 3000))
        await sink.take(self.record())

    async def test_mistakes(self) -> None:
        """What is wrong is found before the first call, and told without a secret."""
        self.cluster.createTopic("secret-calls")
        self.cluster.topicError("secret-calls", KafkaError.TOPIC_AUTHORIZATION_FAILED)
        self.cluster.createTopic("no-calls")
        self.cluster.topicError("no-calls", KafkaError.UNKNOWN_TOPIC_OR_PART)
        for sink, words in (
            (self.sink(topic="secret-calls"), "TOPIC_AUTHORIZATION_FAILED"),
            (self.sink(topic="no-calls"), "UNKNOWN_TOPIC_OR_PART"),
            (
                self.sink(f"sasl.pasword={SECRET}\n"),
                'No such configuration property: "sasl.pasword"',
            ),
            (
                self.sink(f"delivery.report.only.error=true\nsasl.password={SECRET}\n"),
                "takes no text of a file for delivery.report.only.error",
            ),
            (self.sink(f"compression.codec=zip\nsasl.password={SECRET}\n"), "compression.codec"),
            (self.sink(f"default.topic.config={SECRET}\n"), "default.topic.config"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                await sink.check()
            self.assertIn(words, caught.exception.message)
            self.assertIn(f"kafka:{self.cluster.brokers}", caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)

    async def test_settings(self) -> None:
        """A file of settings has lines of name=value, and not what the sink itself decides."""
        path = Path(self.mktemp()).absolute()
        path.write_text("# remark\n\n a.b = c=d \nACKS=x\nacks=ALL\n")
        self.assertEqual(readSettings(str(path)), {"a.b": "c=d", "ACKS": "x", "acks": "ALL"})
        path.write_text("a=b\n" + "#" * 70_000)
        with self.assertRaises(IncorrectParameters) as caught:
            readSettings(str(path))
        self.assertIn("too large", caught.exception.message)
        for text, words in (
            ("sasl.password CANARY", "line 1"),
            ("=CANARY", "line 1"),
            ("a=b\nrequest.required.acks=1", "it is always all"),
            ("enable.idempotence=false", "it is always true"),
            ("bootstrap.servers=CANARY:9092", "the brokers stand in the sink"),
            ("transactional.id=CANARY", "each call is taken by itself"),
            ("message.timeout.ms=0", "the timeout stands in the sink"),
            ("delivery.timeout.ms=0", "the timeout stands in the sink"),
            ("partitioner=Random", "would lose their order"),
        ):
            path.write_text(text)
            with self.assertRaises(IncorrectParameters) as caught:
                readSettings(str(path))
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)

    def threads(self) -> list[threading.Thread]:
        """Of all producers."""
        return [t for t in threading.enumerate() if t.name == "iris-kafka"]

    def rewrite(self, sink: Any, config: str) -> None:
        """Another file of settings, as it is there when SIGHUP comes."""
        self.config.write_text(config)
        sink.reopen()

    async def test_newSettings(self) -> None:
        """Another producer takes over after what is under way: no call is lost or overtaken."""
        sink = self.sink("linger.ms=100\n")
        await sink.take(self.record("other@x.test"))
        first = sink._producer
        sink.reopen()
        self.assertIs(sink._producer, first)
        retriable = KafkaError.NOT_LEADER_FOR_PARTITION
        refused = KafkaError.RECORD_LIST_TOO_LARGE
        # A batch is refused, so that some wait to be sent by themselves.
        self.cluster.requestErrors(PRODUCE, refused, 0, retriable)
        records, taking = [], []
        # Each is there before those in front of it have begun.
        for linger in (200, 0, 50, 0):
            for _ in range(20):
                records.append(self.record())
                taking.append(sink.take(records[-1]))
            self.rewrite(sink, f"linger.ms={linger}\n")
        self.assertEqual(len(self.threads()), 5)
        await gatherResults(taking)
        messages = self.cluster.messages("calls", len(records) + 1)
        keys = [dict(m.headers())["key"].decode() for m in messages if m.key() != b"other@x.test"]
        self.assertEqual(keys, [record.key for record in records])
        await self.until(lambda: len(self.threads()) == 1)
        self.assertIsNot(sink._producer, first)
        await sink.take(self.record())

    async def test_newSettingsThatAreNone(self) -> None:
        """What cannot be read or used is told without a secret, and the old producer stays."""
        sink = self.sink("linger.ms=1\n")
        await sink.take(self.record())
        producer = sink._producer
        with capturedLogs() as events:
            self.rewrite(sink, f"sasl.pasword={SECRET}\n")
            self.rewrite(sink, f"{SECRET}\n")
            self.config.unlink()
            sink.reopen()
        told = [eventAsText(event, includeSystem=False) for event in events]
        for text, words in zip(told, ("sasl.pasword", "line 1", "cannot be read"), strict=True):
            self.assertIn(words, text)
            self.assertTrue(text.endswith("; the old one stays"), text)
            self.assertNotIn("CANARY", text)
        self.assertIs(sink._producer, producer)
        await sink.take(self.record())

    async def test_newCertificate(self) -> None:
        """Files that the settings name count as settings."""
        ca = Path(self.mktemp()).absolute()
        trustme.CA().cert_pem.write_to_path(str(ca))
        sink = self.sink(f"ssl.ca.location={ca}\n")
        await sink.take(self.record())
        producer = sink._producer
        trustme.CA().cert_pem.write_to_path(str(ca))
        sink.reopen()
        self.assertIsNot(sink._producer, producer)
        await sink.take(self.record())

    async def test_stoppedAmidNewSettings(self) -> None:
        """Stopping gives up both what is under way and what waits for it; nothing stays behind."""
        sink = self.sink("linger.ms=60000\n")
        taking = [sink.take(self.record())]
        for linger in (1, 2):
            self.rewrite(sink, f"linger.ms={linger}\n")
            taking.append(sink.take(self.record()))
        outcomes = DeferredList(taking, consumeErrors=True)
        await sink.stop()
        for taken, failure in await outcomes:
            self.assertFalse(taken)
            self.assertIs(failure.type, NotTaken)
        await self.until(lambda: not self.threads())
        sink.reopen()
        self.assertEqual(self.threads(), [])

    async def test_idle(self) -> None:
        """The thread sleeps while nothing is under way, and ends with the sink."""
        sink = self.sink()
        await sink.take(self.record())
        (thread,) = self.threads()
        waiting = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/status")
        if waiting.exists():

            def switches() -> int:
                lines = waiting.read_text().splitlines()
                return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

            async def during(seconds: float) -> int:
                before, until = switches(), time.monotonic() + seconds
                await self.until(lambda: time.monotonic() > until)
                return switches() - before

            # It has to go to sleep first.
            while await during(0.05):
                pass
            self.assertEqual(await during(0.5), 0)
        await sink.stop()
        thread.join(1)
        self.assertFalse(thread.is_alive())

    async def nobody(self) -> Any:
        """The port of somebody who says nothing, and a Deferred of the first connection there."""
        connected: Deferred[None] = Deferred()

        class Nobody(Protocol):
            def connectionMade(self) -> None:
                if not connected.called:
                    connected.callback(None)

        factory = Factory.forProtocol(Nobody)
        factory.noisy = False
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return port.getHost().port, connected

    async def heldNow(self) -> Any:
        """What the process holds, with what a reactor that runs needs."""
        await deferLater(reactor, 0)  # type: ignore[arg-type]
        return held(reactor)

    async def test_stopWhileAsked(self) -> None:
        """It ends within seconds while nobody answers, and then nothing of it is left."""
        port, connected = await self.nobody()
        before = await self.heldNow()
        sink: Any = KafkaSinks().make(f"127.0.0.1:{port}/calls?timeout=60", self.context())
        checking = sink.check()
        await connected
        checking.cancel()
        with self.assertRaises(CancelledError):
            await checking
        began = time.monotonic()
        await sink.stop()
        self.assertLess(time.monotonic() - began, 20)
        # Without the collector's help.
        gc.disable()
        self.addCleanup(gc.enable)
        await self.until(lambda: not held(reactor) - before)

    async def test_stopWhileAway(self) -> None:
        """Nothing is left of a check that failed amid the end, nor of calls under way."""
        self.cluster.down()
        before = await self.heldNow()
        gc.disable()
        self.addCleanup(gc.enable)
        sink = self.sink(timeout=2)
        asking = [sink.check(), sink.take(self.record())]
        await sink.stop()
        for outcome in asking:
            with self.assertRaises(NotTaken):
                await outcome
        await self.until(lambda: not held(reactor) - before)

    async def test_eventsWhileIdle(self) -> None:
        """What librdkafka tells while nothing is under way is heard: it would keep all of it."""
        self.patch(kafka_producer, "_IDLE", 0.01)
        sink = self.sink("reconnect.backoff.ms=1\nreconnect.backoff.max.ms=2\n", timeout=2)
        await sink.check()
        producer = sink._producer
        producer._lastError = None
        self.cluster.down()
        await self.until(lambda: producer._lastError is not None)
