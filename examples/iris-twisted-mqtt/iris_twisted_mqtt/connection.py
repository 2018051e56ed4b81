"""
A connection to an MQTT broker: paho's client, whose socket the reactor watches.
"""

from __future__ import annotations

import re
import ssl
import struct
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
    CertificateWanted,
    ConnectionFailed,
    IncorrectParameters,
    NotTaken,
    SinkRefused,
)
from iris_twisted.net.client_certificate import ClientCertificate
from iris_twisted.net.steady_time import steadyTime
from iris_twisted.sinks import SinkContext
from iris_twisted.sinks.broker_url import BrokerUrl

__all__ = ["MqttConnection", "openMqtt"]

# Seconds of silence before a ping.
_KEEPALIVE = 30
# Section 3.1.2.1 of MQTT 5.
_NO_SUBSCRIBER = 0x10
_CREDENTIALS = (0x86, 0x87)
# Bytes of a packet: section 2.1.4, and with it the byte before, and the four that tell the length.
_LONGEST = 268_435_455 + 5
# What a broker's alert says of a certificate of ours, or of none (RFC 8446 section 6.2), in the
# words of OpenSSL.
_OURS = re.compile(r"alert (certificate \w+|bad certificate|unknown ca)")


class _Ending:
    """
    Why a connection ends. A broker may look at our certificate when we are connected already (TLS
    1.3), and what its alert says paho tells only its log.
    """

    def __init__(self, name: str, secure: bool) -> None:
        self.words = f"{name} lost its connection"
        if secure:
            # The alert may be lost on its way.
            self.words = f"{name} cut the connection: does it want a certificate of ours?"
        self._name = name

    def accepted(self) -> None:
        """It is no question of certificates any more."""
        self.words = f"{self._name} lost its connection"

    def note(self, words: str) -> bool:
        """
        @param words: of an error.
        @return: whether our certificate is not accepted.
        """
        found = _OURS.search(words)
        if found is not None:
            self.words = f"{self._name} wants a certificate of ours that it accepts ({found[0]})"
        return found is not None


@implementer(IReadWriteDescriptor)
class MqttConnection:
    """
    @ivar gone: fires when its socket is closed.
    @ivar accepted: fires when the broker has accepted it.
    """

    def __init__(self, reactor: Any, name: str, client: Client, ending: _Ending) -> None:
        self.gone: Deferred[None] = Deferred()
        self.accepted: Deferred[None] = Deferred()
        self._reactor = reactor
        self._name = name
        self._client = client
        self._waiting: dict[int, Deferred[None]] = {}
        self._socket: Any = client.socket()
        self._ending = ending
        self._isClosed = False
        self._longest = _LONGEST
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
        # paho would go on to tell it of each message.
        self._client.on_log = None
        self._ending.accepted()
        if not reason.is_failure:
            self._longest = getattr(properties, "MaximumPacketSize", _LONGEST)
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
        if self._isClosed:
            return
        self._isClosed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._ticking.stop()
        waiting, self._waiting = list(self._waiting.values()), {}
        # First: whoever hears of a record may give the next one, which shall not be given here.
        self.gone.callback(None)
        for deferred in (self.accepted, *waiting):
            if not deferred.called:
                deferred.errback(NotTaken(self._ending.words))

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
            # Section 3.3: the fixed header, the topic, the identifier, the properties.
            size = 5 + 2 + len(topic.encode()) + 2 + len(properties.pack()) + len(body)
            if size > self._longest:
                # A broker would cut the connection, again and again.
                raise ValueError(f"it takes {self._longest} bytes, and not {size}")
            sent = self._client.publish(topic, body, qos=1, properties=properties)
        except struct.error as e:
            words = "a property is longer than MQTT has room for"
            done.errback(SinkRefused(f"{self._name} cannot be given the call: {words}", cause=e))
            return done
        except ValueError as e:
            done.errback(SinkRefused(f"{self._name} cannot be given the call: {e}", cause=e))
            return done
        if self._isClosed:
            done.errback(NotTaken(f"{self._name} lost its connection"))
        else:
            self._waiting[sent.mid] = done
        return done

    def close(self) -> None:
        if not self._isClosed:
            self._client.disconnect()
        if not self._isClosed:
            # As much of the farewell as the socket took at once is enough.
            sock = self._socket
            self._closed()
            sock.close()


async def openMqtt(
    context: SinkContext,
    name: str,
    url: BrokerUrl,
    password: str | None,
    certificate: ClientCertificate | None,
    seconds: float,
) -> MqttConnection:
    """
    @param certificate: ours, for one that asks for it.
    @param seconds: for names, TCP and TLS.
    @return: a connection that the broker has accepted.
    @raise IncorrectParameters: when it refused user or password, or our certificate's files are
        no good.
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
        if certificate is not None:
            # Which says what is wrong with the files; what it gives is not in them, but in memory.
            certificate.read()
            tls.load_cert_chain(certificate.path, certificate.keyPath)
        client.tls_set_context(tls)
    ending = _Ending(name, url.secure)
    client.on_log = lambda _, __, ___, words: ending.note(words)
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
        if ending.note(str(e)):
            raise CertificateWanted(ending.words, cause=e) from None
        raise ConnectionFailed(f"{name} cannot be reached: {e}", cause=e) from None
    if client.socket() is None:
        # It was cut in the same moment.
        raise ConnectionFailed(ending.words)
    connection = MqttConnection(reactor, name, client, ending)
    try:
        await connection.accepted
    except BaseException:
        connection.close()
        raise
    return connection
