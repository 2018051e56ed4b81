"""
L{iris_twisted.net.addresses}: security.md, "URL injection".
"""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.websocket_address import locate
from iris_twisted.discovery.event_manager_address import EventManagerAddress
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import ApiParameters, ConnectionFailed, IncorrectParameters
from iris_twisted.net.addresses import RoutingId, checkToken, isLoopback, segment
from iris_twisted.transport.destination import Destination
from iris_twisted.transport.websocket import WebSocketTransport

SCHEMES = {scheme.name: scheme for scheme in WebSocketTransport.schemes}
INFO = ServerInfo("rtc.example.test", "ws-token", "1700000000")


class Segments(SynchronousTestCase):
    """Values in a path."""

    @given(st.text())
    def test_roundTrip(self, value: str) -> None:
        """What is accepted comes back the same, in URL-safe bytes; the rest is refused."""
        try:
            encoded = segment("x", value)
        except IncorrectParameters as e:
            self.assertIn("x must not", e.message)
            return
        self.assertEqual(unquote(encoded), value)
        self.assertRegex(encoded, r"\A[A-Za-z0-9_.~@%-]+\Z")

    def test_keptAndEncoded(self) -> None:
        """The at sign is kept; what would end the segment is encoded."""
        self.assertEqual(segment("x", "a b#?/@é"), "a%20b%23%3F%2F@%C3%A9")

    def test_refused(self) -> None:
        """Nothing, dots and control characters are refused by name."""
        for value in ("", ".", "..", "a\r\nb", "a\x00", "\x7f", "\x85", "\ud800"):
            with self.assertRaises(IncorrectParameters) as caught:
                segment("the token", value)
            self.assertIn("the token", caught.exception.message)


