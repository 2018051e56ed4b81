"""
A connection to an MQTT broker: paho's client, whose socket the reactor watches.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from iris_twisted.errors import (
    CertificateRefused,
    ConnectionFailed,
    IncorrectParameters,
    NotTaken,
    SinkRefused,
)
from iris_twisted.net.steady_time import steadyTime
from iris_twisted.sinks import SinkContext
from iris_twisted.sinks.broker_url import BrokerUrl

__all__ = ["MqttConnection", "openMqtt"]

# Seconds of silence before a ping.
_KEEPALIVE = 30
# Section 3.1.2.1 of MQTT 5.
_NO_SUBSCRIBER = 0x10
_CREDENTIALS = (0x86, 0x87)


@implementer(IReadWriteDescriptor)
class MqttConnection:
    """
    @ivar gone: fires when its socket is closed.
    @ivar accepted: fires when the broker has accepted it.
    """

    def __init__(self, reactor: Any, name: str, client: Client) -> None:
        self.gone: Deferred[None] = Deferred()
        self.accepted: Deferred[None] = Deferred()
        self._reactor = reactor
        self._name = name
        self._client = client
        self._waiting: dict[int, Deferred[None]] = {}
        self._socket: Any = client.socket()
        client.on_connect = self._answered
        client.on_publish = self._acknowledged
        client.on_socket_register_write = lambda *_: reactor.addWriter(self)
        client.on_socket_unregister_write = lambda *_: reactor.removeWriter(self)
        client.on_socket_close = lambda *_: self._closed()
        self._ticking = LoopingCall(client.loop_misc)
        self._ticking.clock = steadyTime(reactor)
        self._ticking.start(_KEEPALIVE / 3, now=False)
        reactor.addReader(self)
        if client.want_write():
            reactor.addWriter(self)

    # What the reactor asks

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def doRead(self) -> None:
        self._client.loop_read()
        # What TLS has read already wakes no reactor.
        while hasattr(self._socket, "pending") and self._client.socket() and self._socket.pending():
            self._client.loop_read()

    def doWrite(self) -> None:
        self._client.loop_write()

    def logPrefix(self) -> str:
        return "mqtt"

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    # What paho tells

    def _answered(self, _: Any, __: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            self.accepted.callback(None)
        elif reason.value in _CREDENTIALS:
            self.accepted.errback(
                IncorrectParameters(f"{self._name} refused the user or its password: {reason}")
            )
        else:
            self.accepted.errback(NotTaken(f"{self._name} refused the connection: {reason}"))

    def _acknowledged(self, _: Any, __: Any, mid: int, reason: Any, properties: Any) -> None:
        waiting = self._waiting.pop(mid, None)
        if waiting is None or waiting.called:
            return  # Nobody waits for it any more.
        if reason.value == _NO_SUBSCRIBER:
            waiting.errback(SinkRefused(f"{self._name}: nobody has subscribed for the call"))
        elif reason.is_failure:
            waiting.errback(NotTaken(f"{self._name} did not take the call: {reason}"))
        else:
            waiting.callback(None)

    def _closed(self) -> None:
        """Its socket will be closed in the next moment, whoever wanted that."""
        if self.gone.called:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._ticking.stop()
        waiting, self._waiting = list(self._waiting.values()), {}
        for deferred in (self.accepted, *waiting):
            if not deferred.called:
                deferred.errback(NotTaken(f"{self._name} lost its connection"))
        self.gone.callback(None)

    # What the sink wants

    def publish(
        self, topic: str, body: bytes, contentType: str, fields: Mapping[str, str]
    ) -> Deferred[None]:
        """
        @return: fires when the broker has acknowledged it; fails with L{SinkRefused} or
            L{NotTaken}.
        """
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = contentType
        properties.UserProperty = list(fields.items())
        done: Deferred[None] = Deferred()
        try:
            sent = self._client.publish(topic, body, qos=1, properties=properties)
        except ValueError as e:
            words = "its topic or a property is longer than MQTT has room for"
            done.errback(SinkRefused(f"{self._name} cannot be given the call: {words}", cause=e))
            return done
        if self.gone.called:
            done.errback(NotTaken(f"{self._name} lost its connection"))
        else:
            self._waiting[sent.mid] = done
        return done

    def close(self) -> None:
        if not self.gone.called:
            self._client.disconnect()
        if not self.gone.called:
            # As much of the farewell as the socket took at once is enough.
            sock = self._socket
            self._closed()
            sock.close()


async def openMqtt(
    context: SinkContext, name: str, url: BrokerUrl, password: str | None, seconds: float
) -> MqttConnection:
    """
    @param seconds: for names, TCP and TLS.
    @return: a connection that the broker has accepted.
    @raise IncorrectParameters: when it refused user or password.
    @raise ConnectionFailed: when nobody answers as they should; or L{NotTaken}.
    """
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect_timeout = seconds
    if url.user is not None:
        client.username_pw_set(url.user, password)
    if url.secure:
        root = context.settings.trustRoot
        tls = ssl.create_default_context(cafile=root if isinstance(root, str) else None)
        if context.settings.insecure:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        client.tls_set_context(tls)
    reactor = context.reactor
    # paho's connect() waits for names, TCP and TLS.
    connecting: Deferred[Any] = deferToThreadPool(
        reactor, reactor.getThreadPool(), client.connect, url.host, url.port, _KEEPALIVE
    )
    ended: Deferred[Any] = Deferred()
    connecting.addBoth(lambda result: ended.called or ended.callback(result))
    try:
        await ended
    except CancelledError:
        await connecting
        sock = client.socket()
        if sock is not None:
            sock.close()
        raise
    except ssl.SSLCertVerificationError as e:
        raise CertificateRefused(
            f"{name} shows a certificate that cannot be verified ({e.verify_message})", cause=e
        ) from None
    except (OSError, ValueError) as e:
        raise ConnectionFailed(f"{name} cannot be reached: {e}", cause=e) from None
    connection = MqttConnection(reactor, name, client)
    try:
        await connection.accepted
    except BaseException:
        connection.close()
        raise
    return connection
