"""
Discovery, websocket, TLS and the sandbox over real sockets on loopback.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

import treq
import txaio
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.client import HTTPConnectionPool

from iris_twisted import IrisRtcConnection
from iris_twisted.addresses import EventManagerAddress
from iris_twisted.discovery import EventManagerClient
from iris_twisted.errors import ApiParameters, ConnectionFailed, IrisError
from iris_twisted.sandbox import Sandbox, SandboxError, startSandbox
from iris_twisted.sandbox.platform import Platform
from iris_twisted.tls import TlsTrust
from iris_twisted.transport.websocket import WebSocketTransport
from iris_twisted.values import ConnectionState

from .doubles import Recorder

RID = "alice@sandbox.test"


class NetworkCase(TestCase):
    """
    Real sockets; each test ends within its time-out, leaves nothing open, and has
    let no secret out: contract promise 14, watched over everything that is logged
    at any level, Autobahn's and treq's loggers included.
    """

    timeout = 30

    def setUp(self) -> None:
        # Each line is searched at once, for what was made lately: a secret leaks in its time.
        self.secrets: deque[str] = deque(maxlen=64)
        self.leaks: list[str] = []
        self.connections: list[IrisRtcConnection] = []
        self.recorders: dict[IrisRtcConnection, Recorder] = {}
        txaio.set_global_log_level("debug")
        self.addCleanup(txaio.set_global_log_level, "info")
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        for name in ("websocketToken", "token"):
            self.patch(Platform, name, self._remembering(getattr(Platform, name)))
        self.addCleanup(self._searched)

    def _remembering(self, make: Callable[..., str]) -> Callable[..., str]:
        def made(*args: Any) -> str:
            secret = make(*args)
            self.secrets.append(secret)
            # As SASL PLAIN would carry it.
            self.secrets.append(base64.b64encode(f"\0alice\0{secret}".encode()).decode()[8:])
            return secret

        return made

    def _search(self, line: str) -> None:
        if any(secret in line for secret in ("CANARY", "TURN-PASSWORD", *self.secrets)):
            self.leaks.append(line)

    def _observe(self, event: LogEvent) -> None:
        self._search(eventAsText(event, includeTraceback=True))
        self._search(repr({k: v for k, v in event.items() if k != "log_logger"}))

    def _searched(self) -> None:
        for connection in self.connections:
            for thing in (connection, connection.serverInfo, connection.stats):
                self._search(repr(thing))
            for call in self.recorders[connection].calls:
                # The notification itself carries its room token.
                text = repr(call)
                if call[0] != "onNotification" and "roomtoken" not in text:
                    self._search(text)
        self.assertEqual(self.leaks, [])

    async def sandbox(self, **options: Any) -> Sandbox:
        sandbox = await startSandbox(reactor, **options)
        ring = Platform.placeCall
        if not hasattr(ring, "remembers"):

            def remembering(*args: Any, **kw: Any) -> Any:
                call = ring(*args, **kw)
                self.secrets.append(call.info["roomtoken"])
                return call

            remembering.remembers = True  # type: ignore[attr-defined]
            self.patch(Platform, "placeCall", remembering)
        self.addCleanup(sandbox.stop)
        return sandbox

    def connection(self, **settings: Any) -> IrisRtcConnection:
        self.recorder = Recorder()
        connection = IrisRtcConnection(reactor, listener=self.recorder, **settings)
        self.connections.append(connection)
        self.recorders[connection] = self.recorder
        self.addCleanup(connection.close)
        return connection

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Let the reactor work until it is so, or the test's time-out ends it: for what a
        peer of its own will does, which has no callback to wait for.
        """
        while not condition():
            await deferLater(reactor, 0)

    def next(self, name: str) -> Deferred[Any]:
        """Fires at the next callback of that name."""
        happened: Deferred[Any] = Deferred()

        def react(*args: Any) -> None:
            del self.recorder.react[name]
            happened.callback(args)

        self.recorder.react[name] = react
        return happened

    async def server(self, answer: Callable[[Protocol, bytes], None]) -> int:
        """A server that answers each piece of data; its port."""
        open: list[Protocol] = []

        class Answering(Protocol):
            def connectionMade(self) -> None:
                open.append(self)

            def dataReceived(self, data: bytes) -> None:
                answer(self, data)

            def connectionLost(self, reason: Any = None) -> None:
                open.remove(self)
                if not open and closing:
                    closing[0].callback(None)

        closing: list[Deferred[None]] = []
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(Answering)
        )

        async def stop() -> None:
            await port.stopListening()
            if open:
                closing.append(Deferred())
                for protocol in open:
                    protocol.transport.abortConnection()
                await closing[0]

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return int(port.getHost().port)

    async def refused(self, connection: IrisRtcConnection, token: str, url: str) -> IrisError:
        """The error that connect() fails with; it is told once, and nothing stays open."""
        try:
            await connection.connect(token, RID, url)
        except IrisError as e:
            self.assertEqual(self.recorder.of("onConnectionError"), [(e.code, e.message)])
            self.assertIs(connection.state, ConnectionState.DISCONNECTED)
            return e
        self.fail("it connected")


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Discovery(NetworkCase):
    """The event manager by treq."""

    async def test_unreachable(self) -> None:
        """A refused connection says what to check."""
        sandbox = await startSandbox(reactor)
        await sandbox.stop()
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertEqual(error.code, -106)
        self.assertIn("is it running", error.message)

    async def test_answers(self) -> None:
        """Every kind of bad answer is one error, at the right code."""
        sandbox = await self.sandbox()
        for status, body, code in (
            (401, b'{"error": {"code": 401, "message": "Invalid token"}}', -116),
            (401, b"<html>", -106),
            (500, b"", -106),
            (200, b"<html>", -106),
            (200, b"{}", -109),
            (200, b'{"websocket_server":', -106),
        ):
            sandbox.answerDiscovery(status, body)
            self.assertEqual((await self.refused(self.connection(), "t", sandbox.url)).code, code)

    async def test_redirect(self) -> None:
        """A redirect is an error, and nothing arrives where it points."""
        arrived: list[bytes] = []
        elsewhere = await self.server(lambda p, data: arrived.append(data))
        sandbox = await self.sandbox()
        sandbox.answerDiscovery(302, b"", Location=f"http://127.0.0.1:{elsewhere}/")
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertIn("redirect", error.message)
        self.assertEqual(arrived, [])

    async def test_tooLarge(self) -> None:
        """More than 64 KiB is refused; so is a gzip bomb, and an endless body."""
        sandbox = await self.sandbox()
        sandbox.answerDiscovery(200, b" " * (64 * 1024 + 1))
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertIn("more than 65536 bytes", error.message)
        bomb = gzip.compress(b"\0" * 100_000_000)
        sandbox.answerDiscovery(200, bomb, Content_Encoding="gzip")
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertIn("more than 65536 bytes", error.message)

        def endless(protocol: Any, data: bytes) -> None:
            protocol.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000)

        port = await self.server(endless)
        error = await self.refused(self.connection(), "t", f"http://127.0.0.1:{port}")
        self.assertIn("more than 65536 bytes", error.message)

    async def test_endlessDiscoveryHeaders(self) -> None:
        """Headers without end, each of a size that Twisted takes, are cut off too."""

        def endless(protocol: Any, data: bytes) -> None:
            header = b"X-%d: " + b"x" * 1000 + b"\r\n"
            protocol.transport.write(b"HTTP/1.1 200 OK\r\n")
            protocol.transport.write(b"".join(header % n for n in range(1000)))

        port = await self.server(endless)
        error = await self.refused(self.connection(), "t", f"http://127.0.0.1:{port}")
        self.assertIn("more than 131072 bytes, headers included", error.message)
        self.assertIn(f"127.0.0.1:{port}", error.message)

    async def test_gzip(self) -> None:
        """An honest compressed answer is read."""
        sandbox = await self.sandbox()
        sandbox.answerDiscovery(200, gzip.compress(b"{}"), Content_Encoding="gzip")
        self.assertEqual((await self.refused(self.connection(), "t", sandbox.url)).code, -109)

    async def test_closed(self) -> None:
        """A connection that is closed without an answer, or in the middle of one."""
        for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"nonsense\r\n\r\n"):

            def reply(protocol: Any, data: bytes, answer: bytes = answer) -> None:
                protocol.transport.write(answer)
                protocol.transport.loseConnection()

            port = await self.server(reply)
            error = await self.refused(self.connection(), "t", f"http://127.0.0.1:{port}")
            self.assertEqual(error.code, -106)

    async def test_slow(self) -> None:
        """An answer that never ends is bounded in time, and its connection is closed."""
        port = await self.server(lambda p, _: p.transport.write(b"HTTP/1.1 200 OK\r\n\r\n{"))
        connection = self.connection(connectTimeout=0.3)
        error = await self.refused(connection, "t", f"http://127.0.0.1:{port}")
        self.assertIn("within 0.3 seconds", error.message)

    async def test_noCookies(self) -> None:
        """What a fleet shares keeps no cookie: it would be another account's."""
        seen: list[bytes] = []

        def reply(protocol: Any, data: bytes) -> None:
            seen.append(data)
            head = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=alice\r\nContent-Length: 2\r\n\r\n"
            protocol.transport.write(head + b"{}")

        port = await self.server(reply)
        address = EventManagerAddress.parse(f"http://127.0.0.1:{port}")
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        client = EventManagerClient(address, reactor, TlsTrust(), pool=pool)
        for routingId in (RID, "bob@sandbox.test"):
            with self.assertRaises(ApiParameters):
                await client.discover("t", routingId, "trace")
        self.assertEqual(len(seen), 2)
        self.assertNotIn(b"cookie", b"".join(seen).lower())

    async def test_whatIsSent(self) -> None:
        """The request of protocol.md: path, bearer token, trace id."""
        seen: list[bytes] = []

        def reply(protocol: Any, data: bytes) -> None:
            seen.append(data)
            protocol.transport.write(http("404 Not Found"))

        port = await self.server(reply)
        connection = self.connection()
        try:
            await connection.connect("the.token", "a b#/ü@x.test", f"http://127.0.0.1:{port}/p")
        except ConnectionFailed:
            pass
        head = seen[0].decode()
        self.assertTrue(
            head.startswith(
                "GET /p/v1/wsturnserverinfo/routingid/a%20b%23%2F%C3%BC@x.test HTTP/1.1\r\n"
            ),
            head,
        )
        self.assertIn("Authorization: Bearer the.token\r\n", head)
        self.assertRegex(head, r"Trace-Id: [0-9a-f]{8}-[0-9a-f-]{27}\r\n")


