"""
The fast path gives what the ordinary path gives, for any bytes cut anywhere: stock
Autobahn is the oracle for frames, ElementTree for elements, and our own ordinary path
for everything together.
"""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.call_signaling import CallSignaling
from iris_twisted.net.limits import Limits
from iris_twisted.rtc.namespaces import IRIS, PRIVATE
from iris_twisted.transport.destination import Destination
from iris_twisted.transport.fast_frames import masked, texts
from iris_twisted.transport.websocket import WebSocketTransport, _Factory, _Options
from iris_twisted.transport.websocket_connection import WebSocketConnection
from iris_twisted.xmpp import fast_parser
from iris_twisted.xmpp.elements import CLIENT
from iris_twisted.xmpp.fast_parser import ChainParser
from iris_twisted.xmpp.stanzas import encoded, error

from ..doubles import RID, World

NOTIFICATION = (
    "<iq type='set' id='n1' from='notify.example.test' to='alice@example.test/r'>"
    "<query xmlns='jabber:iq:private'><data xmlns='urn:xmpp:comcast:info' type='notify' "
    "roomid='room-1' traceid='&lt;t&gt;' userdata='{\"a\": [1]}'/></query></iq>"
)
FRAMED = NOTIFICATION.replace("<iq ", "<iq xmlns='jabber:client' ")


def frame(payload: bytes, opcode: int = 1, fin: bool = True, mask: bool = False) -> bytes:
    """A frame of any kind (RFC 6455 section 5.2)."""
    first, size, flag = opcode | (0x80 if fin else 0), len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if mask else b"") + payload


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


class Receiver:
    """Writes down what a transport delivers; C{answer} is sent for each message."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.messages: list[bytes] = []
        self.transport: Any = None
        self.answer = answer

    def messageReceived(self, message: bytes) -> None:
        self.messages.append(message)
        if self.answer is not None:
            self.transport.send(self.answer)

    def transportLost(self, reason: Exception) -> None:
        pass


class Wire(StringTransport):
    """What a socket is to Autobahn."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


