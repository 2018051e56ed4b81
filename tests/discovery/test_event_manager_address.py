"""
L{iris_twisted.discovery.event_manager_address}: security.md, "URL injection".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.discovery.event_manager_address import EventManagerAddress
from iris_twisted.errors import IncorrectParameters


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
            (
                "https://u:CANARY@evm.example.test",
                "'https://...@evm.example.test' must not hold a user",
            ),
            ("https://u:CA/NARY@evm.example.test", "...@evm.example.test"),
            ("u:CANARY@evm.example.test", "'...@evm.example.test' must not hold a user"),
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
            self.assertNotRegex(caught.exception.message, "CANARY|CA/")
