"""
L{iris_twisted.xmpp.stream_management}: the state of XEP-0198.
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
        state = StreamManagement()
        sent = [b"<message n='%d'/>" % n for n in range(5)]
        for one in sent:
            state.sent(one)
        state.acknowledge("2")
        self.assertEqual(list(state.unacknowledged), sent[2:])
        state.acknowledge("2")
        self.assertRaises(ProtocolViolation, state.acknowledge, "6")
        state.acknowledge("5")
        self.assertEqual(list(state.unacknowledged), [])

    def test_asking(self) -> None:
        """A flood of ours makes the peer be asked before it is over."""
        state = StreamManagement()
        for count in range(600):
            self.assertEqual(state.sent(b"<iq/>"), count >= 249)
        state.requested()
        self.assertFalse(state.sent(b"<iq/>"))

    def test_noHurry(self) -> None:
        """Neither side's stanzas are acknowledged one by one."""
        state = StreamManagement()
        for count in range(1, 25):
            state.sent(b"<iq/>")
            self.assertEqual(state.shouldRequest, count >= 20)
            pong = stanza()
            state.arrived(pong)
            state.done(pong)
            self.assertEqual(state.hasUnreportedStanzas, count >= 20)
        self.assertEqual(state.handled, "24")
        self.assertFalse(state.hasUnreportedStanzas)
        state.acknowledge("24")
        self.assertFalse(state.shouldRequest)

    def test_modulus(self) -> None:
        """Counters go round at 2^32, both ways."""
        state = StreamManagement()
        state._acknowledged = 2**32 - 2
        state._received = 2**32 - 1
        for _ in range(4):
            state.sent(b"<message/>")
        state.acknowledge("1")
        self.assertEqual(len(tuple(state.unacknowledged)), 1)
        self.assertEqual(state.handled, str(2**32 - 1))
        one = stanza()
        state.arrived(one)
        state.done(one)
        self.assertEqual(state.handled, "0")

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
        state = StreamManagement()
        sent: list[Element] = []
        delivered: list[Element] = []
        undone: list[Element] = []
        for cut, number in script:
            if cut:
                for again in sent[int(state.resuming()) :]:
                    if state.arrived(again):
                        delivered.append(again)
            else:
                one = stanza()
                sent.append(one)
                if state.arrived(one):
                    delivered.append(one)
                    undone.append(one)
                if undone and number:
                    state.done(undone.pop(number % len(undone)))
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
        self.assertEqual(
            (resumption.management.id, resumption.management.resumeTimeout), ("i", 60.0)
        )
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

    def test_answeredAtTheBeat(self) -> None:
        """An <r/> after nothing but answers to us is answered too, with the next beat."""
        session, _ = self.managed(pingsOften=True)
        session.receive(BOUND)
        session.receive(f'<enabled xmlns="{SM}" id="i" resume="true"/>'.encode())
        session.takeOutgoing()
        id = self.ping(session)
        session.receive(f"<iq type='result' id='{id}' from='example.test'/>".encode())
        session.receive(f'<r xmlns="{SM}"/>'.encode())
        self.assertEqual(session.takeOutgoing(), [])
        session.requestAcknowledgement()
        self.assertEqual(session.takeOutgoing(), [f'<a xmlns="{SM}" h="1"/>'.encode()])
        session.requestAcknowledgement()
        self.assertEqual(session.takeOutgoing(), [])

    def test_newWords(self) -> None:
        """What the extension does not know ends it, before it is on too."""
        session, _ = self.managed()
        session.receive(BOUND)
        (event,) = session.receive(f'<x xmlns="{SM}"/>'.encode())
        self.assertIsInstance(event, Ended)

    def test_toldUnasked(self) -> None:
        """A peer that never asks is told at the beat how far we are, after so many."""
        session, _ = self.managed()
        session.receive(BOUND)
        session.receive(f'<enabled xmlns="{SM}" id="i" resume="true"/>'.encode())
        session.takeOutgoing()
        session.receive(b"<message/>" * 19)
        session.requestAcknowledgement()
        self.assertEqual(session.takeOutgoing(), [])
        session.receive(b"<message/>")
        session.requestAcknowledgement()
        self.assertEqual(session.takeOutgoing(), [f'<a xmlns="{SM}" h="20"/>'.encode()])
