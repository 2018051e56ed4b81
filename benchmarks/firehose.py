"""
A server that pushes notifications as fast as its clients take them: the sandbox lets
them log in, then prepared bytes go straight to the socket.

    python -m benchmarks.firehose

It prints its URL, then obeys lines on stdin: C{flood COUNT SIZE} pushes so many
notifications of about so many bytes to the newest client, C{calls COUNT} so many different
ones, spread over all clients, at once, C{rate PER_SECOND SECONDS}
spreads them over all clients, each with the time of its sending; C{restart SECONDS} stops
it for so long, and C{report} tells who came back when; C{management yes} or C{no} lets the
sandbox offer XEP-0198.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from iris_twisted.sandbox import startSandbox
from iris_twisted.sandbox.rtc_server import _Client
from iris_twisted.sandbox.rtc_session import RtcSession

# The notification of protocol.md section 5.
DATA = (
    "<data xmlns='urn:xmpp:comcast:info' type='notify' action='' roomid='room-{n}' "
    "routingid='caller@xmpp.sandbox.test' rtcserver='xmpp-wcdcc-001.sandbox.test' "
    "traceid='tr-{n}' roomtoken='RT' roomtokenexpirytime='1700000000' userdata='{userdata}'/>"
)
USERDATA = {
    "data": {"cname": "+12155550100", "cid": "+12155550100"},
    "notification": {"type": "pstn", "topic": "example/pstn", "srcTN": "+12155550100"},
}
DIFFERENT = 1000
# Seconds until the client's part in a login is over: what it says last is read too, or the
# notifications would be measured with XEP-0198 in some runs and without it in others.
_LOGIN = 0.3


def stanza(number: object, dialect: str, userdata: dict[str, Any]) -> bytes:
    """One notification, as a server of that dialect writes it."""
    namespace = " xmlns='jabber:client'" if dialect == "framed" else ""
    data = DATA.format(n=number, userdata=json.dumps(userdata))
    return (
        f"<iq{namespace} type='set' id='n{number}' from='notify.sandbox.test' "
        f"to='alice@sandbox.test/resource'><query xmlns='jabber:iq:private'>{data}</query></iq>"
    ).encode()


def frame(payload: bytes) -> bytes:
    """A text frame as servers send it, unmasked (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + payload


def padded(size: int) -> dict[str, Any]:
    """User data that brings a notification to about that size; 0 for the plain one."""
    missing = size - len(stanza(0, "stream", USERDATA))
    return USERDATA if missing <= 0 else {**USERDATA, "padding": "x" * missing}


class OverTcp(Protocol):
    """A client that speaks XMPP over TCP, without websockets."""

    transport: Any
    firehose: Any

    def __init__(self) -> None:
        self.id, self.jid, self.routingId, self.dialect = "tcp", "", "", "stream"

    def connectionMade(self) -> None:
        self.session = RtcSession(self.firehose.sandbox.platform, self, None, "")
        self.firehose.clients.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.session.receive(data)
        messages, self.session.outgoing = self.session.outgoing, []
        self.transport.write(b"".join(messages))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.firehose.sandbox.platform.left(self, self.session.lost())


@implementer(IPullProducer)
class Flood:
    """Pushes so many notifications, a block at a time, while the socket takes them."""

    def __init__(self, client: Any, count: int, size: int) -> None:
        self._transport = client.transport
        self._left = count
        dialect = client.dialect or "stream"
        userdata = padded(size)
        wrap = bytes if isinstance(client, OverTcp) else frame
        self._frames = [wrap(stanza(n, dialect, userdata)) for n in range(DIFFERENT)]
        self._block = max(1, 64 * 1024 // len(self._frames[0]))
        self._next = 0
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        count = min(self._block, self._left)
        for _ in range(count):
            self._transport.write(self._frames[self._next])
            self._next = (self._next + 1) % DIFFERENT
        self._left -= count
        if not self._left:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._left = 0


class Firehose(LineOnlyReceiver):
    """Obeys stdin."""

    delimiter = b"\n"

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.clients: list[Any] = []
        self.began = time.monotonic()
        self.arrivals: list[float] = []
        self.ended: Deferred[None] = Deferred()
        opened = _Client.onOpen

        def onOpen(client: Any) -> None:
            opened(client)
            self.clients.append(client)
            self.arrivals.append(time.monotonic() - self.began)

        _Client.onOpen = onOpen

    def lineReceived(self, line: bytes) -> None:
        command, *arguments = line.decode().split()
        getattr(self, command)(*arguments)

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)

    def _deaf(self, client: Any) -> None:
        """What the client says costs nothing from now on; it is not what is measured."""
        client.dataReceived = lambda data: None

    def flood(self, count: str, size: str = "0") -> None:
        client = self.clients[-1]

        def begin() -> None:
            self._deaf(client)
            Flood(client, int(count), int(size))

        reactor.callLater(_LOGIN, begin)

    def calls(self, count: str) -> None:
        clients = [client for client in self.clients if client.state == client.STATE_OPEN]
        for client in clients:
            self._deaf(client)
        for number in range(int(count)):
            client = clients[number % len(clients)]
            client.transport.write(frame(stanza(number, client.dialect or "stream", USERDATA)))

    def rate(self, perSecond: str, seconds: str) -> None:
        # What a server of our own would not do for a second.
        gc.collect()
        gc.freeze()
        clients = [client for client in self.clients if client.state == client.STATE_OPEN]
        left = int(float(perSecond) * float(seconds))
        sent = 0

        def push(times: int) -> None:
            nonlocal sent
            for _ in range(min(times, left - sent)):
                client = clients[sent % len(clients)]
                now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                # Past the reactor: what keeps this server busy is not what is measured.
                data = frame(stanza(now, client.dialect or "stream", USERDATA))
                client.transport.getHandle().send(data)
                sent += 1
            if sent >= left:
                pushing.stop()

        pushing = LoopingCall.withCount(push)
        pushing.start(1 / float(perSecond))

    def management(self, offered: str) -> None:
        self.sandbox.platform.streamManagement = offered == "yes"

    def restart(self, seconds: str) -> None:
        """Stop, and start anew on the same port, knowing nobody."""
        Deferred.fromCoroutine(self._restart(float(seconds)))

    async def _restart(self, seconds: float) -> None:
        port = int(self.sandbox.url.rpartition(":")[2])
        await self.sandbox.stop()
        self.clients.clear()
        self.began, self.arrivals = time.monotonic(), []
        await deferLater(reactor, seconds)
        self.sandbox = await startSandbox(reactor, port=port)

    def report(self) -> None:
        """When each client came back after the restart, in seconds."""
        self.sendLine(json.dumps([round(a, 2) for a in self.arrivals]).encode())


async def main(tls: bool) -> None:
    sandbox = await startSandbox(reactor, tls=tls)
    sandbox.platform.mechanisms = ("NOAUTH", "PLAIN", "ANONYMOUS")
    firehose = Firehose(sandbox)
    OverTcp.firehose = firehose
    factory = Factory.forProtocol(OverTcp)
    factory.noisy = False
    tcp = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    about = {"url": sandbox.url, "caFile": sandbox.caFile, "tcp": tcp.getHost().port}
    print(json.dumps(about), flush=True)
    StandardIO(firehose)
    await firehose.ended
    await tcp.stopListening()
    await firehose.sandbox.stop()


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main("--tls" in sys.argv[1:])))
