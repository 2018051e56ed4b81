"""
L{iris_twisted.transport.websocket}: handshakes over real sockets on loopback.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor

from iris_twisted.errors import ConnectionFailed, IrisError
from iris_twisted.transport.websocket import WebSocketTransport

from ..network import RID, NetworkCase


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
