"""
L{iris_twisted.xmpp.parser} and C{elements}: security.md, "DTD / entity bomb",
"Oversize, depth", "Encoding tricks", "Outgoing XML".
"""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.limits import Limits
from iris_twisted.xmpp.elements import CLIENT, STREAM, Element, escape, serialize
from iris_twisted.xmpp.parser import Closed, FrameParser, Header, Item, Violation
from iris_twisted.xmpp.stream_parser import StreamParser, _rootOf

BOMB = (
    b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><iq>&c;</iq>'
)
HEADER = (
    f'<stream:stream xmlns="{CLIENT}" xmlns:stream="{STREAM}" from="example.test" '
    f'xmlns:extra="urn:extra" version="1.0">'
).encode()


def reason(items: list[Item]) -> str:
    """The words of the violation that ends the items."""
    last = items[-1]
    assert isinstance(last, Violation), items
    return last.error.message


class Both(SynchronousTestCase):
    """What holds for both dialects."""

    def parsers(self, limits: Limits = Limits()) -> list[FrameParser | StreamParser]:
        return [FrameParser(limits), StreamParser(limits)]

    def test_stanza(self) -> None:
        """Names, namespaces, attributes, text and children arrive."""
        stanza = (
            b'<iq xmlns="jabber:client" id="1" xml:lang="en"><q xmlns="urn:q" xmlns:p="urn:p" p:x="y">'
            b"a<![CDATA[<b>]]>&amp;c</q></iq>"
        )
        expected = Element(
            "iq",
            CLIENT,
            {"id": "1", "http://www.w3.org/XML/1998/namespace lang": "en"},
            [Element("q", "urn:q", {"urn:p x": "y"}, text="a<b>&c")],
        )
        for parser in self.parsers():
            self.assertEqual(parser.feed(stanza), [expected])

    def test_forbidden(self) -> None:
        """DOCTYPE, processing instructions, comments, undefined entities are refused."""
        for data in (
            b"<!DOCTYPE a><a/>",
            b"<a><?php x?></a>",
            b"<?xml-stylesheet href='x'?><a/>",
            b"<a><!-- x --></a>",
            b"<!-- x --><a/>",
            b"<a>&x;</a>",
            b"<a></b>",
            b"<a x='1' x='2'/>",
            b"<p:a/>",
            b"\xef\xbf\xbe<a/>",
        ):
            for parser in self.parsers():
                self.assertIn("the server sent", reason(parser.feed(data)))

    def test_bombAtOnce(self) -> None:
        """The entity bomb is refused as a DOCTYPE in a frame, unexpanded."""
        self.assertIn("DOCTYPE", reason(FrameParser(Limits()).feed(BOMB)))

    def test_bombSplitAnywhere(self) -> None:
        """Split at every byte, the bomb never yields an element."""
        for cut in range(len(BOMB)):
            parser = StreamParser(Limits())
            items = parser.feed(BOMB[:cut]) + parser.feed(BOMB[cut:])
            self.assertEqual([type(i) for i in items], [Violation], cut)

    def test_badEncoding(self) -> None:
        """Overlong forms, surrogates, NUL, other encodings are refused."""
        for data in (
            b"<a>\xc0\xaf</a>",
            b"<a>\xed\xa0\x80</a>",
            b"<a>\x00</a>",
            b"<a>\xff</a>",
            b"<a>\xf5\x80\x80\x80</a>",
            b"<a x='\xe2\x82'/>",
            '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"),
            b'<?xml version="1.0" encoding="UTF-16"?><a/>',
            "<a/>".encode("utf-16"),
        ):
            for parser in self.parsers():
                items = parser.feed(data) + parser.feed(b">")
                self.assertIsInstance(items[0], Violation, repr(data))

    def test_declaration(self) -> None:
        """An XML declaration is accepted at the very start, for UTF-8."""
        for declaration in (
            b"<?xml version='1.0'?>",
            b'<?xml version="1.0" encoding="utf-8"?>',
        ):
            for parser in self.parsers():
                self.assertEqual(parser.feed(declaration + b"<a/>")[0].name, "a")
                if isinstance(parser, StreamParser):
                    self.assertIsInstance(parser.feed(declaration)[0], Violation)

    def test_depth(self) -> None:
        """Boundary - 1, boundary, + 1; and 5,000 levels without recursion."""
        for levels, fine in ((31, True), (32, True), (33, False), (5000, False)):
            data = b"<a>" * levels + b"</a>" * levels
            for parser in self.parsers():
                (item,) = parser.feed(data)
                self.assertIs(isinstance(item, Element), fine)
                if not fine:
                    self.assertIn("deeper than 32", reason([item]))

    def test_children(self) -> None:
        """Boundary - 1, boundary, + 1 of the children of one element."""
        for count, fine in ((255, True), (256, True), (257, False)):
            data = b"<a>" + b"<b/>" * count + b"</a>"
            for parser in self.parsers():
                (item,) = parser.feed(data)
                self.assertIs(isinstance(item, Element), fine)

    def test_size(self) -> None:
        """Boundary - 1, boundary, + 1 of a stanza's bytes."""
        for size, fine in ((99, True), (100, True), (101, False)):
            data = b"<a>" + b"x" * (size - 7) + b"</a>"
            assert len(data) == size
            for parser in self.parsers(Limits(frame=100)):
                (item,) = parser.feed(data)
                self.assertIs(isinstance(item, Element), fine, size)

    @given(st.binary())
    def test_anyBytes(self, data: bytes) -> None:
        """No bytes raise."""
        for parser in self.parsers():
            parser.feed(data)
            parser.feed(b"<a>" + data + b"</a>")


