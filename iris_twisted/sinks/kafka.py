"""
Calls to a topic of Kafka: taken when all replicas in sync have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..connection.settings import Settings
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
from .kafka_settings import OURS, ProducerSettings, readSettings
from .record import CallRecord

if TYPE_CHECKING:
    from .kafka_producer import KafkaProducer

__all__ = ["KafkaSink", "KafkaSinks"]

_PARAMETERS = ("config", "timeout")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# Seconds: librdkafka counts milliseconds with 31 bits.
_LONGEST_TIMEOUT = 2_147_483


@implementer(ICheckedSink, IOrderedSink)
class KafkaSink:
    """
    Produces a message for each call, with the account as its key: an account's calls stay in
    their order in one partition, since the producer is idempotent: what librdkafka sends again
    comes before what was behind it. The report that all replicas in sync have it takes it.

    @param read: gives the settings, of a file for one, of which C{message.timeout.ms} bounds a
        call; raises L{IncorrectParameters}.
    @param timeout: seconds that L{check} may take.
    """

    durable = True
    concurrency = 256

    _log = Logger()

    def __init__(
        self,
        name: str,
        topic: str,
        read: Callable[[], ProducerSettings],
        timeout: float,
        context: SinkContext,
    ) -> None:
        self.name = name
        self._topic = topic
        self._read = read
        self._settings = read()
        self._timeout = timeout
        self._context = context
        self._producer: KafkaProducer | None = None
        self._ending: dict[KafkaProducer, Deferred[None]] = {}
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
            self._replace(None)
        if self._producer is None:
            self._producer = self._make(self._settings)
        return self._producer

    def _make(
        self, settings: ProducerSettings, after: KafkaProducer | None = None
    ) -> KafkaProducer:
        from .kafka_producer import KafkaProducer

        return KafkaProducer(self._context.reactor, self.name, settings.values, after)

    def _replace(self, new: KafkaProducer | None) -> None:
        """@param new: waits for what is under way; without one that is given up."""
        old, self._producer = self._producer, new
        if old is None:
            return
        gone: Deferred[None] = Deferred()
        self._ending[old] = gone

        def ended(_: None) -> None:
            del self._ending[old]

        gone.addCallback(ended)
        old.gone.addCallback(gone.callback)
        if new is None:
            old.close()
        else:
            old.finish()

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
        """
        Settings, keys or certificates may have changed: then another producer takes over, after
        what is under way.
        """
        if self._stopped:
            return
        try:
            settings = self._read()
            if settings == self._settings:
                return
            new = self._make(settings, self._producer)
        except IncorrectParameters as e:
            self._log.error("{reason}; the old one stays", reason=e.message)
            return
        self._settings = settings
        self._replace(new)

    def stop(self) -> Deferred[None]:
        self._stopped = True
        self._replace(None)
        for producer in self._ending:
            producer.close()
        ended: Deferred[Any] = gatherResults(list(self._ending.values()))
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
        if timeout > _LONGEST_TIMEOUT:
            raise IncorrectParameters(
                f"sink kafka: timeout must be at most {_LONGEST_TIMEOUT} seconds"
            )
        requireExtra(self.name, "confluent_kafka", "confluent-kafka")
        return KafkaSink(
            f"kafka:{brokers}/{topic}",
            topic,
            lambda: self._settings(brokers, parameters.get("config"), timeout, context.settings),
            timeout,
            context,
        )

    @staticmethod
    def _settings(
        brokers: str, path: str | None, timeout: float, ours: Settings
    ) -> ProducerSettings:
        given = {} if path is None else readSettings(path)
        secure = given.get("security.protocol", "plaintext").lower().endswith("ssl")
        for host in brokers.split(","):
            if not (secure or ours.insecure or isLoopback(_host(host))):
                raise IncorrectParameters(
                    f"sink kafka: {_host(host)} would get the calls unencrypted: put "
                    f"security.protocol=ssl or sasl_ssl into a file, and config=FILE here"
                )
        settings: dict[str, Any] = {
            "client.id": "iris-twisted",
            "message.timeout.ms": str(max(1, int(timeout * 1000))),
        }
        if secure and isinstance(ours.trustRoot, str):
            settings["ssl.ca.location"] = ours.trustRoot
        settings.update(given)
        settings.update(OURS, **{"bootstrap.servers": brokers})
        return ProducerSettings(settings)


def _host(broker: str) -> str:
    found = _BROKER.fullmatch(broker)
    return (found[1] if found else broker).strip("[]")
