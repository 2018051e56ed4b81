"""
L{iris_twisted.xmpp.token_cutter}: whatever the machine's expat is, no stanza waits inside it.

Debian's libexpat 2.5.0-1+deb12u2 defers reparsing, and its Python cannot turn that off; others
never do. So a deferring one is simulated, and one that looks whether it was ever given a part.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net.limits import Limits
from iris_twisted.xmpp.elements import CLIENT, Element
from iris_twisted.xmpp.fast_parser import ChainParser
from iris_twisted.xmpp.parser import Violation
from iris_twisted.xmpp.stream_parser import StreamParser

from . import test_parser as test_xmpp_parser
from .test_parser import HEADER

_create = expat.ParserCreate
_canChoose = hasattr(_create(), "SetReparseDeferralEnabled")


class Expat:
    """The machine's own, inside; it has no method to choose."""

    def __init__(self, *arguments: Any) -> None:
        self.__dict__["inner"] = _create(*arguments)
        self.__dict__["given"] = 0

    def __getattr__(self, name: str) -> Any:
        if name == "SetReparseDeferralEnabled":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def Parse(self, data: bytes | str, final: bool = False) -> int:
        data = data.encode() if isinstance(data, str) else data
        self.__dict__["given"] += len(data)
        return int(self.inner.Parse(data, final))

    def left(self) -> int:
        """How many bytes it holds, which it could not use."""
        return int(self.given - self.inner.CurrentByteIndex)


class Deferring(Expat):
    """As expat's C{callProcessor} does: until twice the part of a token is there, it waits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.__dict__["waiting"] = b""
        self.__dict__["before"] = 0

    def Parse(self, data: bytes | str, final: bool = False) -> int:
        self.__dict__["waiting"] += data.encode() if isinstance(data, str) else data
        inside = self.left()
        if not final and inside + len(self.waiting) < 2 * self.before:
            return 1
        waiting, self.__dict__["waiting"] = self.waiting, b""
        result = super().Parse(waiting, final)
        self.__dict__["before"] = left = 0 if final else self.left()
        if left and left != inside + len(waiting):
            self.__dict__["before"] = 0
        return result


class Complete(Expat):
    """One that fails the test when it is given a part of a token."""

    def Parse(self, data: bytes | str, final: bool = False) -> int:
        result = super().Parse(data, final)
        if not final and self.left():
            raise AssertionError(f"{self.left()} bytes of {data!r} are no token")
        return result


def undeferred(*arguments: Any) -> Any:
    """The machine's own, which does not defer where that can be chosen."""
    parser = _create(*arguments)
    parser.SetReparseDeferralEnabled(False)
    return parser


class _OnDeferring:
    """The same tests on an expat that defers."""

    def setUp(self: Any) -> None:
        self.patch(expat, "ParserCreate", Deferring)


class StreamsDeferring(_OnDeferring, test_xmpp_parser.Streams):
    """The stream dialect."""


class _OnComplete:
    """The same tests on an expat that refuses parts of tokens: so deferral has no effect."""

    def setUp(self: Any) -> None:
        self.patch(expat, "ParserCreate", Complete)


class StreamsComplete(_OnComplete, test_xmpp_parser.Streams):
    """The stream dialect."""


if _canChoose:

    class StreamsUndeferred(test_xmpp_parser.Streams):
        """The stream dialect, where this expat was told not to defer."""

        def setUp(self) -> None:
            self.patch(expat, "ParserCreate", undeferred)


STANZAS = (
    b"<message/>",
    b"<message a='>' b=\">'>\"></message>",
    b"<message>x > y ]]&gt; \xc3\xa9\r\n</message>",
    b"<message><![CDATA[<b>]]]]><![CDATA[>]]></message>",
    b"<message a='" + b">" * 200 + b"'/>",
)