class Frames(SynchronousTestCase):
    """The framed dialect."""

    def test_oneElement(self) -> None:
        """Two stanzas, half a stanza, or nothing, are no message."""
        for data in (b"<a/><b/>", b"<a>", b"", b"text", b"<a/>x", HEADER):
            self.assertIsInstance(FrameParser(Limits()).feed(data)[0], Violation, repr(data))

    def test_independent(self) -> None:
        """Each frame stands alone."""
        parser = FrameParser(Limits())
        for _ in range(3):
            self.assertEqual(parser.feed(b"<a/>"), [Element("a")])


class Streams(SynchronousTestCase):
    """The stream dialect."""

    def test_openings(self) -> None:
        """A header of the server's, C{<open/>}, or no header at all."""
        for opening in (HEADER, b"<?xml version='1.0'?>" + HEADER):
            first, second = StreamParser(Limits()).feed(opening + b"<stream:features/>")
            assert isinstance(first, Header)
            self.assertEqual(first.attributes["from"], "example.test")
            self.assertEqual(second, Element("features", STREAM))
        (bare,) = StreamParser(Limits()).feed(b"<stream:features/>")
        self.assertEqual(bare, Element("features", STREAM))

    def test_atRest(self) -> None:
        """It is known where a stanza ends, empty or not, however it is cut."""
        for text in (
            b"<message/>",
            b"<message></message>",
            b"<message>/></message>",
            b"<message a='/>'/>",
            b"<message><b/></message>",
            b"<message a='>'></message>",
        ):
            for size in range(1, len(text) + 3):
                parser = StreamParser(Limits())
                parser.feed(b"<stream:features/>")
                for start in range(0, len(text), size):
                    self.assertIs(parser.atRest, start == 0)
                    parser.feed(text[start : start + size])
                self.assertTrue(parser.atRest)
                parser.feed(b"<mess")
                self.assertFalse(parser.atRest)

    def test_cutAnywhere(self) -> None:
        """Any cut of a good stream gives the same items."""
        data = b"<?xml version='1.0'?>" + HEADER + b"<a x='1>2'>t\xc3\xa9</a> <extra:b/><c></c>"
        whole = StreamParser(Limits()).feed(data)
        self.assertEqual(len(whole), 4)
        for cut in range(len(data)):
            parser = StreamParser(Limits())
            self.assertEqual(parser.feed(data[:cut]) + parser.feed(data[cut:]), whole, cut)
        parser = StreamParser(Limits())
        single = [item for n in range(len(data)) for item in parser.feed(data[n : n + 1])]
        self.assertEqual(single, whole)

    def test_close(self) -> None:
        """C{</stream:stream>} ends it; nothing after it is read."""
        parser = StreamParser(Limits())
        items = parser.feed(HEADER + b"<a/></stream:stream><b/>")
        self.assertEqual([type(i) for i in items], [Header, Element, Closed])
        self.assertEqual(parser.feed(b"<c/>"), [])

    def test_whatCameBefore(self) -> None:
        """Whole stanzas before a violation are not lost."""
        items = StreamParser(Limits()).feed(b"<a/><b/><c></d>")
        self.assertEqual([type(i) for i in items], [Element, Element, Violation])

    def test_secondHeader(self) -> None:
        """A header inside a stream, text between stanzas: refused."""
        parser = StreamParser(Limits())
        parser.feed(HEADER)
        self.assertIn("second stream", reason(parser.feed(HEADER)))
        self.assertIn("text between", reason(StreamParser(Limits()).feed(b"<a/>text<b/>")))

    def test_prefixes(self) -> None:
        """A stream of any prefix, or of none, ends with its own end tag, however it is cut."""
        for header, end in (
            (f"<s:stream xmlns='{CLIENT}' xmlns:s='{STREAM}'>", "</s:stream>"),
            (f"<a b='>'/><s:stream\n\txmlns:s='{STREAM}' c='/>'>", "</s:stream >"),
            (f"<é:stream xmlns:é='{STREAM}'>", "</é:stream>"),
            (f"<stream xmlns='{STREAM}'>", "</stream>"),
            (f"<?xml version='1.0'?><stream xmlns='{STREAM}'>", "</stream>"),
        ):
            stanzas = [f"<a xmlns='{CLIENT}'/>", "<b xmlns='urn:b'>x</b>", end]
            for messages in (
                [header + "".join(stanzas)],
                [header, *stanzas],
                [header + stanzas[0], stanzas[1] + end],
            ):
                parser = StreamParser(Limits())
                items = [item for message in messages for item in parser.feed(message.encode())]
                self.assertEqual(
                    [type(item) for item in items[-4:]], [Header, Element, Element, Closed]
                )
            parser = StreamParser(Limits())
            wrong = "</stream:stream>" if end.startswith("</stream") else "</stream>"
            for message in (header, stanzas[0], wrong):
                items = parser.feed(message.encode())
            self.assertIsInstance(items[-1], Violation)

    def test_namespacesOfTheHeader(self) -> None:
        """As many as a server needs, many times over; more would cost with each message."""
        empty = len(_rootOf({None: CLIENT, "stream": STREAM, "x": ""}))
        for size, fine in ((2047, True), (2048, True), (2049, False)):
            header = HEADER.replace(b"xmlns:extra", b"xmlns:x")
            header = header.replace(b"urn:extra", b"u" * (size - empty))
            parser = StreamParser(Limits())
            items = parser.feed(header)
            if fine:
                self.assertIsInstance(items[0], Header)
                self.assertEqual(len(parser.feed(b"<a/>") + parser.feed(b"<x:b/>")), 2)
            else:
                self.assertIn("namespaces of more than 2048 bytes", reason(items))
        many = b"".join(b" xmlns:x%d='y'" % n for n in range(12_000))
        parser = StreamParser(Limits())
        items = parser.feed(b"<stream:stream xmlns:stream='%s'%s>" % (STREAM.encode(), many))
        self.assertEqual([type(item) for item in items], [Violation])

    def test_noDefaultNamespace(self) -> None:
        """A header that undeclares the default namespace: its stanzas have none, or their own."""
        header = f"<stream:stream xmlns:stream='{STREAM}' xmlns=''>".encode()
        stanza = f"<iq xmlns='{CLIENT}'/>".encode()
        parser = StreamParser(Limits())
        self.assertIsInstance(parser.feed(header)[0], Header)
        for _ in range(3):
            self.assertEqual(parser.feed(stanza), [Element("iq", CLIENT)])
            self.assertEqual(parser.feed(b"<iq/>"), [Element("iq")])
            self.assertFalse(parser.atRest)

    def test_sizeOverFrames(self) -> None:
        """A stanza split over frames has the limit too, also without any '>'."""
        for piece in (b"<a>x</a>"[:4] + b"x" * 50, b"<a x='" + b"y" * 50):
            parser = StreamParser(Limits(frame=100))
            items = parser.feed(piece)
            self.assertEqual(items, [])
            items = parser.feed(b"z" * 60)
            self.assertIn("more than 100 bytes", reason(items))

    def test_manyStanzasInOneRead(self) -> None:
        """The limit is for each stanza, not for what one read brings."""
        parser = StreamParser(Limits(frame=100))
        self.assertEqual(len(parser.feed(b"<a>0123456789</a>" * 50)), 50)
        first = parser.feed(b"<a>" + b"x" * 60)
        second = parser.feed(b"x" * 60 + b"</a><b/>")
        self.assertEqual((first, len(second)), ([], 1))
        self.assertIsInstance(second[0], Violation)

    def test_recycled(self) -> None:
        """A parser that has seen much is replaced, and keeps the header's namespaces."""
        parser = StreamParser(Limits())
        parser.feed(HEADER)
        first = parser.expat
        stanza = b"<a>" + b"x" * 100_000 + b"</a>"
        for _ in range(25):
            self.assertEqual(len(parser.feed(stanza)), 1)
        self.assertIsNot(parser.expat, first)
        self.assertEqual(
            parser.feed(b"<extra:b/><stream:c/><d/></stream:stream>")[:3],
            [Element("b", "urn:extra"), Element("c", STREAM), Element("d", CLIENT)],
        )

    def test_recycledWithoutHeader(self) -> None:
        """So does one that saw no header, whatever its stanzas declared."""
        parser = StreamParser(Limits())
        stanza = b"<a xmlns='urn:a' xmlns:p='urn:p'>" + b"x" * 200_000 + b"</a>"
        for _ in range(12):
            self.assertEqual(len(parser.feed(stanza)), 1)
        self.assertEqual(parser.feed(b"<d/>"), [Element("d", CLIENT)])


NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.-]{0,8}\Z")
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]))
ELEMENTS = st.recursive(
    st.builds(
        Element, NAMES, st.sampled_from(["", "urn:a", CLIENT, STREAM]),
        st.dictionaries(NAMES | NAMES.map(lambda n: f"urn:x {n}"), TEXTS, max_size=3),
        st.just([]), TEXTS,
    ),
    lambda inner: st.builds(
        Element, NAMES, st.sampled_from(["", "urn:a"]), st.just({}), st.lists(inner, max_size=3),
        st.just(""),
    ),
    max_leaves=6,
)  # fmt: skip


class Children(SynchronousTestCase):
    """Looking for an element."""

    def test_exactName(self) -> None:
        """Name and namespace must both be right."""
        right = Element("query", "right")
        element = Element(
            "iq", "", {}, [Element("query", "wrong"), Element("other", "right"), right]
        )
        self.assertIs(element.child("query", "right"), right)
        self.assertEqual(list(element.named("query", "right")), [right])
        self.assertIsNone(element.child("other", "wrong"))


class Writing(SynchronousTestCase):
    """Elements to XML."""

    @given(ELEMENTS)
    def test_roundTrip(self, element: Element) -> None:
        """What is written is read again the same, by us and by ElementTree; or it is refused."""
        try:
            text = serialize(element)
        except IncorrectParameters as e:
            self.assertIn("U+", e.message)
            return
        self.assertEqual(FrameParser(Limits()).feed(text.encode()), [element])
        ElementTree.fromstring(text)

    def test_inherited(self) -> None:
        """The namespace in force is not declared again."""
        iq = Element("iq", CLIENT, {}, [Element("q", "urn:q"), Element("error", CLIENT)])
        self.assertEqual(serialize(iq, CLIENT), '<iq><q xmlns="urn:q"/><error/></iq>')
        self.assertEqual(serialize(Element("a"), CLIENT), '<a xmlns=""/>')

    def test_escaped(self) -> None:
        """Markup and line breaks are escaped; what XML forbids is refused by name."""
        self.assertEqual(escape("x", "<&>\"'\t\r\n"), "&lt;&amp;&gt;&quot;&apos;&#9;&#13;&#10;")
        for char in "\x00\x0b\x1f\ud800\ufffe\uffff":
            with self.assertRaises(IncorrectParameters) as caught:
                escape("roomId", char)
            self.assertIn(f"roomId holds U+{ord(char):04X}", caught.exception.message)

    def test_deep(self) -> None:
        """Writing does not recurse."""
        element = Element("a")
        for _ in range(5000):
            element = Element("a", children=[element])
        self.assertEqual(len(serialize(element)), 5000 * 7 + 4)
