"""
L{iris_twisted.transport.destination}: where a URL leads.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import ConnectionFailed, IncorrectParameters
from iris_twisted.transport.destination import Destination, Scheme

SCHEMES = {"wss": Scheme("wss", True, 443), "ws": Scheme("ws", False, 80)}


class OfUrl(SynchronousTestCase):
    """C{Destination.ofUrl}."""

    def test_parts(self) -> None:
        """Host, port and path are those of the URL, or the scheme's and /."""
        found = Destination.ofUrl("wss://xmpp.example.com:5281/xmpp%20websocket", SCHEMES)
        self.assertEqual(found.name, "wss://xmpp.example.com:5281")
        self.assertEqual(found.path, "/xmpp%20websocket")
        found = Destination.ofUrl("wss://xmpp.example.com", SCHEMES)
        self.assertEqual((found.port, found.path, found.proxy), (443, "/", None))

    def test_plainText(self) -> None:
        """Plain text stays on this machine, unless it is asked for; the path is not told."""
        self.assertEqual(Destination.ofUrl("ws://127.0.0.1/secret", SCHEMES).port, 80)
        with self.assertRaises(ConnectionFailed) as caught:
            Destination.ofUrl("ws://xmpp.example.com/secret", SCHEMES)
        self.assertIn("would not be encrypted", caught.exception.message)
        self.assertNotIn("secret", caught.exception.message)
        self.assertTrue(Destination.ofUrl("ws://xmpp.example.com/", SCHEMES, insecure=True))

    def test_mistakes(self) -> None:
        """What is no such URL is named, without its path."""
        for url, words in (
            ("xmpp.example.com/secret", "names no valid host"),
            ("tcp://xmpp.example.com/secret", "has the scheme 'tcp', which no installed transport"),
            ("wss://xmpp.example.com:0/secret", "names no valid port"),
            ("wss://a@xmpp.example.com/secret", "must not hold a user name"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                Destination.ofUrl(url, SCHEMES)
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("secret", caught.exception.message)
