"""
L{iris_twisted.xmpp.stream_management}: the books of XEP-0198.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import ProtocolViolation
from iris_twisted.xmpp import stream_management as management
from iris_twisted.xmpp.elements import CLIENT, Element
from iris_twisted.xmpp.events import Ended, Established
from iris_twisted.xmpp.stream_management import StreamManagement

from .test_session import BOUND, SASL, SessionCase, features, mechanisms

SM = "urn:xmpp:sm:3"


def stanza() -> Element:
    return Element("message", CLIENT)


class Books(SynchronousTestCase):
    """Counting."""

    def test_acknowledged(self) -> None:
        """What the peer is done with is forgotten; more than was sent is a violation."""
        books = StreamManagement()
        sent = [b"<message n='%d'/>" % n for n in range(5)]
        for one in sent:
            books.sent(one)
        books.acknowledge("2")
        self.assertEqual(list(books.unacknowledged), sent[2:])
        books.acknowledge("2")
        self.assertRaises(ProtocolViolation, books.acknowledge, "6")
        books.acknowledge("5")
        self.assertEqual(list(books.unacknowledged), [])

    def test_asking(self) -> None:
        """A flood of ours makes the peer be asked before it is over."""
        books = StreamManagement()
        for count in range(600):
            self.assertEqual(books.sent(b"<iq/>"), count >= 249)
        books.asked()
        self.assertFalse(books.sent(b"<iq/>"))

    def test_noHurry(self) -> None:
        """Neither side's stanzas are acknowledged one by one."""
        books = StreamManagement()
        for count in range(1, 25):
            books.sent(b"<iq/>")
            self.assertEqual(books.wantsAnswer, count >= 20)
            pong = stanza()
            books.arrived(pong)
            books.done(pong)
            self.assertEqual(books.owesNews, count >= 20)
        self.assertEqual(books.handled, "24")
        self.assertFalse(books.owesNews)
        books.acknowledge("24")
        self.assertFalse(books.wantsAnswer)

    def test_modulus(self) -> None:
        """Counters go round at 2^32, both ways."""
        books = StreamManagement()
        books._acknowledged = 2**32 - 2
        books._received = 2**32 - 1
        for _ in range(4):
            books.sent(b"<message/>")
        books.acknowledge("1")
        self.assertEqual(len(tuple(books.unacknowledged)), 1)
        self.assertEqual(books.handled, str(2**32 - 1))
        one = stanza()
        books.arrived(one)
        books.done(one)
        self.assertEqual(books.handled, "0")

    def test_nonsense(self) -> None:
        """A count that is none is a violation."""
        for h in (None, "", "-1", "1.5", "x", "99999999999", "\u0663"):
            self.assertRaises(ProtocolViolation, StreamManagement().acknowledge, h)

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
    def test_eachOnce(self, script: list[tuple[bool, int]]) -> None:
        """
        Whatever is done in whatever order, and whenever it is cut: the peer's
        resending by our h makes each stanza arrive once.
        """
        books = StreamManagement()
        sent: list[Element] = []
        delivered: list[Element] = []
        undone: list[Element] = []
        for cut, number in script:
            if cut:
                for again in sent[int(books.resuming()) :]:
                    if books.arrived(again):
                        delivered.append(again)
            else:
                one = stanza()
                sent.append(one)
                if books.arrived(one):
                    delivered.append(one)
                    undone.append(one)
                if undone and number:
                    books.done(undone.pop(number % len(undone)))
        self.assertEqual([id(s) for s in delivered], [id(s) for s in sent])


