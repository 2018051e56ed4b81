"""
Calls to an AMQP 0-9-1 broker, RabbitMQ for one: confirmed by it, or not taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..errors import IncorrectParameters, NoAnswer, NotTaken, SinkRefused
from ..net.deadline import deadlined
from ..net.loopback import isLoopback
from .amqp_place import AmqpMessage, AmqpPlace
from .broker_url import BrokerUrl, requireExtra
from .context import SinkContext
from .interfaces import IAskingSink, ICheckedSink, INotificationSink, INotificationSinkProvider
from .kept_connection import KeptConnection
from .record import CallRecord

if TYPE_CHECKING:
    from .amqp_channel import AmqpChannel

__all__ = ["AmqpSink", "AmqpSinks"]

_SCHEMES = {"amqp": (False, 5672), "amqps": (True, 5671)}
_PARAMETERS = ("exchange", "routing-key", "declare", "password-file", "heartbeat", "timeout")
_DECLARE = ("passive", "none", "direct", "fanout", "headers", "topic")
_ROUTING_KEY = "iris.{account}.{type}"
_FIELD = re.compile(r"\{(account|type)\}")
# AMQP 0-9-1 section 4.2.5.3: a short string.
_SHORT = 255


@implementer(IAskingSink, ICheckedSink)
class AmqpSink:
    """
    Publishes each call, persistent and mandatory. The broker's confirm takes it; a call that
    no queue gets is refused; anything else is tried again.

    @param routingKey: a template.
    """

    durable = True
    concurrency = 64

    def __init__(self, place: AmqpPlace, routingKey: str, context: SinkContext) -> None:
        self.name = place.name
        self._place = place
        self._routingKey = routingKey
        self._context = context
        self._kept: KeptConnection[AmqpChannel] = KeptConnection(
            context.reactor, self.name, self._open, place.timeout
        )

    def _open(self) -> Deferred[AmqpChannel]:
        from .amqp_channel import openAmqp

        context = self._context
        return Deferred.fromCoroutine(
            openAmqp(context.reactor, context.settings.trust, self._place)
        )

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._take(record, mayLeave))

    async def _take(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        message = self._message(record)
        channel = await self._kept.get()
        timeout = self._place.timeout

        def words() -> str:
            if channel.blocked is not None:
                return f"{self.name} is blocked by the broker ({channel.blocked})"
            return f"{self.name} did not confirm the call within {timeout:g} seconds"

        async def publish() -> None:
            # What a broker does not read would wait in buffers, and come twice.
            await channel.unblocked()
            if not mayLeave():
                raise NotTaken(f"{self.name} is not asked any more")
            await channel.publish(message)

        publishing: Deferred[None] = Deferred.fromCoroutine(publish())
        try:
            await deadlined(self._context.reactor, timeout, publishing, words)
        except NoAnswer as e:
            if channel.blocked is None:
                # A queue that lost its leader may never confirm what it got meanwhile.
                channel.close()
            raise NotTaken(e.message, cause=e) from None

    def _message(self, record: CallRecord) -> AmqpMessage:
        fields = {
            "account": record.account,
            "type": str(record.notification.get("type") or ""),
        }
        key = _FIELD.sub(lambda found: fields[found[1]], self._routingKey)
        if len(key.encode()) > _SHORT:
            raise SinkRefused(f"{self.name}: the routing key would be longer than {_SHORT} bytes")
        call = self._context.format.encode(record)
        # CloudEvents, AMQP Protocol Binding 1.0.2, section 3.1.3.
        events = {f"cloudEvents_{name}": value for name, value in call.attributes.items()}
        return AmqpMessage(
            id=record.key,
            routingKey=key,
            timestamp=int(record.received),
            contentType=call.contentType,
            headers={**fields, **events},
            body=call.body,
        )

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self._kept.ask()

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kept.stop())


@implementer(IPlugin, INotificationSinkProvider)
class AmqpSinks:
    """C{amqp:URL}."""

    name = "amqp"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        url = BrokerUrl.parse(self.name, argument, _SCHEMES, _PARAMETERS, context.settings.insecure)
        routingKey = url.parameters.get("routing-key", _ROUTING_KEY)
        if "{" in _FIELD.sub("", routingKey) or "}" in _FIELD.sub("", routingKey):
            raise IncorrectParameters(
                "sink amqp: the braces of a routing-key are for {account} and {type}"
            )
        exchange = url.parameters.get("exchange")
        if exchange is None or (not exchange and "routing-key" not in url.parameters):
            raise IncorrectParameters(
                "sink amqp needs exchange=NAME, or exchange= and routing-key=QUEUE for a queue"
            )
        declare = url.parameters.get("declare", "passive")
        if declare not in _DECLARE or (not exchange and declare not in _DECLARE[:2]):
            raise IncorrectParameters(
                f"sink amqp: declare must be one of {', '.join(_DECLARE)}, and for a queue one "
                f"of the first two, not {declare!r}"
            )
        if len(exchange.encode()) > _SHORT:
            raise IncorrectParameters(f"sink amqp: exchange is longer than {_SHORT} bytes")
        user, password = self._credentials(url)
        heartbeat, timeout = url.count("heartbeat", 30), url.seconds("timeout", 10.0)
        virtualHost = unquote(url.path.removeprefix("/")) or "/"
        requireExtra(self.name, "pika", "pika")
        place = AmqpPlace(
            url=url,
            name=f"amqp:{url.origin}",
            user=user,
            password=password,
            virtualHost=virtualHost,
            exchange=exchange,
            declare=declare,
            queue=None if exchange or _FIELD.search(routingKey) else routingKey,
            heartbeat=min(heartbeat, 65535),
            timeout=timeout,
        )
        return AmqpSink(place, routingKey, context)

    @staticmethod
    def _credentials(url: BrokerUrl) -> tuple[str, str]:
        password = url.password()
        user = url.user or "guest"
        if password is None and user == "guest" and isLoopback(url.host):
            # As every RabbitMQ has it at first, and for loopback only.
            password = "guest"
        if password is None:
            raise IncorrectParameters(
                f"sink amqp: the user {user!r} needs a password: password-file=PATH, or the "
                f"environment variable IRIS_AMQP_PASSWORD"
            )
        return user, password