class Handshake(NetworkCase):
    """security.md, "Handshake"."""

    async def attempt(self, answer: Callable[[Any, bytes], None], **settings: Any) -> IrisError:
        """The error when the websocket server answers the upgrade like this."""
        port = await self.server(answer)
        sandbox = await self.sandbox()
        sandbox.answerDiscovery(
            200,
            json.dumps(
                {
                    "websocket_server": f"127.0.0.1:{port}",
                    "websocket_server_token": "CANARY",
                    "websocket_server_token_expiry_time": 1,
                }
            ).encode(),
        )
        error = await self.refused(self.connection(**settings), "t", sandbox.url)
        self.assertNotIn("CANARY", error.message)
        return error

    async def test_refused(self) -> None:
        """Status codes and nonsense, without the server's words."""
        accept = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA"
        for answer, words in (
            (b"HTTP/1.1 403 CANARY\r\n\r\n", "HTTP 403"),
            (b"HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n", "HTTP 301"),
            (b"HTTP/1.0 101 x\r\n\r\n", "wrongly"),
            (b"HTTP/1.1 abc\r\n\r\n", "wrongly"),
            (b"CANARY\r\n\r\n", "wrongly"),
            (b"\xff\xfe\r\n\r\n", "wrongly"),
            (b"HTTP/1.1 101 x\r\nUpgrade: CANARY\r\n\r\n", "wrongly"),
            (f"HTTP/1.1 101 x\r\n{accept}\r\n\r\n".encode(), "wrongly"),
        ):

            def reply(protocol: Any, data: bytes, answer: bytes = answer) -> None:
                protocol.transport.write(answer)

            error = await self.attempt(reply)
            self.assertEqual(error.code, -106)
            self.assertIn(words, error.message)

    async def test_endlessHeaders(self) -> None:
        """Headers are bounded in size."""
        error = await self.attempt(
            lambda p, _: p.transport.write(b"HTTP/1.1 101 x\r\nA: " + b"b" * 20_000)
        )
        self.assertIn("endlessly", error.message)

    async def test_slowHeaders(self) -> None:
        """And in time."""
        error = await self.attempt(lambda p, _: None, connectTimeout=0.3)
        self.assertIn("did not open a connection", error.message)

    @staticmethod
    def accept(data: bytes, protocol: str | None, extra: bytes = b"") -> bytes:
        import hashlib

        key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        answer = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        ]
        if protocol is not None:
            answer.append(f"Sec-WebSocket-Protocol: {protocol}".encode())
        return b"\r\n".join([*answer, b"", b""]) + extra

    async def test_subProtocol(self) -> None:
        """A missing or another sub-protocol fails the handshake."""
        for protocol in (None, "mqtt", "CANARY"):
            error = await self.attempt(
                lambda p, d, protocol=protocol: p.transport.write(self.accept(d, protocol))
            )
            self.assertEqual(error.code, -106)

    async def frames(self, *frames: bytes) -> IrisError:
        """The error when these frames follow right after the 101."""
        return await self.attempt(
            lambda p, d: (
                p.transport.write(self.accept(d, "xmpp", b"".join(frames)))
                if d.startswith(b"GET")
                else None
            )
        )

    async def test_framesAfterTheUpgrade(self) -> None:
        """Frames in the same read as the 101 are heard; bad ones end it with -105."""
        error = await self.frames(b"\x81\x0c<!DOCTYPE a>")
        self.assertEqual((error.code, "malformed XML" in error.message), (-105, True))
        error = await self.frames(b"\x82\x04<a/>")
        self.assertEqual((error.code, "binary" in error.message), (-105, True))
        for bad in (b"\x81\x02\xff\xfe", b"\x83\x01x", b"\xf1\x01x", b"\x81\x84aaaaxxxx"):
            error = await self.frames(bad)
            self.assertEqual((error.code, "invalid" in error.message), (-105, True), repr(bad))

    async def test_frameSize(self) -> None:
        """A frame over the limit is refused by its header; so is a message over many frames."""
        big = b"\x81\x7f" + (256 * 1024 + 1).to_bytes(8, "big")
        error = await self.frames(big)
        self.assertEqual((error.code, "262144 bytes" in error.message), (-105, True))
        half = b"\x01\x7f" + (200_000).to_bytes(8, "big") + b" " * 200_000
        error = await self.frames(half, b"\x00" + half[1:])
        self.assertEqual((error.code, "262144 bytes" in error.message), (-105, True))

    async def test_deflateBomb(self) -> None:
        """A compressed message that grows over the limit is refused, where compression is on."""
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflate.compress(b" " * 50_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
        frame = b"\xc1\x7f" + (len(bomb) - 4).to_bytes(8, "big") + bomb[:-4]

        def answer(protocol: Any, data: bytes) -> None:
            if data.startswith(b"GET"):
                head = self.accept(data, "xmpp")[:-2]
                extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
                protocol.transport.write(head + extension + frame)

        transport = WebSocketTransport(perMessageDeflate=True)
        error = await self.attempt(answer, transport=transport)
        self.assertEqual(error.code, -105)

    async def test_pingFrame(self) -> None:
        """A websocket ping is answered (promise 10)."""
        heard: list[bytes] = []

        def answer(protocol: Any, data: bytes) -> None:
            if data.startswith(b"GET"):
                protocol.transport.write(self.accept(data, "xmpp", b"\x89\x02hi"))
            else:
                heard.append(data)
                if b"\x8a\x82" in b"".join(heard):
                    protocol.transport.loseConnection()

        error = await self.attempt(answer, dialect="framed")
        self.assertEqual(error.code, -106)

    async def test_peerThatDoesNotRead(self) -> None:
        """A peer that pings on and on and never reads our answers cannot fill our memory."""
        states: list[Any] = []
        ping = b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
        frame = b"\x81" + bytes([len(ping)]) + ping
        sandbox = await self.sandbox()
        connection = self.connection(pingInterval=0.2, pingTimeout=1.0)
        await connection.connect("any", RID, sandbox.url)
        (client,) = sandbox.sessions
        client.transport.pauseProducing()
        lost = self.next("onDisconnected")
        transport = connection._driver._link._transport.transport

        def flood() -> None:
            if connection.isConnectionAlive() and client.transport.connected:
                client.transport.write(frame * 500)
                states.append(len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer)))
                reactor.callLater(0.001, flood)  # type: ignore[attr-defined]

        flood()
        await lost
        # A little more than what the kernel takes, and no more with time.
        self.assertLess(max(states), 2_000_000)

    async def test_wirePath(self) -> None:
        """What the socket sees of the path is what was encoded, byte for byte."""
        lines: list[bytes] = []

        def answer(protocol: Any, data: bytes) -> None:
            lines.append(data.partition(b"\r\n")[0])
            protocol.transport.write(b"HTTP/1.1 403 no\r\n\r\n")

        port = await self.server(answer)
        sandbox = await self.sandbox()
        body = {
            "websocket_server": f"127.0.0.1:{port}",
            "websocket_server_token": "a;b/../c?d#e f%",
            "websocket_server_token_expiry_time": "1",
        }
        sandbox.answerDiscovery(200, json.dumps(body).encode())
        try:
            await self.connection().connect("any", "a;b c/..@x.test", sandbox.url)
        except ConnectionFailed:
            pass
        self.assertEqual(
            lines[0],
            b"GET /xmpp-websocket/routingid/a%3Bb%20c%2F..@x.test/timestamp/1/token/"
            b"a%3Bb%2F..%2Fc%3Fd%23e%20f%25 HTTP/1.1",
        )

    async def test_closeFrame(self) -> None:
        """A close frame, also from a server that keeps the socket open."""
        error = await self.frames(b"\x88\x02\x03\xf3")
        self.assertIn("code 1011", error.message)


