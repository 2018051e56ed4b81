"""
Brokers in the test's own process, for what a real one cannot be made to say, and for a machine
without one: they speak the protocol over sockets, as far as a sink needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika import frame, spec
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["AmqpBroker", "RedisServer"]


class Server:
    """
    Something that listens on loopback, and can be away for a while.

    @ivar port: where.
    """

    def __init__(self, reactor: Any) -> None:
        self.port = 0
        self.open: list[Any] = []
        self._reactor = reactor
        self._listening: Any = None

    def protocol(self) -> Protocol:
        raise NotImplementedError("protocol")

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        server = self

        class Accepting(Factory):
            noisy = False

            def buildProtocol(self, _: object) -> Protocol:
                return server.protocol()

        endpoint = TCP4ServerEndpoint(self._reactor, self.port, interface="127.0.0.1")
        self._listening = await endpoint.listen(Accepting())
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        await maybeDeferred(self._listening.stopListening)
        for protocol in list(self.open):
            protocol.transport.abortConnection()


class Session(Protocol):
    """One connection to it."""

    transport: Any

    def __init__(self, server: Any) -> None:
        self.server = server
        self.data = b""

    def connectionMade(self) -> None:
        self.server.open.append(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.server.open.remove(self)


class AmqpSession(Session):
    """AMQP 0-9-1, the broker's side, with pika's own frames."""

    def __init__(self, server: AmqpBroker) -> None:
        super().__init__(server)
        self.tag = 0
        self.held: list[tuple[int, Any]] = []
        self._publishing: Any = None

    def say(self, channel: int, method: Any) -> None:
        self.transport.write(frame.Method(channel, method).marshal())

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while self.data:
            used, found = frame.decode_frame(self.data)
            if found is None:
                return
            self.data = self.data[used:]
            self.received(found)

    def received(self, found: Any) -> None:
        if isinstance(found, frame.ProtocolHeader):
            capabilities = dict.fromkeys(
                (
                    *("publisher_confirms", "basic.nack", "connection.blocked"),
                    "authentication_failure_close",
                ),
                True,
            )
            properties = {"capabilities": capabilities}
            self.say(0, spec.Connection.Start(0, 9, properties, "PLAIN", "en_US"))
        elif isinstance(found, frame.Header):
            self._publishing = (*self._publishing, found.properties, b"", found.body_size)
        elif isinstance(found, frame.Body):
            *rest, body, size = self._publishing
            body += found.fragment
            self._publishing = (*rest, body, size)
            if len(body) == size:
                self.published()
        elif isinstance(found, frame.Method):
            name = type(found.method).__qualname__.replace(".", "_")
            answer = getattr(self, f"got_{name}", None)
            if answer is not None:
                answer(found.channel_number, found.method)

    def got_Connection_StartOk(self, _: int, method: Any) -> None:
        user, password = method.response.split(b"\0")[1:]
        if (user, password) == self.server.credentials:
            self.say(0, spec.Connection.Tune(0, 131072, 0))
        else:
            self.say(0, spec.Connection.Close(403, "ACCESS_REFUSED", 0, 0))

    def got_Connection_Open(self, _: int, method: Any) -> None:
        if method.virtual_host == "/":
            self.say(0, spec.Connection.OpenOk())
        else:
            self.say(0, spec.Connection.Close(530, "NOT_ALLOWED - no such vhost", 10, 40))

    def got_Connection_Close(self, _: int, method: Any) -> None:
        self.say(0, spec.Connection.CloseOk())
        self.transport.loseConnection()

    def got_Connection_CloseOk(self, _: int, method: Any) -> None:
        self.transport.loseConnection()

    def got_Channel_Open(self, channel: int, method: Any) -> None:
        self.say(channel, spec.Channel.OpenOk())

    def got_Channel_Close(self, channel: int, method: Any) -> None:
        self.say(channel, spec.Channel.CloseOk())

    def got_Confirm_Select(self, channel: int, method: Any) -> None:
        self.say(channel, spec.Confirm.SelectOk())

    def got_Exchange_Declare(self, channel: int, method: Any) -> None:
        exchanges = self.server.exchanges
        if method.passive and method.exchange not in exchanges:
            self.refuse(channel, 404, f"NOT_FOUND - no exchange '{method.exchange}'")
        else:
            exchanges.setdefault(method.exchange, method.type)
            self.say(channel, spec.Exchange.DeclareOk())

    def got_Queue_Declare(self, channel: int, method: Any) -> None:
        if method.queue in self.server.queues:
            self.say(channel, spec.Queue.DeclareOk(method.queue, 0, 0))
        else:
            self.refuse(channel, 404, f"NOT_FOUND - no queue '{method.queue}'")

    def refuse(self, channel: int, code: int, words: str) -> None:
        """Close the channel."""
        self.say(channel, spec.Channel.Close(code, words, 0, 0))

    def got_Basic_Publish(self, channel: int, method: Any) -> None:
        self._publishing = (channel, method)

    def published(self) -> None:
        channel, method, properties, body, _ = self._publishing
        self.tag += 1
        self.server.messages.append((method, properties, body))
        outcome = self.server.outcome(method.routing_key)
        if outcome == "refuse":
            self.refuse(channel, 403, "ACCESS_REFUSED - no write access")
        elif outcome == "block":
            self.server.outcome = lambda _: "hold"
            self.say(0, spec.Connection.Blocked("low on memory"))
        if outcome in ("return", "hold and return"):
            returned = spec.Basic.Return(312, "NO_ROUTE", method.exchange, method.routing_key)
            self.say(channel, returned)
            self.transport.write(frame.Header(channel, len(body), properties).marshal())
            self.transport.write(frame.Body(channel, body).marshal())
        if outcome in ("ack", "return"):
            self.say(channel, spec.Basic.Ack(self.tag))
        elif outcome == "nack":
            self.say(channel, spec.Basic.Nack(self.tag))


class AmqpBroker(Server):
    """
    @ivar messages: method, properties and body of all that was published.
    @ivar outcome: gives what becomes of a message with this routing key: C{ack}, C{nack},
        C{return}, C{hold}, C{hold and return}, C{block} or C{refuse}.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.credentials = (b"guest", b"guest")
        self.exchanges: dict[str, str] = {"calls": "topic"}
        self.queues = {"calls"}
        self.messages: list[tuple[Any, Any, bytes]] = []
        self.outcome: Callable[[str], str] = lambda _: "ack"

    def protocol(self) -> AmqpSession:
        return AmqpSession(self)

    def acknowledgeAll(self) -> None:
        """One acknowledgement for everything that is held."""
        (session,) = self.open
        session.say(1, spec.Basic.Ack(session.tag, multiple=True))

    def unblock(self) -> None:
        (session,) = self.open
        self.outcome = lambda _: "ack"
        session.say(0, spec.Connection.Unblocked())
        session.say(1, spec.Basic.Ack(session.tag, multiple=True))


