"""
L{iris_twisted.net.addresses}: security.md, "URL injection".
"""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.addresses import RoutingId, checkToken, segment


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