class EndToEnd(NetworkCase):
    """The whole house on a sandbox, plain and with TLS."""

    async def session(self, **options: Any) -> tuple[Sandbox, IrisRtcConnection]:
        sandbox = await self.sandbox(**options)
        connection = self.connection(trustRoot=sandbox.caFile)
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        return sandbox, connection

    async def test_call(self) -> None:
        """A call arrives, is acknowledged, rejected and cancelled, over ws and wss."""
        for tls in (False, True):
            sandbox, connection = await self.session(tls=tls)
            ringing = self.next("onNotification")
            call = sandbox.placeCall(RID, caller="+1 \"<&>'\n", room="room 1")
            ((info,)) = await ringing
            self.assertEqual(
                info[0]["roomId"] if isinstance(info, tuple) else info["roomId"], "room 1"
            )
            self.assertEqual(info["userdata"]["data"]["cid"], "+1 \"<&>'\n")
            await connection.rejectSession(info)
            self.assertEqual(call.state, "rejected")
            ringing = self.next("onNotification")
            sandbox.cancelCall(call.id)
            (info,) = await ringing
            self.assertEqual(info["type"], "cancel")
            turn = connection.serverInfo.turnCredentials
            self.assertTrue(turn.iceServers[0].urls[0].startswith("turn:"))

    async def test_drops(self) -> None:
        """Every kind of drop is survived, on TLS too."""
        sandbox, connection = await self.session(tls=True)
        for how in ("abort", "close", "disconnect"):
            back = self.next("onConnected")
            self.patch(connection._driver._settings.retryPolicy, "_base", 0.01)
            sandbox.drop(how)
            await back
        self.assertEqual(connection.stats.reconnects, 3)
        self.assertEqual(self.recorder.of("onConnectionError"), [])

    async def test_mechanisms(self) -> None:
        """PLAIN, ANONYMOUS and NOAUTH; both dialects."""
        for mechanism, settings in (
            ("PLAIN", {}),
            ("ANONYMOUS", {"anonymous": True}),
            ("NOAUTH", {"dialect": "framed"}),
        ):
            sandbox = await self.sandbox()
            sandbox.platform.mechanisms = (mechanism,)
            connection = self.connection(**settings)
            await connection.connect("any", RID, sandbox.url)
            self.assertTrue(connection.isConnectionAlive())

    async def test_refusedWebsocket(self) -> None:
        """A websocket token that the server refuses is one error."""
        sandbox = await self.sandbox()
        self.patch(sandbox.platform.__class__, "admits", lambda *_: False)
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertIn("HTTP 403", error.message)

    async def test_hangs(self) -> None:
        """Hanging at any step ends in time, with nothing left open."""
        for step in ("discovery", "upgrade", "stream", "sasl", "bind", "session"):
            sandbox = await self.sandbox()
            sandbox.hang(step)
            error = await self.refused(self.connection(connectTimeout=0.2), "t", sandbox.url)
            self.assertEqual(error.code, -106)

    async def test_silence(self) -> None:
        """A server that stops answering is found out."""
        sandbox = await self.sandbox()
        connection = self.connection(pingInterval=0.05, pingTimeout=0.2)
        await connection.connect("any", RID, sandbox.url)
        lost = self.next("onDisconnected")
        sandbox.hang("ping")
        await lost

    async def test_deflate(self) -> None:
        """permessage-deflate works when it was asked for."""
        sandbox = await self.sandbox()
        connection = self.connection(transport=WebSocketTransport(perMessageDeflate=True))
        await connection.connect("any", RID, sandbox.url)
        self.assertTrue(connection.isConnectionAlive())


