"""
Pings whose answers are recognized by their bytes, beside the same ones read by the parser.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net.addresses import RoutingId
from iris_twisted.xmpp.acknowledgements import Acknowledgements
from iris_twisted.xmpp.elements import BIND, CLIENT, SASL, STREAM, Element
from iris_twisted.xmpp.events import IqRequest, SessionSettings
from iris_twisted.xmpp.pings import Pings
from iris_twisted.xmpp.session import XmppSession
from iris_twisted.xmpp.stanzas import encoded
from iris_twisted.xmpp.stream_management import MANAGEMENT

from ..contract.test_fast_path import cut, mutated, mutations
from ..doubles import RID

ANSWERS = (
    "<iq{ns} id='{id}' type='result' to='{rid}/r'/>",
    '<iq{ns} type="result" id="{id}" from="example.test" to="{rid}/r"></iq>',
    "<iq{ns} from='{rid}' type='result' id='{id}'/> ",
    "<iq{ns} id='{id}' type='error' from='{id}'/>",
    "<iq{ns} id='{id}' type='result' from='other.test'/>",
    "<iq{ns} id='{id}' type='error' from='example.test'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<message{ns} id='{id}' type='result'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    '<r xmlns="urn:xmpp:sm:3"/>',
    "<a xmlns='urn:xmpp:sm:3' h='2'/>",
    "<iq{ns} id='{id}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
)
RECOGNIZED, ANSWERS_REQUEST = Pings.recognized, Acknowledgements.answersRequest


class Pinging(SynchronousTestCase):
    """The answers to pings, recognized by their bytes, or parsed."""

    def heard(self, sight: bool, framed: bool, script: list[Any]) -> tuple[list[Any], int]:
        seen = 0

        def look(pings: Pings, message: bytes) -> float | None:
            nonlocal seen
            sent = RECOGNIZED(pings, message) if sight else None
            seen += sent is not None
            return sent

        self.patch(Pings, "recognized", look)
        self.patch(
            Acknowledgements,
            "answersRequest",
            ANSWERS_REQUEST if sight else lambda self, message: False,
        )
        ids = (f"{n:016x}" for n in itertools.count(1))
        self.session = XmppSession(
            SessionSettings(
                "framed" if framed else "stream",
                RoutingId.parse(RID),
                "token",
                secure=True,
                newId=ids.__next__,
                pingsOften=True,
            )
        )
        self.session.start()
        mechanisms = Element("mechanisms", SASL, {}, [Element("mechanism", SASL, text="NOAUTH")])
        features = [Element("bind", BIND), Element("sm", MANAGEMENT)]
        jid = Element("jid", BIND, text=f"{RID}/r")
        said: list[Any] = []
        for element in (
            Element("features", STREAM, {}, [mechanisms]),
            Element("success", SASL),
            Element("features", STREAM, {}, features),
            Element(
                "iq", CLIENT, {"type": "result", "id": "bind"}, [Element("bind", BIND, {}, [jid])]
            ),
            Element("enabled", MANAGEMENT, {"id": "x"}),
        ):
            opening = f'<stream:stream xmlns="{CLIENT}" xmlns:stream="{STREAM}">'
            if not framed and element.name == "features":
                self.session.receive(opening.encode())
            said.extend(self.session.receive(encoded(element)))
        for number, (text, back, changes, places) in enumerate(script):
            self.session.sendPing(float(number))
            id = f"{max(1, number + 1 - back):016x}"
            ns = f" xmlns='{CLIENT}'" if framed else ""
            message = mutated(text.format(id=id, rid=RID, ns=ns), changes)
            for piece in [message] if framed else cut(message, places):
                for event in self.session.receive(piece):
                    said.append(str(event))
                    if isinstance(event, IqRequest):
                        self.session.reply(event.element)
            said.extend(map(str, self.session.requestAcknowledgement()))
            said.extend(self.session.takeOutgoing())
        return said, seen

    @settings(max_examples=1000)
    @given(
        st.booleans(),
        st.lists(
            st.tuples(
                st.sampled_from(ANSWERS[:2]) | st.sampled_from(ANSWERS),
                st.sampled_from([0, 0, 0, 1, 3]),
                st.just([]) | mutations,
                st.lists(st.integers(0, 99), max_size=1),
            ),
            max_size=8,
        ),
    )
    def test_same(self, framed: bool, script: list[Any]) -> None:
        """The same events and the same words of ours, whatever comes, cut anywhere."""
        self.assertEqual(self.heard(True, framed, script)[0], self.heard(False, framed, script)[0])

    def test_recognized(self) -> None:
        """From the second on, the usual answers are recognized by their bytes, in both dialects."""
        for framed in (True, False):
            for usual in ANSWERS[:2]:
                said, seen = self.heard(True, framed, [(usual, 0, [], [])] * 5)
                self.assertEqual(seen, 4, usual)
                answered = [word for word in said if str(word).startswith("PingAnswered")]
                self.assertEqual(answered, [f"PingAnswered(sent={n}.0)" for n in range(5)])

    def test_halves(self) -> None:
        """What is only the end of an answer, or the answer and more, is no answer."""
        whole = "<iq id='{id}' type='result' from='example.test'/>"
        for script in (
            [(whole, 0, [], [1])] * 2 + [(whole[1:], 0, [], [])],
            [(whole + "<message/>", 0, [], [])] * 2 + [("<message/>", 0, [], [])],
        ):
            said, seen = self.heard(True, False, script)
            self.assertEqual(seen, 0)
            self.assertEqual((said, 0), self.heard(False, False, script))

    def test_stranger(self) -> None:
        """What differs by a letter besides the id is read, and a stranger's answer is none."""
        usual = ANSWERS[1]
        strange = usual.replace("example", "exbmple")
        for framed in (True, False):
            said, seen = self.heard(True, framed, [(usual, 0, [], [])] * 2 + [(strange, 0, [], [])])
            self.assertEqual(seen, 1)
            answered = [word for word in said if str(word).startswith("PingAnswered")]
            self.assertEqual(answered, ["PingAnswered(sent=0.0)", "PingAnswered(sent=1.0)"])
