"""
L{iris_twisted.connection.websocket_address}: security.md, "URL injection".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.websocket_address import websocketDestination
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import ApiParameters, ConnectionFailed
from iris_twisted.net.loopback import isLoopback
from iris_twisted.transport.destination import Destination
from iris_twisted.transport.websocket import WebSocketTransport

SCHEMES = {scheme.name: scheme for scheme in WebSocketTransport.schemes}


INFO = ServerInfo("rtc.example.test", "ws-token", "1700000000")


class Locating(SynchronousTestCase):
    """Where the websocket is."""

    def websocketDestination(self, server: str, **kw: object) -> Destination:
        options = {"secure": True, "insecure": False, **kw}
        return websocketDestination(server, INFO, "alice@example.test", SCHEMES, **options)  # type: ignore[arg-type]

    def test_hosts(self) -> None:
        """host and host:port take the scheme of discovery, and the path of protocol.md."""
        place = self.websocketDestination("rtc.example.test:8443")
        self.assertEqual(place.name, "wss://rtc.example.test:8443")
        self.assertEqual(
            place.path,
            "/xmpp-websocket/routingid/alice@example.test/timestamp/1700000000/token/ws-token",
        )
        self.assertEqual(
            self.websocketDestination("127.0.0.1", secure=False).name, "ws://127.0.0.1:80"
        )

    def test_urls(self) -> None:
        """A URL with a path is complete; one without gets the path."""
        self.assertEqual(self.websocketDestination("wss://rtc.example.test/a%2Fb").path, "/a%2Fb")
        self.assertIn("/token/ws-token", self.websocketDestination("wss://rtc.example.test/").path)
        self.assertEqual(self.websocketDestination("wss://[::1]:5").host, "::1")

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
                self.websocketDestination(server)
            self.assertNotIn("CANARY", caught.exception.message)

    def test_badTokenOfDiscovery(self) -> None:
        """A token that cannot be a segment is the event manager's fault."""
        info = ServerInfo("host", "..", "1")
        with self.assertRaises(ApiParameters):
            websocketDestination("host", info, "a@b", SCHEMES, secure=True, insecure=False)

    def test_downgrade(self) -> None:
        """From https to ws is refused, loopback or not; plain text to strangers too."""
        for server, secure in (
            ("ws://rtc.example.test", True),
            ("ws://127.0.0.1", True),
            ("rtc.example.test", False),
            ("ws://rtc.example.test", False),
        ):
            with self.assertRaises(ConnectionFailed) as caught:
                self.websocketDestination(server, secure=secure)
            self.assertIn("not be encrypted", caught.exception.message)
            self.websocketDestination(server, secure=secure, insecure=True)

    def test_allowedHosts(self) -> None:
        """A suffix allows itself and what is below it, whole labels only."""
        for server, allowed in (
            ("example.test", True),
            ("RTC.Example.test.", True),
            ("evilexample.test", False),
            ("example.test.evil", False),
        ):
            if allowed:
                self.websocketDestination(server, allowedHosts=["Example.test"])
            else:
                self.assertRaises(
                    ConnectionFailed,
                    self.websocketDestination,
                    server,
                    allowedHosts=["Example.test"],
                )

    def test_secretsInReprs(self) -> None:
        """No repr shows the path or the token."""
        self.assertNotIn("ws-token", repr(self.websocketDestination("host")) + repr(INFO))

    def test_loopback(self) -> None:
        """What cannot leave the machine."""
        for host in ("localhost", "LOCALHOST.", "a.localhost", "127.3.2.1", "::1"):
            self.assertTrue(isLoopback(host), host)
        for host in ("localhost.evil", "128.0.0.1", "::2", "0.0.0.0"):
            self.assertFalse(isLoopback(host), host)