class SandboxControl(NetworkCase):
    """The control API and its Python face."""

    async def request(self, method: str, path: str, body: Any = None, **kw: Any) -> tuple[int, Any]:
        data = (
            None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        response = await treq.request(
            method, self.url + path, data=data, reactor=reactor, persistent=False, **kw
        )
        content = await response.content()
        return response.code, json.loads(content) if content.strip() else None

    async def test_calls(self) -> None:
        """Place, list, tell again and cancel a call; list and drop a session."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        status, call = await self.request("POST", "/control/calls", {"to": RID})
        self.assertEqual((status, call["state"]), (201, "missed"))
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        status, call = await self.request(
            "POST",
            "/control/calls",
            {"to": RID, "from": "bob@b.test", "room": "r9", "caller": "+5"},
        )
        (info,) = await ringing
        self.assertEqual(
            (info["roomid"], info["routingid"], call["state"]), ("r9", "bob@b.test", "ringing")
        )
        self.assertNotIn("roomtoken", call)
        status, calls = await self.request("GET", "/control/calls")
        self.assertEqual((status, len(calls)), (200, 2))
        ringing = self.next("onNotification")
        status, call = await self.request("POST", f"/control/calls/{call['id']}")
        self.assertEqual((status, call["roomid"]), (201, "r9"))
        self.assertEqual((await ringing)[0], info)
        status, call = await self.request("DELETE", f"/control/calls/{call['id']}")
        self.assertEqual((status, call["state"]), (200, "cancelled"))
        status, sessions = await self.request("GET", "/control/sessions")
        self.assertEqual([s["jid"] for s in sessions], [connection.jid])
        self.assertEqual(sessions[0]["dialect"], "stream")
        lost = self.next("onDisconnected")
        status, _ = await self.request("DELETE", f"/control/sessions/{sessions[0]['id']}?how=close")
        self.assertEqual(status, 204)
        await lost

    async def test_trouble(self) -> None:
        """Discovery's answer, hanging, tokens."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        answer = {"status": 401, "body": {"error": {"code": 401, "message": "no"}}}
        self.assertEqual((await self.request("PUT", "/control/discovery", answer))[0], 204)
        error = await self.refused(self.connection(), "any", sandbox.url)
        self.assertEqual(error.code, -116)
        self.assertEqual((await self.request("DELETE", "/control/discovery"))[0], 204)
        self.assertEqual((await self.request("PUT", "/control/hang", {"step": "bind"}))[0], 204)
        self.assertEqual(sandbox.platform.hanging, {"bind"})
        self.assertEqual((await self.request("DELETE", "/control/hang"))[0], 204)
        self.assertEqual(sandbox.platform.hanging, set())
        status, made = await self.request(
            "POST", "/control/tokens", {"routingId": RID, "lifetime": -5}
        )
        self.assertEqual(status, 201)
        error = await self.refused(self.connection(), made["token"], sandbox.url)
        self.assertEqual(error.code, -116)
        self.assertEqual((await self.request("DELETE", "/control/tokens/bad"))[0], 204)
        error = await self.refused(self.connection(), "bad", sandbox.url)
        self.assertEqual(error.code, -116)

    async def test_mistakes(self) -> None:
        """Each mistake is answered with a sentence."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        for method, path, body, status, word in (
            ("POST", "/control/calls", {}, 400, "to must"),
            ("POST", "/control/calls", {"to": "alice"}, 400, "to must"),
            ("POST", "/control/calls", {"to": 5}, 400, "to must"),
            ("POST", "/control/calls", {"to": RID, "room": "\0"}, 400, "roomid holds"),
            ("POST", "/control/calls", b"{", 400, "not JSON"),
            ("POST", "/control/calls", b"[]", 400, "object"),
            ("DELETE", "/control/calls/x", None, 400, "no call 'x'"),
            ("POST", "/control/calls/x", None, 400, "no call 'x'"),
            ("DELETE", "/control/sessions/x", None, 400, "no session 'x'"),
            ("PUT", "/control/hang", {"step": "lunch"}, 400, "step must"),
            ("PUT", "/control/discovery", {"status": 99}, 400, "status must"),
            ("POST", "/control/tokens", {"routingId": RID, "lifetime": "x"}, 400, "lifetime must"),
            ("PATCH", "/control/calls", None, 404, "nothing that"),
            ("GET", "/control/calls/1/2", None, 404, "nothing that"),
        ):
            code, answer = await self.request(method, path, body)
            self.assertEqual(code, status)
            self.assertIn(word, answer["error"])
        for path in ("/", "/v1/nothing", "/v1.1/x/y/z", "/elsewhere"):
            response = await treq.get(self.url + path, reactor=reactor, persistent=False)
            await response.content()
            self.assertEqual(response.code, 404)
        for path in ("/xmpp-websocket/x", "/xmpp-websocket/routingid/a/timestamp/1/token/t"):
            response = await treq.get(self.url + path, reactor=reactor, persistent=False)
            await response.content()
            self.assertIn(response.code, (403, 404))
        self.assertRaises(SandboxError, sandbox.platform.drop, "x")
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        self.assertRaises(SandboxError, sandbox.drop, "gently")

    async def test_preflight(self) -> None:
        """A browser may ask from anywhere."""
        sandbox = await self.sandbox()
        response = await treq.request(
            "OPTIONS",
            sandbox.url + f"/v1/wsturnserverinfo/routingid/{RID}",
            headers={
                "Access-Control-Request-Headers": "authorization,trace-id",
                "Origin": "http://x",
            },
            reactor=reactor,
            persistent=False,
        )
        await response.content()
        self.assertEqual(response.code, 204)
        headers = {k.lower(): v for k, v in response.headers.getAllRawHeaders()}
        self.assertEqual(headers[b"access-control-allow-origin"], [b"*"])
        self.assertEqual(headers[b"access-control-allow-headers"], [b"authorization,trace-id"])

    async def test_betweenUsers(self) -> None:
        """A private IQ from one user reaches another, and the answer comes back."""
        from iris_twisted.rtc.names import IRIS, PRIVATE
        from iris_twisted.xmpp.elements import Element

        sandbox = await self.sandbox()
        alice = self.connection(trustedSenders=["bob@sandbox.test"])
        await alice.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        bob = IrisRtcConnection(reactor)
        self.addCleanup(bob.close)
        await bob.connect("any", "bob@sandbox.test", sandbox.url)
        link = bob._driver._link
        data = Element("data", IRIS, {"type": "notify", "roomid": "r"})
        query = Element("query", PRIVATE, children=[data])
        answer = link.sendIq([query], alice.jid)
        (info,) = await ringing
        self.assertEqual(info["roomid"], "r")
        self.assertEqual((await answer).get("from"), alice.jid)
        from iris_twisted.errors import StanzaError

        for to in ("nobody@sandbox.test/x", "sandbox.test"):
            with self.assertRaises(StanzaError):
                await link.sendIq([query], to)