class RoutingIds(SynchronousTestCase):
    """user@domain."""

    def test_parts(self) -> None:
        """The domain is what follows the last at sign; the bare JID is in lower case."""
        parsed = RoutingId.parse("Alice@Example.test")
        self.assertEqual((parsed.local, parsed.domain), ("Alice", "Example.test"))
        self.assertEqual(parsed.bare, "alice@example.test")

    def test_strange(self) -> None:
        """Characters that break the official client are no obstacle."""
        RoutingId.parse("a b#?/c@example.test")

    def test_refused(self) -> None:
        """What has no side, or no domain, is refused with a sentence."""
        for value in (
            None,
            7,
            "",
            "alice",
            "@x",
            "x@",
            "a@b c",
            "a@b/c",
            "a@-b",
            "a\n@b",
            "a@b..c",
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                RoutingId.parse(value)
            self.assertIn("routingId", caught.exception.message)


class EventManagers(SynchronousTestCase):
    """The event manager's address."""

    def test_forms(self) -> None:
        """host, host:port, https URL with a path; http on loopback."""
        for text, url in (
            ("evm.example.test", "https://evm.example.test:443"),
            ("evm.example.test:8443", "https://evm.example.test:8443"),
            ("https://evm.example.test/a/b/", "https://evm.example.test:443/a/b"),
            ("https://[::1]:99", "https://[::1]:99"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost/p%20q", "http://localhost:80/p%20q"),
        ):
            address = EventManagerAddress.parse(text)
            self.assertEqual(
                address.discoveryUrl("a@b", False), f"{url}/v1/wsturnserverinfo/routingid/a@b"
            )

    def test_anonymous(self) -> None:
        """An anonymous login asks elsewhere."""
        address = EventManagerAddress.parse("evm.example.test")
        self.assertEqual(
            address.discoveryUrl("a/b@c", True),
            "https://evm.example.test:443/v1.1/wsturnserver/anonymoususer/a%2Fb@c",
        )

    def test_insecure(self) -> None:
        """http beyond loopback needs insecure=True."""
        EventManagerAddress.parse("http://evm.example.test", insecure=True)

    def test_refused(self) -> None:
        """Everything else is refused, named, with what is wrong."""
        for value, words in (
            (None, "text"),
            ("", "empty"),
            ("ftp://evm.example.test", "https"),
            ("http://evm.example.test", "not encrypted"),
            ("https://", "host"),
            ("https://a b", "spaces"),
            ("https://a\r\nb", "control"),
            ("https://a\\b", "backslashes"),
            ("https://u:p@evm.example.test", "user name"),
            ("https://evm.example.test:0", "port"),
            ("https://evm.example.test:99999", "URL"),
            ("https://evm.example.test:", "port"),
            ("https://evm.example.test/a/../b", "segments"),
            ("https://evm.example.test/a//b", "segments"),
            ("https://evm.example.test?x", "query"),
            ("https://evm.example.test#x", "fragment"),
            ("https://[::g]", "URL"),
            ("https://a..b", "host"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                EventManagerAddress.parse(value)
            self.assertIn("eventManagerUrl", caught.exception.message)
            self.assertIn(words, caught.exception.message)


class Tokens(SynchronousTestCase):
    """Iris tokens, fit for a header."""

    @given(st.text())
    def test_neverBreaksAHeader(self, value: str) -> None:
        """What is accepted is visible ASCII; what is refused is not repeated."""
        try:
            checkToken("irisToken", value)
        except IncorrectParameters as e:
            if len(value) > 3 and not value.isspace() and value not in "irisToken must be":
                self.assertNotIn(f"'{value}'", e.message)
        else:
            self.assertRegex(value, r"\A[!-~]+\Z")


class Locating(SynchronousTestCase):
    """Where the websocket is."""

    def locate(self, server: str, **kw: object) -> Destination:
        options = {"secure": True, "insecure": False, **kw}
        return locate(server, INFO, "alice@example.test", SCHEMES, **options)  # type: ignore[arg-type]

    def test_hosts(self) -> None:
        """host and host:port take the scheme of discovery, and the path of protocol.md."""
        place = self.locate("rtc.example.test:8443")
        self.assertEqual(place.name, "wss://rtc.example.test:8443")
        self.assertEqual(
            place.path,
            "/xmpp-websocket/routingid/alice@example.test/timestamp/1700000000/token/ws-token",
        )
        self.assertEqual(self.locate("127.0.0.1", secure=False).name, "ws://127.0.0.1:80")

    def test_urls(self) -> None:
        """A URL with a path is complete; one without gets the path."""
        self.assertEqual(self.locate("wss://rtc.example.test/a%2Fb").path, "/a%2Fb")
        self.assertIn("/token/ws-token", self.locate("wss://rtc.example.test/").path)
        self.assertEqual(self.locate("wss://[::1]:5").host, "::1")

    def test_malformed(self) -> None:
        """What is no address is -109, and its path stays out of the error."""
        for server in (
            "",
            "a b",
            "a\nb",
            "host/path-CANARY",
            "host;x",
            "host?x",
            "https://host/CANARY",
            "xmpps://host",
            "wss://host/../CANARY",
            "wss://u:CANARY@host",
            "host:port",
            "host:99999",
            "://x",
        ):
            with self.assertRaises(ApiParameters) as caught:
                self.locate(server)
            self.assertNotIn("CANARY", caught.exception.message)

    def test_badTokenOfDiscovery(self) -> None:
        """A token that cannot be a segment is the event manager's fault."""
        info = ServerInfo("host", "..", "1")
        with self.assertRaises(ApiParameters):
            locate("host", info, "a@b", SCHEMES, secure=True, insecure=False)

    def test_downgrade(self) -> None:
        """From https to ws is refused, loopback or not; plain text to strangers too."""
        for server, secure in (
            ("ws://rtc.example.test", True),
            ("ws://127.0.0.1", True),
            ("rtc.example.test", False),
            ("ws://rtc.example.test", False),
        ):
            with self.assertRaises(ConnectionFailed) as caught:
                self.locate(server, secure=secure)
            self.assertIn("not be encrypted", caught.exception.message)
            self.locate(server, secure=secure, insecure=True)

    def test_allowedHosts(self) -> None:
        """A suffix allows itself and what is below it, whole labels only."""
        for server, allowed in (
            ("example.test", True),
            ("RTC.Example.test.", True),
            ("evilexample.test", False),
            ("example.test.evil", False),
        ):
            if allowed:
                self.locate(server, allowedHosts=["Example.test"])
            else:
                self.assertRaises(
                    ConnectionFailed, self.locate, server, allowedHosts=["Example.test"]
                )

    def test_secretsInReprs(self) -> None:
        """No repr shows the path or the token."""
        self.assertNotIn("ws-token", repr(self.locate("host")) + repr(INFO))

    def test_loopback(self) -> None:
        """What cannot leave the machine."""
        for host in ("localhost", "LOCALHOST.", "a.localhost", "127.3.2.1", "::1"):
            self.assertTrue(isLoopback(host), host)
        for host in ("localhost.evil", "128.0.0.1", "::2", "0.0.0.0"):
            self.assertFalse(isLoopback(host), host)
