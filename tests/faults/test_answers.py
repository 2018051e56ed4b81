"""
XMPP answers of every kind, over the wire, where the sandbox would answer well.
"""

from __future__ import annotations

from collections.abc import Callable

from iris_twisted.errors import BackendError, ConnectionFailed, NotSupported, ProtocolViolation
from iris_twisted.sandbox.rtc_server import _Client

from ..network import RID, NetworkCase

SASL = 'xmlns="urn:ietf:params:xml:ns:xmpp-sasl"'
ERROR = (
    b'<iq type="error" id="%s"><error><not-allowed xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
    b"</error></iq>"
)
STREAM_ERROR = (
    b'<stream:error xmlns:stream="http://etherx.jabber.org/streams">'
    b'<internal-server-error xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>'
)


class Answers(NetworkCase):
    """Each spoiled answer ends a first connect() in its one error, with nothing left open."""

    def spoil(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Let the sandbox say something else than it would."""
        flush = _Client._flush

        def spoiling(client: _Client) -> None:
            client._session.outgoing = change(client._session.outgoing)
            flush(client)

        self.patch(_Client, "_flush", spoiling)

    def instead(self, marker: bytes, answer: bytes) -> None:
        """Let it say this instead of what holds a marker."""
        self.spoil(lambda messages: [answer if marker in m else m for m in messages])

    async def test_refusals(self) -> None:
        """SASL failure, bind and session errors, stream error, at each step."""
        failure = f"<failure {SASL}><account-disabled/></failure>".encode()
        for marker, answer, kind, words in (
            (b"<success", failure, BackendError, "account-disabled"),
            (b'id="bind"', ERROR % b"bind", BackendError, "bind a resource: not-allowed"),
            (b'id="sess"', ERROR % b"sess", BackendError, "start the session: not-allowed"),
            (b"<stream:features", STREAM_ERROR, BackendError, "internal-server-error"),
            (b"<success", STREAM_ERROR, BackendError, "internal-server-error"),
            (b'id="bind"', STREAM_ERROR, BackendError, "internal-server-error"),
            (b"<mechanisms", b"<stream:features/>", NotSupported, "no SASL mechanism"),
        ):
            sandbox = await self.sandbox()
            self.instead(marker, answer)
            error = await self.refused(self.connection(dialect="stream"), "any", sandbox.url)
            self.assertIsInstance(error, kind, words)
            self.assertIn(words, error.message)
            self.patch(_Client, "_flush", ORIGINAL)

    async def test_violations(self) -> None:
        """Malformed XML, bad UTF-8, DOCTYPE, depth, size, children: -105 at each step."""
        for answer, words in (
            (b"<a></b>", "malformed"),
            (b"<a>\xff</a>", ""),
            (b"<a><!DOCTYPE b></a>", "malformed"),
            (b"<a><!-- x --></a>", "comment"),
            (b"<a><?x y?></a>", "processing instruction"),
            (b"<a>" * 40 + b"</a>" * 40, "deeper than 32"),
            (b"<a>" + b"<b/>" * 300 + b"</a>", "256 children"),
            (b"<iq type='get' id='" + b"x" * 2000 + b"'><a xmlns='b'/></iq>", "id or sender"),
        ):
            for marker in (b"<stream:features", b"<success", b'id="bind"'):
                sandbox = await self.sandbox()
                self.instead(marker, answer)
                error = await self.refused(self.connection(dialect="stream"), "any", sandbox.url)
                self.assertIsInstance(error, ProtocolViolation, words)
                self.assertIn(words, error.message)
                self.patch(_Client, "_flush", ORIGINAL)

    async def test_doctypeSplitAtEachByte(self) -> None:
        """A DOCTYPE in two frames, cut anywhere, ends the session with -105."""
        doctype = b"<!DOCTYPE bomb>"
        for cut in range(1, len(doctype)):
            sandbox = await self.sandbox()
            pieces = [doctype[:cut], doctype[cut:]]
            self.spoil(
                lambda messages, pieces=pieces: [
                    piece for m in messages for piece in (pieces if b"<success" in m else [m])
                ]
            )
            error = await self.refused(self.connection(dialect="stream"), "any", sandbox.url)
            self.assertIsInstance(error, ProtocolViolation)
            self.patch(_Client, "_flush", ORIGINAL)

    async def test_manyStanzasInAFrame(self) -> None:
        """In the stream dialect all may come in one frame."""
        sandbox = await self.sandbox()
        self.spoil(lambda messages: [b"".join(messages)] if messages else [])
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        sandbox.placeCall(RID)
        await ringing

    async def test_stanzaOverManyFrames(self) -> None:
        """And each byte in a frame of its own."""
        sandbox = await self.sandbox()
        self.spoil(lambda messages: [bytes([byte]) for m in messages for byte in m])
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        sandbox.placeCall(RID)
        await ringing

    async def test_twoStanzasInAFramedMessage(self) -> None:
        """In the framed dialect that is a violation."""
        sandbox = await self.sandbox()
        self.spoil(lambda messages: [b"".join(messages)] if messages else [])
        error = await self.refused(self.connection(dialect="framed"), "any", sandbox.url)
        self.assertIsInstance(error, ProtocolViolation)

    async def test_wrongDialect(self) -> None:
        """A server that speaks the other dialect only is found by auto, and refused when fixed."""
        sandbox = await self.sandbox()
        sandbox.platform.dialects = ("framed",)
        await self.connection().connect("any", RID, sandbox.url)
        error = await self.refused(self.connection(dialect="stream"), "any", sandbox.url)
        self.assertIsInstance(error, ConnectionFailed)


ORIGINAL = _Client._flush