class Cut(SynchronousTestCase):
    """Cut anywhere, on each kind of expat."""

    def test_simulation(self) -> None:
        """The simulated one does defer: a stanza fed byte by byte waits inside it."""
        ended: list[str] = []
        parser = Deferring("UTF-8", " ")
        parser.EndElementHandler = ended.append
        parser.Parse(b"<r>")
        text = b"<message a='1234567'/>"
        for n in range(len(text)):
            parser.Parse(text[n : n + 1])
        self.assertEqual(ended, [])
        parser.Parse(b" " * 20)
        self.assertEqual(ended, ["message"])

    def test_nothingWaits(self) -> None:
        """Byte by byte, a stanza is told with its last byte, not later."""
        for kind in (Deferring, Complete, _create):
            self.patch(expat, "ParserCreate", kind)
            for stanza in STANZAS:
                parser = StreamParser(Limits())
                parser.feed(HEADER)
                for n in range(len(stanza) - 1):
                    self.assertEqual(parser.feed(stanza[n : n + 1]), [], stanza[:n])
                (item,) = parser.feed(stanza[-1:])
                self.assertIsInstance(item, Element)
                self.assertTrue(parser.atRest)

    @given(st.binary(max_size=20) | st.text("<>/='\"a![CDAT]-?& ", max_size=40).map(str.encode))
    def test_anyCut(self, data: bytes) -> None:
        """Whatever comes, cut anywhere: expat is given no part, and the stanzas are the same."""
        whole = None
        expat.ParserCreate = Complete  # type: ignore[assignment,misc]
        try:
            for cut in range(len(data) + 1):
                parser = StreamParser(Limits())
                items = parser.feed(HEADER) + parser.feed(data[:cut]) + parser.feed(data[cut:])
                kinds = [type(i) if isinstance(i, Violation) else i for i in items]
                whole = kinds if whole is None else whole
                self.assertEqual(kinds, whole, (data, cut))
        finally:
            expat.ParserCreate = _create  # type: ignore[misc]

    def test_chains(self) -> None:
        """The fast parser's messages leave nothing inside an expat, also after odd ones."""
        names = [("urn:a", "a"), ("urn:a", "b")]
        good = b"<a xmlns='urn:a' x='>'>t<b y='1'/></a>"
        odd = (b"<a><![CDATA[ /></a>", b"<a xmlns='urn:a'><b x='/></a>", b"<a><!-- b/></a>")
        for kind in (Deferring, _create):
            self.patch(expat, "ParserCreate", kind)
            parser = ChainParser(names)
            for message in odd:
                for _ in range(3):
                    self.assertEqual(parser.read(good), [{"x": ">"}, {"y": "1"}])
                self.assertIsNone(parser.read(message))

    def test_refusedByBeginning(self) -> None:
        """What is allowed nowhere is refused by how it begins, byte by byte too."""
        for kind in (Deferring, Complete, _create):
            self.patch(expat, "ParserCreate", kind)
            for before in (b"", b"<message>"):
                for beginning in (b"<!--", b"<?"):
                    parser = StreamParser(Limits())
                    parser.feed(HEADER + before)
                    items: list[Any] = []
                    for n in range(len(beginning)):
                        items += parser.feed(beginning[n : n + 1])
                        if items:
                            break
                    (item,) = items
                    self.assertIsInstance(item, Violation, beginning)

    def test_noStanza(self) -> None:
        """What no stanza can begin with is refused at once; whitespace and beginnings are not."""
        declarations = (b"<!", b"<![", b"<![<_a/>", b"<!DOCTYPE", b"<!DOCTYPE x>", b"<!x", b"<!-")
        stanzas = tuple(b"<a/>" + data for data in (b"hello", *declarations))
        texts = (b"hello", b" h", b"<1", b"< ", b"&", b"\xef", b"]", b"<!--")
        inside = (b"<a><!D", b"<a><!x", b"<a>b<![CDATX", b"<a><b/><![ ")
        for data in texts + declarations + stanzas + inside:
            for header in (b"", HEADER):
                parser = StreamParser(Limits())
                items = parser.feed(header) + parser.feed(data)
                self.assertIsInstance(items[-1], Violation, data)
        for data in (
            b" ",
            b"\r\n\t",
            b"<",
            b"<a",
            b"</",
            b"</str",
            b"<?xm"[:1],
            b"<a><!",
            b"<a><![CD",
        ):
            self.assertEqual(StreamParser(Limits()).feed(data), [], data)

    def test_keepalives(self) -> None:
        """Whitespace between stanzas does not add up to the size of one."""
        parser = StreamParser(Limits(frame=300))
        parser.feed(HEADER + b"<a/>")
        for _ in range(1000):
            self.assertEqual(parser.feed(b" "), [])
            self.assertTrue(parser.atRest)
        self.assertEqual(parser.feed(b"<a/>"), [Element("a", CLIENT)])
