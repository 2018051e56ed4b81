"""
L{iris_twisted.discovery.client}: discovery over real sockets on loopback.
"""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet import reactor
from twisted.web.client import HTTPConnectionPool

from iris_twisted.discovery import EventManagerClient
from iris_twisted.discovery.event_manager_address import EventManagerAddress
from iris_twisted.errors import ApiParameters, ConnectionFailed
from iris_twisted.net.tls import TlsTrust
from iris_twisted.sandbox import startSandbox

from ..network import RID, NetworkCase


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