class RedisSession(Session):
    """RESP, the server's side."""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while True:
            words, rest = self._command(self.data)
            if words is None:
                return
            self.data = rest
            answer = self.server.answer(words)
            if answer is not None:
                self.transport.write(answer)

    @staticmethod
    def _command(data: bytes) -> tuple[list[bytes] | None, bytes]:
        head, found, rest = data.partition(b"\r\n")
        if not found:
            return None, data
        words: list[bytes] = []
        for _ in range(int(head[1:])):
            head, found, rest = rest.partition(b"\r\n")
            if not found or len(rest) < int(head[1:]) + 2:
                return None, data
            size = int(head[1:])
            words.append(rest[:size])
            rest = rest[size + 2 :]
        return words, rest


class RedisServer(Server):
    """
    @ivar entries: of the stream, as names and values.
    @ivar answers: for a command, instead of its own; C{None} is silence.
    @ivar refuses: tells which C{XADD} it has no memory for.
    @ivar commands: as they came.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.password = b""
        self.entries: list[dict[bytes, bytes]] = []
        self.answers: dict[bytes, bytes | None] = {}
        self.settings = {b"appendonly": b"yes", b"appendfsync": b"always"}
        self.refuses: Callable[[list[bytes]], bool] = lambda _: False
        self.commands: list[list[bytes]] = []

    def protocol(self) -> RedisSession:
        return RedisSession(self)

    def answer(self, words: list[bytes]) -> bytes | None:
        self.commands.append(words)
        name = words[0]
        if name in self.answers:
            return self.answers[name]
        if name == b"AUTH":
            right = words[-1] == self.password
            return b"+OK\r\n" if right else b"-WRONGPASS invalid username-password pair\r\n"
        if name == b"TYPE":
            return b"+stream\r\n" if self.entries else b"+none\r\n"
        if name == b"CONFIG":
            key = words[2]
            value = self.settings.get(key)
            if value is None:
                return b"*0\r\n"
            pair = b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (key, value))
            return b"*2\r\n" + pair
        if name == b"XADD" and self.refuses(words):
            return b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        if name == b"XADD":
            fields = iter(words[6:])
            self.entries.append(dict(zip(fields, fields, strict=True)))
            return b"$3\r\n1-0\r\n"
        return b"+OK\r\n"
