"""
Calls to an MQTT 5 broker, as a sink of iris-twisted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from iris_twisted.errors import IncorrectParameters, NoAnswer, NotTaken
from iris_twisted.interfaces import (
    IAskingSink,
    INotificationSink,
    INotificationSinkProvider,
    IOrderedSink,
)
from iris_twisted.net.deadline import deadlined
from iris_twisted.sinks import CallRecord, SinkContext
from iris_twisted.sinks.broker_sink import BrokerSink
from iris_twisted.sinks.broker_url import TLS_PARAMETERS, BrokerUrl

if TYPE_CHECKING:
    from .connection import MqttConnection

__all__ = ["MqttSink", "MqttSinks"]

_SCHEMES = {"mqtt": (False, 1883), "mqtts": (True, 8883)}
_PARAMETERS = ("durable", "password-file", "timeout", *TLS_PARAMETERS)
_FIELD = re.compile(r"\{(account|type)\}")


@implementer(IAskingSink, IOrderedSink)
class MqttSink(BrokerSink["MqttConnection"]):
    """
    Publishes each call with QoS 1: the broker's PUBACK takes it. paho sends what it is given in
    that order, and a broker hands on what has the same topic in the order in which it came
    (MQTT 5 section 4.6).

    @param topic: a template.
    """

    concurrency = 32

    def __init__(
        self, url: BrokerUrl, topic: str, password: str | None, timeout: float, context: SinkContext
    ) -> None:
        super().__init__(f"mqtt:{url.origin}", timeout, context)
        self.durable = url.parameters.get("durable") == "yes"
        self._url = url
        self._topic = topic
        self._password = password
        self._timeout = timeout
        self._certificate = url.certificate()

    async def _open(self) -> MqttConnection:
        # paho is imported when it is used, and not by whoever lists the plugins.
        from .connection import openMqtt

        return await openMqtt(
            self._context, self.name, self._url, self._password, self._certificate, self._timeout
        )

    def _readPassword(self) -> None:
        self._password = self._url.password()

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._take(record, mayLeave))

    async def _take(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        connection = await self._kept.get()
        if not mayLeave():
            raise NotTaken(f"{self.name} is not asked any more")
        fields = {
            "account": record.account,
            "type": str(record.notification.get("type") or "-"),
        }
        topic = _FIELD.sub(lambda found: quote(fields[found[1]], safe="@"), self._topic)
        call = self._context.format.encode(record)
        # CloudEvents, MQTT Protocol Binding 1.0.2, section 3.1: the attributes as they are.
        properties = call.attributes or {"key": record.key, **fields}
        try:
            await deadlined(
                self._context.reactor,
                self._timeout,
                connection.publish(topic, call.body, call.contentType, properties),
                lambda: f"{self.name} did not answer within {self._timeout:g} seconds",
            )
        except NoAnswer as e:
            # Another connection may, and this one would only send the call again.
            connection.close()
            raise NotTaken(e.message, cause=e) from None


@implementer(IPlugin, INotificationSinkProvider)
class MqttSinks:
    """C{mqtt:URL}."""

    name = "mqtt"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        url = BrokerUrl.parse(self.name, argument, _SCHEMES, _PARAMETERS, context.settings.insecure)
        topic = unquote(url.path.removeprefix("/"))
        if not topic or re.search(r"[+#{}\0]", _FIELD.sub("", topic)):
            raise IncorrectParameters(
                "sink mqtt needs a topic, without wildcards: mqtt:mqtts://HOST/iris/{account}"
            )
        if url.parameters.get("durable", "no") not in ("yes", "no"):
            raise IncorrectParameters("sink mqtt: durable must be yes or no")
        timeout, password = url.seconds("timeout", 10.0), url.password()
        if (url.user is None) != (password is None):
            raise IncorrectParameters("sink mqtt: a user and a password need each other")
        return MqttSink(url, topic, password, timeout, context)
