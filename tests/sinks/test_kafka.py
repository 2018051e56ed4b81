"""
Calls to Kafka: librdkafka's own mock cluster, over sockets.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import attrs
from cloudevents.core.bindings import kafka
from confluent_kafka import KafkaError
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import SinkContext, testing
from iris_twisted.sinks.formats import formatNamed
from iris_twisted.sinks.kafka import KafkaSinks, readSettings

from ..network import NetworkCase
from .kafka_cluster import PRODUCE, KafkaCluster

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
        config.write_text("reconnect.backoff.max.ms = 200\n# a remark\n")
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
        path = Path(self.mktemp()).absolute()
        path.write_text(config)
        argument = f"{self.cluster.brokers}/{topic}?config={path}&timeout={timeout}"
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
            self.cluster.requestErrors(PRODUCE, error)
            record = self.record()
            with self.assertRaises(NotTaken) as caught:
                await sink.take(record)
            words = caught.exception.message
            self.assertEqual(isinstance(caught.exception, SinkRefused), refused, words)
            self.assertIn(f"kafka:{self.cluster.brokers}/calls did not take the call: ", words)
            if not refused:
                # One of these is fatal for a producer.
                await self.takenAgain(sink, record)  # type: ignore[arg-type]

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
        ):
            path.write_text(text)
            with self.assertRaises(IncorrectParameters) as caught:
                readSettings(str(path))
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)

    async def test_idle(self) -> None:
        """The thread sleeps while nothing is under way, and ends with the sink."""
        sink = self.sink()
        await sink.take(self.record())
        (thread,) = [t for t in threading.enumerate() if t.name == "iris-kafka"]
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