class Wire(SessionCase):
    """The session's side."""

    def managed(self, **kw: object):  # type: ignore[no-untyped-def]
        session = self.session(**kw)
        offer = f'<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/><sm xmlns="{SM}"/>'
        for message in (
            mechanisms("NOAUTH"),
            f"<success {SASL}/>".encode(),
            features(offer),
        ):
            events = session.receive(message)
        return session, events

    def test_enable(self) -> None:
        """enable, enabled, r, a."""
        session, _ = self.managed()
        session.receive(BOUND)
        self.assertEqual(
            session.takeOutgoing()[-1], f'<enable xmlns="{SM}" resume="true"/>'.encode()
        )
        self.assertIsNone(session.resumption)
        session.receive(f'<enabled xmlns="{SM}" id="i" resume="true" max="60"/>'.encode())
        resumption = session.resumption
        assert resumption is not None
        self.assertEqual((resumption.management.id, resumption.management.patience), ("i", 60.0))
        session.receive(b"<message/><presence/><iq type='get' id='1'><x xmlns='y'/></iq>")
        session.receive(f'<r xmlns="{SM}"/>'.encode())
        self.assertEqual(session.takeOutgoing()[-1], f'<a xmlns="{SM}" h="2"/>'.encode())
        for _ in range(20):
            session.sendIq("set", [], 0.0)
        session.requestAcknowledgement()
        self.assertEqual(session.takeOutgoing()[-1], f'<r xmlns="{SM}"/>'.encode())
        session.receive(f'<a xmlns="{SM}" h="20"/>'.encode())
        self.assertEqual(list(resumption.management.unacknowledged), [])

    def test_refused(self) -> None:
        """failed: without it, then; so is what cannot be resumed."""
        session, _ = self.managed()
        session.receive(BOUND)
        session.receive(f'<failed xmlns="{SM}"/>'.encode())
        self.assertIsNone(session.resumption)
        session.receive(b"<message/>")
        session.requestAcknowledgement()
        session, _ = self.managed()
        session.receive(BOUND)
        session.receive(f'<enabled xmlns="{SM}"/>'.encode())
        self.assertIsNone(session.resumption)

    def test_outOfTurn(self) -> None:
        """Elements out of turn, and impossible counts, end it."""
        for element in ("enabled", "resumed", "failed", "r", "a", "x"):
            session = self.up()
            (event,) = session.receive(f'<{element} xmlns="{SM}" h="0"/>'.encode())
            self.assertIsInstance(event, Ended, element)
        session, _ = self.managed()
        session.receive(BOUND)
        (event,) = session.receive(f'<a xmlns="{SM}" h="7"/>'.encode())
        assert isinstance(event, Ended)
        self.assertIn("more stanzas than", event.error.message)

    def test_resume(self) -> None:
        """resume with our h; what was not acknowledged is sent again."""
        first, _ = self.managed()
        first.receive(BOUND)
        first.receive(f'<enabled xmlns="{SM}" id="i" resume="true"/>'.encode())
        first.receive(b"<message/>")
        id = first.sendIq("set", [], 0.0, to="example.test")
        first.lost()
        second, _ = self.managed(resumption=first.resumption)
        self.assertEqual(
            second.takeOutgoing()[-1], f'<resume xmlns="{SM}" previd="i" h="1"/>'.encode()
        )
        events = second.receive(f'<resumed xmlns="{SM}" previd="i" h="0"/>'.encode())
        self.assertEqual(events, [Established("alice@example.test/r", resumed=True)])
        self.assertIn(id.encode(), second.takeOutgoing()[0])
        events = second.receive(f'<iq type="result" id="{id}" from="example.test"/>'.encode())
        self.assertEqual(len(events), 1)

    def test_neverAcknowledged(self) -> None:
        """A server that acknowledges nothing is left: what is kept for it is bounded."""
        self.patch(management, "_UNACKNOWLEDGED", 3)
        session, _ = self.managed()
        session.receive(BOUND)
        for n in range(3):
            session.sendPing(float(n))
        self.assertEqual(session.requestAcknowledgement(), ())
        session.sendPing(3.0)
        (event,) = session.requestAcknowledgement()
        assert isinstance(event, Ended)
        self.assertIn("acknowledges nothing", event.error.message)
        self.assertFalse(session.isUp)

    def test_resumedWithNonsense(self) -> None:
        """A session that is resumed with an impossible count is not asked for again."""
        first, _ = self.managed()
        first.receive(BOUND)
        first.receive(f'<enabled xmlns="{SM}" id="i" resume="true"/>'.encode())
        first.lost()
        second, _ = self.managed(resumption=first.resumption)
        (event,) = second.receive(f'<resumed xmlns="{SM}" previd="i" h="9"/>'.encode())
        self.assertIsInstance(event, Ended)
        self.assertIsNone(first.resumption)

    def test_resumeFails(self) -> None:
        """failed: bind, in the same stream."""
        first, _ = self.managed()
        first.receive(BOUND)
        first.receive(f'<enabled xmlns="{SM}" id="i" resume="true"/>'.encode())
        first.lost()
        second, _ = self.managed(resumption=first.resumption)
        second.receive(f'<failed xmlns="{SM}"/>'.encode())
        self.assertIn(b'id="bind"', second.takeOutgoing()[-1])
        self.assertEqual(second.receive(BOUND), [Established("alice@example.test/r")])

    def test_askedWithoutIt(self) -> None:
        """<r/> is out of turn before stream management is on, however it is worded."""
        for asking in (f'<r xmlns="{SM}"/>', f"<r xmlns='{SM}'/>"):
            session = self.up()
            (event,) = session.receive(asking.encode())
            self.assertIsInstance(event, Ended)