class Stock(WebSocketClientProtocol):  # type: ignore[misc]
    """Autobahn as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[bytes] = []

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            self.dropConnection(abort=True)
        else:
            self.messages.append(payload)


def opened(protocol: Any) -> Wire:
    """Shake hands."""
    wire = Wire()
    protocol.makeConnection(wire)
    (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", wire.value())
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key + guid).digest())
    wire.clear()
    protocol.dataReceived(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    wire.clear()
    return wire


def ours(receiver: Receiver, limit: int = 300) -> tuple[WebSocketConnection, Wire]:
    """Our websocket, open."""
    limits = Limits(frame=limit)
    destination = Destination(WebSocketTransport.schemes[1], "localhost", 80)
    options = _Options(None, limits, False)
    connection = options.connect(destination, receiver, limits)
    _Factory(connection, options).buildProtocol(None)
    receiver.transport = connection
    return connection, opened(connection)


def stock(limit: int = 300) -> tuple[Stock, Wire]:
    """Autobahn with the same options."""
    factory = WebSocketClientFactory("ws://localhost", protocols=["xmpp"])
    factory.setProtocolOptions(
        maxFramePayloadSize=limit,
        maxMessagePayloadSize=limit,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        autoPingInterval=0,
    )
    protocol = Stock()
    protocol.factory = factory
    return protocol, opened(protocol)


def unmasked(data: bytes) -> list[tuple[int, bytes]]:
    """The frames that a client wrote."""
    frames = []
    while data:
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        mask, payload = data[start : start + 4], data[start + 4 : start + 4 + size]
        frames.append((data[0], bytes(b ^ mask[n % 4] for n, b in enumerate(payload))))
        data = data[start + 4 + size :]
    return frames


# What is no UTF-8 is refused by Autobahn in its frames, and by the XML parser in the others.
ascii = st.text(st.characters(max_codepoint=127), max_size=20).map(str.encode)
payloads = st.one_of(ascii, st.sampled_from([125, 126, 127, 299, 300, 301]).map(lambda n: b"x" * n))
frames = st.one_of(
    payloads.map(frame),
    payloads.map(frame),
    st.builds(frame, ascii, st.sampled_from([0, 1, 2, 8, 9, 10, 11]), st.booleans()),
    st.builds(frame, ascii, mask=st.just(True)),
    # The long form where the short one would do; an extension's bit.
    st.just(b"\x81\x7e\x00\x03abc"),
    st.just(b"\xc1\x03abc"),
    st.just(b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x03abc"),
    st.just(b"\x81\xff\x00\x00"),
)


class Frames(SynchronousTestCase):
    """fast_frames beside Autobahn."""

    @given(st.lists(frames, max_size=8), st.lists(st.integers(0, 5000), max_size=6))
    def test_likeAutobahn(self, parts: list[bytes], places: list[int]) -> None:
        """The same messages, the same answers, the same end."""
        receiver = Receiver()
        connection, wire = ours(receiver)
        oracle, expected = stock()
        for piece in cut(b"".join(parts), places):
            connection.dataReceived(piece)
            oracle.dataReceived(piece)
        self.assertEqual(receiver.messages, oracle.messages)
        self.assertEqual(wire.aborted, expected.aborted)
        if not wire.aborted:
            self.assertEqual(connection.state, oracle.state)
            self.assertEqual(unmasked(wire.value()), unmasked(expected.value()))

    def test_taken(self) -> None:
        """It is the fast path that takes the usual frames."""
        data = b"".join(frame(b"x" * size) for size in (0, 1, 125, 126, 300))
        messages, position, missing = texts(data + b"\x81", 300)
        self.assertEqual([len(m) for m in messages], [0, 1, 125, 126, 300])
        self.assertEqual((position, missing), (len(data), 1))
        large = frame(b"x" * 70_000)
        self.assertEqual(texts(large, 70_000), ([b"x" * 70_000], len(large), 0))
        for length, missing in ((1, 1), (2, 8), (9, 1), (10, 70_000), (len(large) - 1, 1)):
            self.assertEqual(texts(large[:length], 70_000), ([], 0, missing))
        self.assertEqual(texts(large, 69_999), ([], 0, 0))

    def test_oneWrite(self) -> None:
        """All answers of one read are written at once, in order, before what Autobahn writes."""
        receiver = Receiver(b"answer")
        connection, wire = ours(receiver)
        writes: list[bytes] = []
        wire.write = writes.append  # type: ignore[method-assign]
        connection.dataReceived(frame(b"one") + frame(b"two") + frame(b"ping", 9) + frame(b"three"))
        answers, pong, *later = writes
        self.assertEqual(unmasked(answers), [(0x81, b"answer")] * 2)
        self.assertEqual(unmasked(pong), [(0x8A, b"ping")])
        self.assertEqual([f for data in later for f in unmasked(data)], [(0x81, b"answer")])

    def test_closeComesAfter(self) -> None:
        """What was answered before close() goes before the close frame."""
        receiver = Receiver(b"answer")
        connection, wire = ours(receiver)
        heard = receiver.messageReceived

        def close(message: bytes) -> None:
            heard(message)
            connection.close()

        receiver.messageReceived = close  # type: ignore[method-assign]
        connection.dataReceived(frame(b"one") + frame(b"two"))
        (first, answer), (second, _) = unmasked(wire.value())
        self.assertEqual((first, answer, second), (0x81, b"answer", 0x88))

    @given(st.binary(max_size=70000))
    @example(b"x" * 125)
    @example(b"x" * 126)
    @example(b"x" * 65535)
    @example(b"x" * 65536)
    def test_masked(self, message: bytes) -> None:
        """What we send is what was meant; what is too long is left to Autobahn."""
        data = masked(message)
        if len(message) > 65535:
            self.assertIsNone(data)
        else:
            self.assertEqual(unmasked(data or b""), [(0x81, message)])

    def test_masksDiffer(self) -> None:
        """No two frames in sight of each other have the same mask."""
        masks = [(masked(b"") or b"")[2:6] for _ in range(5000)]
        self.assertGreater(len(set(masks)), 4990)


NAMES = ((CLIENT, "iq"), (PRIVATE, "query"), (IRIS, "data"))
pieces = st.sampled_from(
    [
        *re.findall(r"<[^>]*>|[^<>]+", NOTIFICATION),
        *("<iq>", "</iq>", "<query xmlns='jabber:iq:private'>", "</query>", "<query/>"),
        *("<data xmlns='urn:xmpp:comcast:info' a='1'/>", "<data xmlns='urn:xmpp:comcast:info'>"),
        *("</data>", "<data/>", "<x/>", " ", "text", "&amp;", "&#10;", "&no;", "<!-- -->"),
        *("<![CDATA[x]]>", "<?pi?>", "<p:iq xmlns:p='jabber:client'>", "</p:iq>", "\0", "\ud800"),
        *(
            "<iq xmlns='jabber:client'>",
            "<iq xmlns='other'>",
            "</root>",
            "<root>",
            "<iq a='1' a='2'>",
        ),
        *("<data xmlns='urn:xmpp:comcast:info' xml:lang='en' p:a='1'/>", "<iq", "'", ">", "/>"),
    ]
)
mutations = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 3), st.binary(max_size=3)), max_size=4
)


def mutated(text: str, changes: list[tuple[int, int, bytes]]) -> bytes:
    """With some bytes taken out and others put in."""
    data = bytearray(text.encode())
    for place, length, inserted in changes:
        at = place % (len(data) + 1)
        data[at : at + length] = inserted
    return bytes(data)


class Elements(SynchronousTestCase):
    """fast_parser beside ElementTree."""

    def check(self, message: bytes, defaultNamespace: str) -> bool:
        found = ChainParser(NAMES, defaultNamespace).read(message)
        if found is None:
            return False
        root = ElementTree.fromstring(
            b"<root xmlns='%s'>%s</root>" % (defaultNamespace.encode(), message)
        )
        self.assertEqual([root.text, len(root)], [None, 1])
        node = root
        for (namespace, name), attributes in zip(NAMES, found, strict=True):
            (node,) = node
            self.assertEqual(node.tag, f"{{{namespace}}}{name}")
            expected = {k.removeprefix("{").replace("}", " "): v for k, v in node.attrib.items()}
            self.assertEqual(attributes, expected)
        self.assertEqual((len(node), root[0].tail), (0, None))
        return True

    @given(st.lists(pieces, max_size=9).map("".join), st.sampled_from([CLIENT, ""]))
    @example("<iq><iq><query></query></iq>", "")
    @example(NOTIFICATION.replace("<query", "<query a='<!--'"), CLIENT)
    def test_pieces(self, text: str, defaultNamespace: str) -> None:
        """Whatever is made of its words: what it takes is right."""
        self.check(text.encode("utf-8", "surrogatepass"), defaultNamespace)

    @settings(max_examples=300)
    @given(mutations, st.booleans())
    def test_mutations(self, changes: list[tuple[int, int, bytes]], framed: bool) -> None:
        """A notification with changed bytes is taken rightly, or not at all."""
        text = FRAMED if framed else NOTIFICATION
        taken = self.check(mutated(text, changes), "" if framed else CLIENT)
        if not changes:
            self.assertTrue(taken)

    def test_renewed(self) -> None:
        """No expat reads messages for ever: it keeps every name that it saw."""
        made: list[int] = []
        create = expat.ParserCreate

        def count(*arguments: Any) -> Any:
            made.append(len(made))
            return create(*arguments)

        self.patch(expat, "ParserCreate", count)
        self.patch(fast_parser, "_RECYCLE_AFTER", 3)
        parser = ChainParser(NAMES)
        for _ in range(7):
            self.assertIsNotNone(parser.read(FRAMED.encode()))
        self.assertEqual(made, [0, 1, 2])

    def test_leavesNothingBehind(self) -> None:
        """What was refused changes nothing for the next; nor does a thousand of others."""
        parser = ChainParser(NAMES)
        for spoilt in (
            # It would leave its namespace in force.
            b"<iq xmlns='jabber:client'><iq><query></query></iq>",
            b"<iq xmlns='jabber:client'",
            b"<iq></query></iq>",
        ):
            self.assertIsNone(parser.read(spoilt))
            self.assertIsNone(parser.read(NOTIFICATION.encode()))
            self.assertIsNotNone(parser.read(FRAMED.encode()))
        for _ in range(2500):
            self.assertIsNotNone(parser.read(FRAMED.encode()))


TRY_FAST_PATH = CallSignaling.tryFastPath
stanzas = st.one_of(
    st.sampled_from(
        [
            NOTIFICATION,
            NOTIFICATION,
            NOTIFICATION.replace("'n1'", "'\"&lt;'"),
            NOTIFICATION.replace("type='set' ", ""),
            NOTIFICATION.replace("type='set'", "type='get'"),
            NOTIFICATION.replace("id='n1' ", ""),
            NOTIFICATION.replace("'set'", "'result'"),
            NOTIFICATION.replace("'notify'", "'disconnect'"),
            NOTIFICATION.replace("'notify'", "'leave room'"),
            NOTIFICATION.replace("'notify'", "'cancel'"),
            NOTIFICATION.replace(" type='notify'", ""),
            NOTIFICATION.replace("notify.example.test", "evil.test"),
            NOTIFICATION.replace("from='notify.example.test' ", ""),
            NOTIFICATION.replace("[1]", "[1"),
            NOTIFICATION.replace("roomid=", "roomId='x' roomid="),
            NOTIFICATION.replace("roomid=", "xml:lang='en' roomid="),
            NOTIFICATION.replace("<data", "<x/><data"),
            NOTIFICATION.replace("<data", "text<data"),
            NOTIFICATION.replace("id='n1'", "id='" + "n" * 1024 + "'"),
            NOTIFICATION + NOTIFICATION,
            "<iq type='get' id='p' from='example.test'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<message/>",
            " ",
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<!-- -->",
            "x",
        ]
    ),
    mutations.map(lambda changes: mutated(NOTIFICATION, changes).decode("utf-8", "replace")),
)


class Together(SynchronousTestCase):
    """A connection with the fast path beside one without."""

    def heard(self, fast: bool, script: list[tuple[str, list[int], str]], **options: Any) -> Any:
        waiting: list[Deferred[None]] = []

        def ring(info: dict[str, Any]) -> Any:
            how = info.get("how", script[0][2])
            if how == "fail":
                raise ValueError("as the test wants it")
            if how == "wait":
                waiting.append(Deferred())
                return waiting[-1]
            if how == "close":
                world.close()
            return None

        def event(event: dict[str, Any]) -> None:
            if script[0][2] == "close on event" and "Notification" in event["state"]:
                world.close()

        taken = 0

        def parseFast(calls: CallSignaling, link: Any, message: bytes) -> bool:
            nonlocal taken
            took = fast and TRY_FAST_PATH(calls, link, message)
            taken += took
            return took

        self.patch(CallSignaling, "tryFastPath", parseFast)
        world = World(**options)
        world.recorder.react["onNotification"] = ring
        world.recorder.react["onEvent"] = event
        world.up()
        world.transport.say(b"<message/>")
        for text, places, _ in script:
            if world.transport.open:
                for piece in cut(text.encode(), places):
                    world.transport.say(piece)
                world.settle()
            if waiting:
                waiting.pop(0).callback(None)
                world.settle()
        self.flushLoggedErrors(ValueError)
        calls = [re.sub("/[0-9a-f]{8}'", "/r'", repr(call)) for call in world.recorder.calls]
        sent = [re.sub(rb'id="[0-9a-f]{16}"', b"", m) for m in world.transport.sent]
        stats = world.connection.stats
        world.close()
        world.settle()
        return calls, sent, stats, taken

    @settings(max_examples=3000)
    @given(
        st.lists(
            st.tuples(
                stanzas,
                st.lists(st.integers(0, 600), max_size=2),
                st.sampled_from(["", "", "fail", "wait", "close", "close on event"]),
            ),
            min_size=1,
            max_size=6,
        ),
        st.booleans(),
    )
    def test_same(self, script: list[tuple[str, list[int], str]], management: bool) -> None:
        """The same callbacks, the same answers, the same counters."""
        with_ = self.heard(True, script, streamManagement=management, dialect="stream")
        without = self.heard(False, script, streamManagement=management, dialect="stream")
        self.assertEqual(with_[0], without[0])
        self.assertEqual(with_[1], without[1])
        self.assertEqual(with_[2], without[2])

    def test_taken(self) -> None:
        """It is the fast path that takes the usual notifications, in both dialects."""
        for dialect, text in (("stream", NOTIFICATION), ("framed", FRAMED)):
            script = [(text, [], "")] * 20
            self.assertEqual(self.heard(True, script, dialect=dialect)[3], 20)

    def test_closedByTheEvent(self) -> None:
        """Promise 4: whoever closes in onEvent gets no onNotification after it."""
        for fast in (True, False):
            calls, _, stats, _ = self.heard(fast, [(NOTIFICATION, [], "close on event")])
            self.assertNotIn("'onNotification'", str(calls))
            self.assertEqual(stats.notifications, 1)

    def test_limits(self) -> None:
        """What is over a limit is refused, in whatever form it comes."""
        size = len(NOTIFICATION)
        for limits, taken in (
            (Limits(frame=size), 3),
            (Limits(frame=size - 1), 0),
            # The mechanisms of the features are as deep.
            (Limits(depth=3, children=10), 3),
        ):
            results = [
                self.heard(
                    fast, [(NOTIFICATION, [], "")] * 3, limits=limits, streamManagement=False
                )
                for fast in (True, False)
            ]
            self.assertEqual(results[0][:3], results[1][:3])
            self.assertEqual(results[0][3], taken)

    def test_otherSurroundings(self) -> None:
        """A server whose stream is in another namespace gets no fast path."""
        world = World(dialect="stream").up()
        world.transport.say(b"<message/>")
        session = world.connection._driver._link.session
        self.assertEqual(session.defaultNamespace, CLIENT)
        session._parser.declarations[None] = "other"
        world.transport.say(b"<message xmlns='jabber:client'/>")
        self.assertIsNone(session.defaultNamespace)
        world.close()
        world.settle()

    def test_answers(self) -> None:
        """The answers, written shortly and at length, are the same bytes."""
        from iris_twisted.xmpp.elements import Element
        from iris_twisted.xmpp.stanzas import result

        for id in ("n1", "a\"'<>&\tb", "ü"):
            for sender in (None, RID, "a&b@example.test"):
                attributes = {"type": "result", "id": id} | ({"to": sender} if sender else {})
                long = encoded(Element("iq", CLIENT, attributes))
                self.assertEqual(result(id, sender), long)
        self.assertIn(b"wait", encoded(error(Element("iq"), "resource-constraint")))
