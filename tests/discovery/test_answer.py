"""
L{iris_twisted.discovery.answer}: every kind of answer of protocol.md sections 1 and 7.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.discovery.answer import readAnswer, readTurnCredentials
from iris_twisted.discovery.server_info import IceServer, ServerInfo
from iris_twisted.errors import ApiParameters, ConnectionFailed, IrisError, TokenRefused

ORIGIN = "https://evm.example.test:443"
GOOD: dict[str, Any] = {
    "websocket_server": "rtc.example.test",
    "websocket_server_token": "WT",
    "websocket_server_token_expiry_time": "1700000000",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def read(status: int, body: Any, token: str = "SECRET") -> ServerInfo:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return readAnswer(ORIGIN, status, content, token, 1000.0)


class Answers(SynchronousTestCase):
    """Status and body to ServerInfo, or an error."""

    def test_good(self) -> None:
        """The three fields, and no TURN credentials."""
        self.assertEqual(read(200, GOOD), ServerInfo("rtc.example.test", "WT", "1700000000"))

    def test_numericExpiry(self) -> None:
        """The expiry may be a number."""
        for value in (1700000000, 1700000000.0):
            info = read(200, {**GOOD, "websocket_server_token_expiry_time": value})
            self.assertEqual(info.tokenExpiry, "1700000000")

    def test_tokenRefused(self) -> None:
        """A 401 with the event manager's error object is -116, in its words, without the token."""
        with self.assertRaises(TokenRefused) as caught:
            read(401, {"error": {"code": 401, "message": "Invalid token SECRET\x1b[31m"}})
        self.assertIn("(Invalid token ... [31m)", caught.exception.message)
        self.assertNotIn("SECRET", caught.exception.message)

    def test_otherFailures(self) -> None:
        """Everything else that is not 200 is -106; so is a 401 of a proxy."""
        for status, body, words in (
            (401, b"<html>login</html>", "proxy"),
            (401, b"", "proxy"),
            (401, {"message": "x"}, "proxy"),
            (401, {"error": "x"}, "proxy"),
            (403, b"<html>", "403"),
            (404, {"error": {"message": 5}}, "404"),
            (500, {"error": {"message": "boom"}}, "(boom)"),
            (302, b"", "redirect"),
            (204, b"", "204"),
            (200, b"", "empty body"),
            (200, b"<html>", "not JSON"),
            (200, b'{"websocket_server":', "not JSON"),
            (200, b"\xff\xfe", "not JSON"),
            (200, b'{"a": NaN}', "not JSON"),
            (200, b"[" * 100_000, "not JSON"),
            (200, b"9" * 5000, "not JSON"),
        ):
            with self.assertRaises(ConnectionFailed) as caught:
                read(status, body)
            self.assertEqual(caught.exception.code, -106)
            self.assertIn(words, caught.exception.message)
            self.assertIn(ORIGIN, caught.exception.message)

    def test_wrongShape(self) -> None:
        """Valid JSON that lacks or mistypes a field is -109 and names it."""
        for body, word in (
            ([], "object"),
            (None, "object"),
            ("text", "object"),
            (5, "object"),
            ({}, "websocket_server"),
            ({**GOOD, "websocket_server": 5}, "websocket_server in"),
            ({**GOOD, "websocket_server": ""}, "websocket_server"),
            ({**GOOD, "websocket_server_token": None}, "websocket_server_token"),
            ({**GOOD, "websocket_server_token": ".."}, "websocket_server_token"),
            ({**GOOD, "websocket_server_token": "a\nb"}, "websocket_server_token"),
            ({**GOOD, "websocket_server_token_expiry_time": None}, "expiry_time"),
            ({**GOOD, "websocket_server_token_expiry_time": True}, "expiry_time"),
            ({**GOOD, "websocket_server_token_expiry_time": 10**400}, "expiry_time"),
            ({**GOOD, "websocket_server_token_expiry_time": []}, "expiry_time"),
        ):
            with self.assertRaises(ApiParameters) as caught:
                read(200, body)
            self.assertEqual(caught.exception.code, -109)
            self.assertIn(word, caught.exception.message)

    def test_infinity(self) -> None:
        """A number that overflows to infinity is no time."""
        body = json.dumps(GOOD).replace('"1700000000"', "1e999").encode()
        self.assertRaises(ApiParameters, read, 200, body)

    @given(st.integers(200, 599), JSON | st.binary())
    def test_anything(self, status: int, body: Any) -> None:
        """Whatever comes, it is an answer or an error of ours."""
        try:
            read(status, body)
        except IrisError:
            pass

    @given(st.fixed_dictionaries(dict.fromkeys([*GOOD, "turn_credentials"], JSON)))
    def test_anyFields(self, body: dict[str, Any]) -> None:
        """Whatever the fields hold, it is an answer or an error of ours."""
        try:
            read(200, body)
        except IrisError:
            pass


class Turn(SynchronousTestCase):
    """TURN credentials: every form, and never a reason to fail."""

    def test_iceServers(self) -> None:
        """The mobile and web clients' form, as a string holding JSON or as the object."""
        value = {
            "ttl": "60",
            "ice_servers": [
                {"urls": "turn:a", "username": "u", "credential": "CANARY"},
                {"urls": ["stun:b", "", 5]},
                "nonsense",
                {},
            ],
        }
        for form in (value, json.dumps(value)):
            turn = readTurnCredentials(form, 1000.0)
            assert turn is not None
            self.assertEqual(
                turn.iceServers, (IceServer(("turn:a",), "u", "CANARY"), IceServer(("stun:b",)))
            )
            self.assertEqual(turn.expiresAt, 1060.0)
            self.assertNotIn("CANARY", repr(turn))

    def test_otherForm(self) -> None:
        """The form of other TURN servers."""
        value = {"username": "u", "password": "p", "ttl": 60, "uris": ["turn:a"]}
        turn = readTurnCredentials(value, 0.0)
        assert turn is not None
        self.assertEqual(turn.iceServers, (IceServer(("turn:a",), "u", "p"),))

    def test_unusable(self) -> None:
        """What cannot be read is None; an unusable ttl is no expiry."""
        for value in (None, "", "{", 5, [], {}, {"ice_servers": "x"}, {"uris": []}, "[]"):
            self.assertIsNone(readTurnCredentials(value, 0.0))
        for ttl in (None, True, "x", -1, "nan", 10**400, []):
            turn = readTurnCredentials({"ttl": ttl, "uris": "turn:a"}, 0.0)
            assert turn is not None
            self.assertIsNone(turn.expiresAt)

    @given(JSON)
    def test_anything(self, value: Any) -> None:
        """Nothing raises."""
        readTurnCredentials(value, 0.0)
        readTurnCredentials(json.dumps(value), 0.0)
