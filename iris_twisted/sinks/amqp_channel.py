"""
A channel to an AMQP 0-9-1 broker, by pika: confirmed, and closed when anything is wrong.

Only this module and C{amqp_failures} import pika, and only a sink that is used imports them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from typing import Any

import pika
from pika import exceptions
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from ..errors import IrisError, NoAnswer, NotTaken, SinkRefused
from ..net.deadline import Deadlines
from ..net.endpoints import clientEndpoint
from ..net.failures import explain
from ..net.interfaces import ITlsTrust
from ..net.steady_time import steadyTime
from ..version import __version__
from .amqp_failures import cannotOpen, onOneLine, reasonOf
from .amqp_place import AmqpMessage, AmqpPlace

__all__ = ["AmqpChannel", "openAmqp"]

# Seconds for a polite close, before the socket is cut.
_CLOSING = 3.0


def _withoutBody(record: logging.LogRecord) -> bool:
    """pika logs the beginning of a message that is returned, which may be a room token."""
    return not str(record.msg).startswith("Published message was returned")


logging.getLogger("pika.adapters.twisted_connection").addFilter(_withoutBody)
# What is wrong is told by the errors: without a handler it would go to stderr too.
logging.getLogger("pika").addHandler(logging.NullHandler())


class _SteadyReactor:
    """What pika needs of a reactor: so its heartbeats do not notice that the wall clock is set."""

    def __init__(self, reactor: Any) -> None:
        self.callLater = steadyTime(reactor).callLater
        self.callFromThread = reactor.callFromThread


class _Connection(TwistedProtocolConnection):  # type: ignore[misc]
    """
    pika's connection, which tells why it could not be opened, and when its socket is gone.
    """

    def __init__(self, parameters: Any, reactor: Any) -> None:
        super().__init__(parameters, custom_reactor=_SteadyReactor(reactor))
        self.gone: Deferred[None] = Deferred()
        self.error: BaseException | None = None

    def _on_connection_failed(self, connection: Any, error: Any = None) -> None:
        # pika's own keeps the number of attempts, and not the reason.
        self.error = error
        super()._on_connection_failed(connection, error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # pika's own (1.4) forgets why the broker, or pika, had it closed.
        pending = getattr(self._impl, "_error", None)
        if isinstance(pending, exceptions.AMQPError):
            reason = Failure(pending)
        else:
            # Twisted gives all lost sockets one exception. Each coroutine that pika raises it in
            # would make its traceback longer, which would keep all of them.
            reason = Failure(copy(reason.value))
        # First, so that whoever hears of what was under way, and gives the next call, finds no
        # connection any more.
        self.gone.callback(None)
        super().connectionLost(reason)


class AmqpChannel:
    """
    A confirming channel with a connection of its own.

    @ivar gone: fires when its socket is closed.
    @ivar blocked: why the broker reads nothing at the moment, or C{None}.
    """

    def __init__(self, reactor: Any, place: AmqpPlace, connection: _Connection) -> None:
        self.gone: Deferred[None] = Deferred()
        self.blocked: str | None = None
        self._reactor = reactor
        self._place = place
        self._connection = connection
        self._channel: Any = None
        self._returned: set[str] = set()
        self._paused: list[Deferred[None]] = []
        self._closing: Any = None
        self._deadlines = Deadlines(reactor, place.timeout)
        connection.gone.addCallback(self._lost)

    async def open(self) -> None:
        """Make the channel, and declare what shall be."""
        place = self._place
        self._channel = channel = await self._connection.channel()
        channel.connection.add_on_connection_blocked_callback(self._isBlocked)
        channel.connection.add_on_connection_unblocked_callback(self._isUnblocked)
        await channel.confirm_delivery()
        channel.add_on_return_callback(self._cameBack)
        if place.declare == "passive" and place.exchange:
            await channel.exchange_declare(place.exchange, passive=True)
        elif place.declare == "passive" and place.queue is not None:
            await channel.queue_declare(place.queue, passive=True)
        elif place.declare not in ("passive", "none"):
            await channel.exchange_declare(place.exchange, place.declare, durable=True)
        # A channel that the broker closed is of no use; nor is its connection then.
        channel.on_closed.addBoth(lambda _: self.close())

    def _isBlocked(self, _: Any, frame: Any) -> None:
        self.blocked = onOneLine(str(frame.method.reason))

    def _isUnblocked(self, *_: Any) -> None:
        self.blocked = None
        paused, self._paused = self._paused, []
        for waiting in paused:
            waiting.callback(None)

    def _cameBack(self, message: Any) -> None:
        self._returned.add(message.properties.message_id)

    async def _unblocked(self) -> None:
        """
        Wait until the broker reads.

        @raise NotTaken: when the connection is lost first.
        """
        waiting: Deferred[None] = Deferred(self._paused.remove)
        self._paused.append(waiting)
        await self._deadlines.bound(waiting, self._late)

    def _late(self) -> str:
        place = self._place
        if self.blocked is not None:
            return f"{place.name} is blocked by the broker ({self.blocked})"
        return f"{place.name} did not confirm the call within {place.timeout:g} seconds"

    async def publish(self, message: AmqpMessage, mayLeave: Callable[[], bool]) -> None:
        """
        Give the broker a message, when it reads, and wait until it has confirmed it.

        @param mayLeave: is asked right before.
        @raise SinkRefused: when no queue gets it.
        @raise NotTaken: when it was not confirmed.
        """
        try:
            if self.blocked is not None:
                # What a broker does not read would wait in buffers, and come twice.
                await self._unblocked()
            if not mayLeave():
                raise NotTaken(f"{self._place.name} is not asked any more")
            await self._published(message)
        except NoAnswer as e:
            if self.blocked is None:
                # A queue that lost its leader may never confirm what it got meanwhile.
                self.close()
            raise NotTaken(e.message, cause=e) from None

    async def _published(self, message: AmqpMessage) -> None:
        place = self._place
        properties = pika.BasicProperties(
            content_type=message.contentType,
            headers=dict(message.headers),
            delivery_mode=2,  # Persistent.
            message_id=message.id,
            timestamp=message.timestamp,
            app_id="iris-twisted",
        )
        self._returned.discard(message.id)
        try:
            confirming = self._channel.basic_publish(
                place.exchange, message.routingKey, message.body, properties, mandatory=True
            )
            await self._deadlines.bound(confirming, self._late)
        except (CancelledError, NoAnswer):
            raise
        except exceptions.UnroutableError:
            # An acknowledgement of several messages is taken for the return of the first of
            # them by pika (1.4), whichever it was: only the message's id tells.
            pass
        except exceptions.NackError as e:
            raise NotTaken(f"{place.name} could not keep the call (basic.nack)", cause=e) from None
        except Exception as e:
            raise NotTaken(
                f"{place.name} did not confirm the call: {reasonOf(e)}", cause=e
            ) from None
        if message.id in self._returned:
            self._returned.discard(message.id)
            raise SinkRefused(
                f"{place.name}: no queue is bound for the routing key {message.routingKey!r} "
                f"at the exchange {place.exchange!r}"
            )

    def close(self) -> None:
        if self._closing is not None or self._connection.gone.called:
            return
        transport: Any = self._connection.transport
        steady = steadyTime(self._reactor)
        self._closing = steady.callLater(_CLOSING, transport.abortConnection)
        try:
            self._connection.close()
        except exceptions.AMQPError:
            transport.abortConnection()

    def _lost(self, _: None) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        paused, self._paused = self._paused, []
        # Before anybody is told, who may give the next call.
        self.gone.callback(None)
        for waiting in paused:
            waiting.errback(NotTaken(f"{self._place.name} lost its connection"))


async def openAmqp(reactor: Any, trust: ITlsTrust, place: AmqpPlace) -> AmqpChannel:
    """
    @return: a channel that is ready.
    @raise IncorrectParameters: when somebody has to change something before it can be.
    @raise ConnectionFailed: when nobody answers as they should; or L{NotTaken}.
    """
    url = place.url
    parameters = pika.ConnectionParameters(
        host=url.host,
        port=url.port,
        virtual_host=place.virtualHost,
        credentials=pika.PlainCredentials(place.user, place.password),
        heartbeat=place.heartbeat,
        client_properties={
            "product": "iris-twisted",
            "version": __version__,
            "connection_name": "iris-twisted",
        },
    )
    connection = _Connection(parameters, reactor)
    ready: Any = connection.ready
    factory = Factory.forProtocol(lambda: connection)
    factory.noisy = False
    endpoint = clientEndpoint(
        reactor, trust, url.host, url.port, secure=url.secure, timeout=place.timeout
    )
    try:
        await endpoint.connect(factory)
    except (IrisError, CancelledError):
        raise
    except Exception:
        raise explain(place.name, Failure()) from None
    channel = AmqpChannel(reactor, place, connection)
    try:
        await ready
        await channel.open()
    except BaseException as e:
        if not connection.gone.called:
            gone: Deferred[None] = Deferred()
            channel.gone.addCallback(gone.callback)
            connection.transport.abortConnection()
            await gone
        if isinstance(e, (IrisError, CancelledError)) or not isinstance(e, Exception):
            raise
        raise cannotOpen(place, connection.error or e) from None
    return channel
