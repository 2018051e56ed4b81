"""
Calls to a topic of Kafka: taken when all replicas in sync have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..errors import IncorrectParameters, IrisError, NotTaken
from ..net.loopback import isLoopback
from .broker_url import readParameters, readSeconds, requireExtra
from .context import SinkContext
from .interfaces import (
    ICheckedSink,
    INotificationSink,
    INotificationSinkProvider,
    IOrderedSink,
)
from .record import CallRecord

if TYPE_CHECKING:
    from .kafka_producer import KafkaProducer

__all__ = ["KafkaSink", "KafkaSinks", "readSettings"]

_PARAMETERS = ("config", "timeout")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# Settings that the promise of this sink rests on, and so are always ours; the brokers stand in the
# specification.
_OURS = {
    "acks": "all",
    "enable.idempotence": "true",
    "bootstrap.servers": "",
}
# Other names of the same.
_SAME = {"request.required.acks": "acks", "metadata.broker.list": "bootstrap.servers"}
# Characters.
_LONGEST_FILE = 64 * 1024


def readSettings(path: str) -> dict[str, str]:
    """
    librdkafka's settings of a file: C{name=value} a line, C{#} for remarks.

    @raise IncorrectParameters: naming the file, and the line that is none or must not be there; a
        value may be a secret, and is not repeated.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no text"
        raise IncorrectParameters(
            f"sink kafka: the settings in {path!r} cannot be read: {reason}"
        ) from None
    if len(text) > _LONGEST_FILE:
        raise IncorrectParameters(f"sink kafka: {path!r} is too large to hold settings")
    settings: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise IncorrectParameters(f"sink kafka: line {number} of {path!r} is no name=value")
        ours = _OURS.get(_SAME.get(name, name))
        if ours is not None and value.lower() != ours:
            raise IncorrectParameters(
                f"sink kafka: {name} in {path!r} must not be set: "
                + (f"it is always {ours}" if ours else "the brokers stand in the sink")
            )
        settings[name] = value
    return settings


@implementer(ICheckedSink, IOrderedSink)
class KafkaSink:
    """
    Produces a message for each call, with the account as its key: an account's calls stay in
    their order in one partition, since the producer is idempotent: what librdkafka sends again
    comes before what was behind it. The report that all replicas in sync have it takes it.

    @param settings: librdkafka's, in which C{message.timeout.ms} bounds a call.
    @param timeout: seconds that L{check} may take.
    """

    durable = True
    concurrency = 256

    def __init__(
        self,
        name: str,
        topic: str,
        settings: Mapping[str, Any],
        timeout: float,
        context: SinkContext,
    ) -> None:
        self.name = name
        self._topic = topic
        self._settings = settings
        self._timeout = timeout
        self._context = context
        self._producer: KafkaProducer | None = None
        self._ending: set[Deferred[None]] = set()
        self._stopped = False

    def _usable(self) -> KafkaProducer:
        """
        The producer; another when the last one is broken.

        @raise IncorrectParameters: when librdkafka does not like its settings.
        @raise NotTaken: when the sink is stopped.
        """
        if self._stopped:
            raise NotTaken(f"{self.name} is stopped")
        if self._producer is not None and self._producer.broken:
            self._end()
        if self._producer is None:
            from .kafka_producer import KafkaProducer

            self._producer = KafkaProducer(self._context.reactor, self.name, self._settings)
        return self._producer

    def _end(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            gone: Deferred[None] = Deferred()
            self._ending.add(gone)
            gone.addCallback(lambda _: self._ending.discard(gone))
            producer.gone.addCallback(gone.callback)
            producer.close()

    def take(self, record: CallRecord) -> Deferred[None]:
        try:
            producer = self._usable()
        except IrisError as e:
            return fail(NotTaken(e.message, cause=e))
        call = self._context.format.encode(record)
        headers = [
            ("key", record.key.encode()),
            ("type", str(record.notification.get("type") or "").encode()),
            ("content-type", call.contentType.encode()),
            # CloudEvents, Kafka Protocol Binding 1.0.2, section 3.2.3.
            *((f"ce_{name}", value.encode()) for name, value in call.attributes.items()),
        ]
        return producer.produce(
            self._topic,
            record.account.encode(),
            call.body,
            headers,
            int(record.received * 1000),
        )

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self._usable().ask(self._topic, self._timeout)

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        self._stopped = True
        self._end()
        ended: Deferred[Any] = gatherResults(list(self._ending))
        return ended.addCallback(lambda _: None)


@implementer(IPlugin, INotificationSinkProvider)
class KafkaSinks:
    """C{kafka:BROKERS/TOPIC}."""

    name = "kafka"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        place, _, query = argument.partition("?")
        brokers, _, topic = place.removeprefix("//").partition("/")
        hosts = brokers.split(",")
        if not all(_BROKER.fullmatch(host) for host in hosts) or not _TOPIC.fullmatch(topic):
            raise IncorrectParameters(
                "sink kafka needs brokers and a topic: kafka:HOST:PORT,HOST:PORT/TOPIC"
            )
        parameters = readParameters(self.name, query, _PARAMETERS)
        timeout = readSeconds(self.name, parameters, "timeout", 10.0)
        given = readSettings(parameters["config"]) if "config" in parameters else {}
        secure = given.get("security.protocol", "plaintext").lower().endswith("ssl")
        for host in hosts:
            if not (secure or context.settings.insecure or isLoopback(_host(host))):
                raise IncorrectParameters(
                    f"sink kafka: {_host(host)} would get the calls unencrypted: put "
                    f"security.protocol=ssl or sasl_ssl into a file, and config=FILE here"
                )
        settings: dict[str, Any] = {
            "client.id": "iris-twisted",
            "message.timeout.ms": str(max(1, int(timeout * 1000))),
        }
        if secure and isinstance(context.settings.trustRoot, str):
            settings["ssl.ca.location"] = context.settings.trustRoot
        settings.update(given)
        settings.update(_OURS, **{"bootstrap.servers": brokers})
        requireExtra(self.name, "confluent_kafka", "confluent-kafka")
        return KafkaSink(f"kafka:{brokers}/{topic}", topic, settings, timeout, context)


def _host(broker: str) -> str:
    found = _BROKER.fullmatch(broker)
    return (found[1] if found else broker).strip("[]")
