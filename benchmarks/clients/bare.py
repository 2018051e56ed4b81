"""
The least that a call costs a sink's library: the same bytes, from a loop in one process, with as
many under way as the sink has.

    python -m benchmarks.clients.bare SINK WHERE CALLS

WHERE is what stands behind C{SINK:}, as for the daemon.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import react

from iris_twisted.sinks import CallRecord

from ..firehose import DATA, USERDATA
from .meter import Meter

# As calls and their bytes come out of the outbox.
Call = tuple[CallRecord, bytes]
Send = Callable[[CallRecord, bytes], Awaitable[object]]
reactor: Any = _reactor
NULL = open(os.devnull, "w")  # noqa: SIM115


def calls(count: int) -> list[Call]:
    """Those of the firehose."""
    made = []
    for number in range(count):
        data = ElementTree.fromstring(DATA.format(n=number, userdata=json.dumps(USERDATA)))
        notification = {**data.attrib, "userdata": USERDATA, "xmlns": "urn:xmpp:comcast:info"}
        # As the notification has them for applications.
        for name in ("roomId", "routingId", "traceId"):
            notification[name] = notification[name.lower()]
        record = CallRecord.of(f"user{number % 100}@sandbox.test", notification, time.time())
        made.append((record, record.line.encode()))
    return made


async def several(number: int, some: Sequence[Call], send: Send) -> None:
    """Send all, so many at a time."""
    left = iter(some)

    async def work() -> None:
        for record, body in left:
            await send(record, body)

    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(number)])


async def connected(url: str, protocol: Protocol) -> None:
    """A connection to there."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    await HostnameEndpoint(reactor, parts.hostname, parts.port).connect(factory)


async def stdout(where: str, some: Sequence[Call], meter: Meter) -> None:
    """One line after the other, to nobody."""
    meter.came()
    for _, body in some:
        print(body.decode(), file=NULL, flush=True)


async def file(where: str, some: Sequence[Call], meter: Meter) -> None:
    """As many lines as the sink may have under way, and a flush."""
    from iris_twisted.sinks.lines import FileSink

    number = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    meter.came()
    for start in range(0, len(some), FileSink.concurrency):
        part = some[start : start + FileSink.concurrency]
        os.write(number, b"".join(body + b"\n" for _, body in part))
        os.fsync(number)
    os.close(number)


class Run(ProcessProtocol):
    """Gives a program a line."""

    def __init__(self, line: bytes) -> None:
        self.ended: Deferred[None] = Deferred()
        self._line = line

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._line)
        transport.closeStdin()

    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)


async def throughExec(where: str) -> tuple[int, Send]:
    """Twisted's own."""
    from iris_twisted.sinks.program import ExecSink

    def send(_: CallRecord, body: bytes) -> Deferred[None]:
        run = Run(body + b"\n")
        reactor.spawnProcess(run, where, [where], env=os.environ, childFDs={0: "w", 1: 2, 2: 2})
        return run.ended

    return ExecSink.concurrency, send


async def throughWebhook(where: str) -> tuple[int, Send]:
    """treq, with a pool."""
    import treq
    from twisted.web.client import Agent, HTTPConnectionPool

    from iris_twisted.sinks.webhook import WebhookSink

    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = WebhookSink.concurrency
    client = treq.client.HTTPClient(Agent(reactor, pool=pool))

    async def send(record: CallRecord, body: bytes) -> None:
        headers: dict[str | bytes, str | bytes] = {
            "Content-Type": "application/json",
            "Idempotency-Key": record.key,
            "Webhook-Id": record.key,
            "Webhook-Timestamp": str(int(record.received)),
        }
        response = await client.post(where, data=body, headers=headers)
        await response.content()

    return WebhookSink.concurrency, send


async def throughAmqp(where: str) -> tuple[int, Send]:
    """pika's adapter for Twisted, confirmed."""
    import pika
    from pika.adapters.twisted_connection import TwistedProtocolConnection

    from iris_twisted.sinks.amqp import AmqpSink

    queue = parse_qs(urlsplit(where).query)["routing-key"][0]
    connection = TwistedProtocolConnection(pika.ConnectionParameters(), custom_reactor=reactor)
    ready: Any = connection.ready
    await connected(where, connection)
    await ready
    channel: Any = await connection.channel()
    await channel.confirm_delivery()

    async def send(record: CallRecord, body: bytes) -> None:
        properties = pika.BasicProperties(
            content_type="application/json",
            headers={"account": record.account, "type": record.notification["type"]},
            delivery_mode=2,
            message_id=record.key,
            timestamp=int(record.received),
            app_id="iris-twisted",
        )
        await channel.basic_publish("", queue, body, properties, mandatory=True)

    return AmqpSink.concurrency, send


async def throughRedis(where: str) -> tuple[int, Send]:
    """txredisapi's protocol."""
    import txredisapi

    from iris_twisted.sinks.redis import RedisSink

    stream = urlsplit(where).path.removeprefix("/")
    protocol = txredisapi.RedisProtocol(charset="utf-8", convertNumbers=False)
    await connected(where, protocol)
    command = partial(protocol.execute_command, "XADD", stream, "MAXLEN", "~", "100000", "*")

    def send(record: CallRecord, body: bytes) -> Any:
        about = ("account", record.account, "type", record.notification["type"])
        return command("key", record.key, *about, "call", body)

    return RedisSink.concurrency, send


def kafkaProducer(where: str) -> tuple[Any, Callable[[CallRecord, bytes, Any], None]]:
    """confluent-kafka; and what produces a call, and tells of its delivery."""
    from confluent_kafka import Producer

    brokers, _, topic = where.partition("/")
    settings = {"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True}
    producer = Producer(settings)
    # It connects first.
    producer.list_topics(topic, 30)

    def produce(record: CallRecord, body: bytes, delivered: Any) -> None:
        headers = [
            ("key", record.key.encode()),
            ("type", record.notification["type"].encode()),
            ("content-type", b"application/json"),
        ]
        key = record.account.encode()
        at = int(record.received * 1000)
        producer.produce(topic, body, key, headers=headers, timestamp=at, on_delivery=delivered)
        producer.poll(0)

    return producer, produce


async def kafka(where: str, some: Sequence[Call], meter: Meter) -> None:
    """It waits for what is under way at the end only."""
    producer, produce = kafkaProducer(where)
    failed: list[Any] = []

    def delivered(error: Any, _: object) -> None:
        if error is not None:
            failed.append(error)

    meter.came()
    for record, body in some:
        produce(record, body, delivered)
    assert not producer.flush(60) and not failed, failed


# What is awaited; the rest waits in its own way.
SENDERS: dict[str, Callable[[str], Awaitable[tuple[int, Send]]]] = {
    "exec": throughExec,
    "webhook": throughWebhook,
    "amqp": throughAmqp,
    "redis": throughRedis,
}
LOOPS: dict[str, Callable[[str, Sequence[Call], Meter], Awaitable[None]]] = {
    "stdout": stdout,
    "file": file,
    "kafka": kafka,
}


async def main(name: str, where: str, count: int) -> None:
    meter, some = Meter(count), calls(count)
    gc.collect()
    gc.freeze()
    if name in LOOPS:
        await LOOPS[name](where, some, meter)
    else:
        number, send = await SENDERS[name](where)
        meter.came()
        await several(number, some, send)
    meter.tell()


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
