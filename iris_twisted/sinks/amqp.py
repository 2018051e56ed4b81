"""
Calls to an AMQP 0-9-1 broker, RabbitMQ for one: confirmed by it, or not taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import attrs
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..errors import IncorrectParameters, SinkRefused
from ..net.loopback import isLoopback
from .amqp_place import AmqpMessage, AmqpPlace
from .broker_sink import BrokerSink
from .broker_url import TLS_PARAMETERS, BrokerUrl, requireExtra
from .context import SinkContext
from .interfaces import IAskingSink, INotificationSink, INotificationSinkProvider, IOrderedSink
from .record import CallRecord

if TYPE_CHECKING:
    from .amqp_channel import AmqpChannel

__all__ = ["AmqpSink", "AmqpSinks"]

_SCHEMES = {"amqp": (False, 5672), "amqps": (True, 5671)}
_PARAMETERS = (
    "exchange",
    "routing-key",
    "declare",
    "password-file",
    "heartbeat",
    "timeout",
    *TLS_PARAMETERS,
)
_DECLARE = ("passive", "none", "direct", "fanout", "headers", "topic")
_ROUTING_KEY = "iris.{account}.{type}"
_FIELD = re.compile(r"\{(account|type)\}")
# AMQP 0-9-1 section 4.2.5.3: a short string.
_SHORT = 255
# They must fit a frame (section 4.2.3) with what else stands there; brokers take 128 KiB or so.
_HEADERS = 65_536


@implementer(IAskingSink, IOrderedSink)
class AmqpSink(BrokerSink["AmqpChannel"]):
    """
    Publishes each call, persistent and mandatory. The broker's confirm takes it; a call that
    no queue gets is refused; anything else is tried again. A queue has calls in the order of
    the channel (AMQP 0-9-1 section 4.7).

    @param routingKey: a template.
    """

    def __init__(self, place: AmqpPlace, routingKey: str, context: SinkContext) -> None:
        super().__init__(place.name, place.timeout, context)
        self._place = place
        self._routingKey = routingKey

    async def _open(self) -> AmqpChannel:
        from .amqp_channel import openAmqp

        context, place = self._context, self._place
        trust = context.settings.trust.showing(place.certificate)
        return await openAmqp(context.reactor, trust, place)

    def _readPassword(self) -> None:
        _, password = _credentials(self._place.url)
        self._place = attrs.evolve(self._place, password=password)

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._take(record, mayLeave))

    async def _take(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        message = self._message(record)
        channel = await self._kept.get()
        await channel.publish(message, mayLeave)

    def _message(self, record: CallRecord) -> AmqpMessage:
        fields = {
            "account": record.account,
            "type": str(record.notification.get("type") or ""),
        }
        key = self._routingKey.format_map(fields)
        if len(key.encode()) > _SHORT:
            raise SinkRefused(f"{self.name}: the routing key would be longer than {_SHORT} bytes")
        call = self._context.format.encode(record)
        # CloudEvents, AMQP Protocol Binding 1.0.2, section 3.1.3.
        events = {f"cloudEvents_{name}": value for name, value in call.attributes.items()}
        headers = {**fields, **events}
        if sum(len(name) + len(value.encode()) for name, value in headers.items()) > _HEADERS:
            raise SinkRefused(f"{self.name}: the headers would be longer than {_HEADERS} bytes")
        return AmqpMessage(
            id=record.key,
            routingKey=key,
            timestamp=int(record.received),
            contentType=call.contentType,
            headers=headers,
            body=call.body,
        )


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
        virtualHost = unquote(url.path.removeprefix("/")) or "/"
        for what, text in (
            ("exchange", exchange),
            ("routing-key", _FIELD.sub("", routingKey)),
            ("the virtual host", virtualHost),
        ):
            if len(text.encode()) > _SHORT:
                raise IncorrectParameters(f"sink amqp: {what} is longer than {_SHORT} bytes")
        user, password = _credentials(url)
        heartbeat, timeout = url.count("heartbeat", 30), url.seconds("timeout", 10.0)
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
            certificate=url.certificate(),
        )
        return AmqpSink(place, routingKey, context)


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
