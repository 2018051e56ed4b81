"""
Floor 4: security.md, "Forged notifications", "Forged wrapping" and "JSON".
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.addresses import RoutingId
from iris_twisted.net.json_text import MAX_DEPTH, decodeJson
from iris_twisted.net.limits import Limits
from iris_twisted.rtc import senders
from iris_twisted.rtc.incoming import Leave, Nothing, Notification, Refused
from iris_twisted.rtc.private_iqs import PrivateIqs
from iris_twisted.rtc.senders import TrustedSenders
from iris_twisted.rtc.telemetry import statistics
from iris_twisted.xmpp.elements import CLIENT, Element
from iris_twisted.xmpp.parser import FrameParser

RID = RoutingId.parse("Alice@xmpp.example.test")
WIRE = b"""<iq xmlns='jabber:client' type='set' id='n1' from='notify.xmpp.example.test'
        to='RID/resource'><query xmlns='jabber:iq:private'>
    <data xmlns='urn:xmpp:comcast:info' type='notify' action='' roomid='room-1'
        routingid='caller@xmpp.example.test' rtcserver='xmpp-wcdcc-001.example.test' traceid='tr-9'
        roomtoken='RT' roomtokenexpirytime='1700000000'
        userdata='{"data":{"cname":"+12155550100"},"notification":{"type":"pstn"}}'/>
    </query></iq>"""


def syntax(*trusted: str) -> PrivateIqs:
    return PrivateIqs(RID, TrustedSenders(RID, "rtc.server.test", trusted))


def iq(wire: bytes | str) -> Element:
    (element,) = FrameParser(Limits()).feed(wire if isinstance(wire, bytes) else wire.encode())
    assert isinstance(element, Element), element
    return element


def private(data: str, sender: str | None = None, kind: str = "set") -> Element:
    origin = "" if sender is None else f" from='{sender}'"
    return iq(
        f"<iq xmlns='jabber:client' type='{kind}' id='1'{origin}>"
        f"<query xmlns='jabber:iq:private'>{data}</query></iq>"
    )


DATA = "<data xmlns='urn:xmpp:comcast:info' type='{}' roomid='r'/>"


class Reading(SynchronousTestCase):
    """Private IQs in."""

    def test_notification(self) -> None:
        """The notification of protocol.md: every attribute, the aliases, userdata decoded."""
        incoming = syntax().read(iq(WIRE), None)
        assert isinstance(incoming, Notification)
        self.assertEqual(
            incoming.info,
            {
                "xmlns": "urn:xmpp:comcast:info",
                "type": "notify",
                "action": "",
                "roomid": "room-1",
                "roomId": "room-1",
                "routingid": "caller@xmpp.example.test",
                "routingId": "caller@xmpp.example.test",
                "rtcserver": "xmpp-wcdcc-001.example.test",
                "traceid": "tr-9",
                "traceId": "tr-9",
                "roomtoken": "RT",
                "roomtokenexpirytime": "1700000000",
                "userdata": {"data": {"cname": "+12155550100"}, "notification": {"type": "pstn"}},
            },
        )
        self.assertNotIn("RT", repr(incoming))

    def test_types(self) -> None:
        """Each type to its meaning; unknown ones are notifications."""
        for kind, meaning in (
            ("notify", Notification),
            ("cancel", Notification),
            ("chat", Notification),
            ("hologram", Notification),
            ("disconnect", Leave),
            ("leave room", Nothing),
            ("", Nothing),
        ):
            self.assertIsInstance(syntax().read(private(DATA.format(kind)), None), meaning)
        untyped = "<data xmlns='urn:xmpp:comcast:info' roomid='r'/>"
        self.assertIsInstance(syntax().read(private(untyped), None), Nothing)

    def test_kindsOfIq(self) -> None:
        """The iq's own type may be set, get or absent."""
        for wire in (
            WIRE,
            WIRE.replace(b"type='set'", b"type='get'"),
            WIRE.replace(b"type='set'", b""),
        ):
            self.assertIsInstance(syntax().read(iq(wire), None), Notification)

    def test_matrixOfSenders(self) -> None:
        """Who is believed, by default and by trustedSenders; disconnect from the server only."""
        for sender, trusted, server in (
            (None, True, True),
            ("alice@xmpp.example.test", True, False),
            ("ALICE@xmpp.example.test/any", True, False),
            ("xmpp.example.test", True, True),
            ("xmpp.example.test/x", True, True),
            ("notify.xmpp.example.test", True, False),
            ("rtc.server.test", True, True),
            ("a.b.rtc.server.test", True, False),
            ("mallory@xmpp.example.test", False, False),
            ("mallory@notify.xmpp.example.test/x", False, False),
            ("example.test", False, False),
            ("evilxmpp.example.test", False, False),
            ("xmpp.example.test.evil", False, False),
            ("not a jid@@", False, False),
            ("", False, False),
        ):
            notification = syntax().read(private(DATA.format("notify"), sender), None)
            self.assertIsInstance(notification, Notification if trusted else Refused, repr(sender))
            leave = syntax().read(private(DATA.format("disconnect"), sender), None)
            self.assertIsInstance(leave, Leave if server else Refused, repr(sender))
        own = syntax("partner.test", "bot@friends.test")
        for sender, trusted in (
            ("partner.test", True),
            ("x.partner.test", True),
            ("user@partner.test", False),
            ("bot@friends.test/res", True),
            ("friends.test", False),
            ("xmpp.example.test", True),
        ):
            incoming = own.read(private(DATA.format("notify"), sender), None)
            self.assertIsInstance(incoming, Notification if trusted else Refused, sender)

    def test_badTrust(self) -> None:
        """Entries that are no bare JID or domain are refused, named."""
        for entry in ("a@b/c", "a@b@c", ""):
            with self.assertRaises(IncorrectParameters) as caught:
                syntax(entry)
            self.assertIn("trustedSenders", caught.exception.message)

    def test_wrapped(self) -> None:
        """Nested, in another namespace, or beside the query: ignored."""
        data = DATA.format("notify")
        for element in (
            private(f"<forwarded xmlns='urn:xmpp:forward:0'>{data}</forwarded>"),
            private(data.replace("comcast", "other")),
            iq(f"<iq xmlns='jabber:client' type='set' id='1'>{data}</iq>"),
            iq(f"<iq xmlns='jabber:client' type='set' id='1'><query xmlns='x'>{data}</query></iq>"),
            iq(
                f"<iq xmlns='jabber:client' type='set' id='1'>"
                f"<query xmlns='jabber:iq:private'/>{data}</iq>"
            ),
        ):
            self.assertEqual(syntax().read(element, None), Refused("service-unavailable"))

    def test_twice(self) -> None:
        """Two data children, or two queries: an error, and neither is delivered."""
        data = DATA.format("notify")
        self.assertEqual(syntax().read(private(data * 2), None), Refused("bad-request"))
        query = f"<query xmlns='jabber:iq:private'>{data}</query>"
        double = iq(f"<iq xmlns='jabber:client' type='set' id='1'>{query * 2}</iq>")
        self.assertEqual(syntax().read(double, None), Refused("bad-request"))

    def info(self, userdata: str) -> Any:
        data = Element("data", "urn:xmpp:comcast:info", {"type": "notify", "userdata": userdata})
        query = Element("query", "jabber:iq:private", children=[data])
        incoming = syntax().read(Element("iq", CLIENT, {}, [query]), None)
        assert isinstance(incoming, Notification)
        return incoming.info["userdata"]

    def test_userdata(self) -> None:
        """Decoded when it is JSON, left as the string that it is otherwise."""
        for text, value in (
            ("{}", {}),
            ("5", 5),
            ("", ""),
            ("{", "{"),
            ("NaN", "NaN"),
            ("[" * 70 + "]" * 70, "[" * 70 + "]" * 70),
        ):
            self.assertEqual(self.info(text), value)

    @given(st.text())
    def test_anyUserdata(self, text: str) -> None:
        """Nothing raises, and what is given can be written as JSON again."""
        json.dumps(self.info(text), allow_nan=False)


class NoQuery(SynchronousTestCase):
    """What looks like a private IQ."""

    def test_otherElement(self) -> None:
        """Only the element query of jabber:iq:private counts."""
        for start, end in (
            ("<other xmlns='jabber:iq:private'>", "</other>"),
            ("<query xmlns='jabber:iq:other'>", "</query>"),
        ):
            wire = f"<iq xmlns='jabber:client' type='set' id='1'>{start}{DATA}{end}</iq>"
            incoming = syntax().read(iq(wire.format("notify")), None)
            self.assertEqual(incoming, Refused("service-unavailable"))

    def test_parseFast(self) -> None:
        """A disconnect, or a room that was left, is no notification for being seen early."""
        for kind, found in (("notify", True), ("disconnect", False), ("leave room", False)):
            wire = (
                "<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:private'>"
                f"{DATA.format(kind)}</query></iq>"
            )
            self.assertEqual(syntax().parseFast(wire.encode(), "") is not None, found, kind)


class Remembered(SynchronousTestCase):
    """Judgements on senders are kept, and strangers cannot make us keep many."""

    def test_bounded(self) -> None:
        """So many at most, of so many characters; the judgement is the same, kept or not."""
        self.patch(senders, "_REMEMBERED", 4)
        judge = TrustedSenders(RID, "rtc.server.test")
        for n in range(10):
            for sender, trusted in (
                (f"mallory{n}@elsewhere.test", False),
                (f"notify{n}.xmpp.example.test", True),
                (f"alice@xmpp.example.test/{'x' * 300}{n}", True),
            ):
                self.assertEqual(judge.trusts(sender), trusted)
                self.assertEqual(judge.trusts(sender), trusted)
            self.assertLessEqual(len(judge._judged), 4)
            self.assertFalse([sender for sender in judge._judged if len(sender) > 256])


class Json(SynchronousTestCase):
    """Strict and shallow JSON."""

    def test_depth(self) -> None:
        """At the limit it passes, beyond it does not, far beyond neither."""
        for depth, fine in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)):
            text = '{"a":' * (depth - 1) + "[]" + "}" * (depth - 1)
            if fine:
                decodeJson(text)
            else:
                self.assertRaises(ValueError, decodeJson, text)
        self.assertEqual(len(decodeJson("[" + "[]," * 200 + "[]]")), 201)


class Telemetry(SynchronousTestCase):
    """Call statistics."""

    def test_shape(self) -> None:
        """Addressed like a reject where there is a room, to the domain otherwise; no secrets."""
        details = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.x", "roomtoken": "CANARY"}
        event = {"type": "connection", "state": "SDK_X", "details": details}
        to, suffix, (query, data) = statistics(event, RID)
        self.assertEqual(
            (to, suffix), ("r@callcontrol.x/Alice@xmpp.example.test", ":sendStatsIQ:SDK_X")
        )
        self.assertEqual(query.attributes, {"strict": "false"})
        self.assertEqual(data.get("event"), "callstats")
        self.assertNotIn("CANARY", repr(data))
        self.assertEqual(statistics({**event, "details": {}}, RID)[0], "xmpp.example.test")
        bad = {**event, "details": {**details, "roomid": "a@b"}}
        self.assertEqual(statistics(bad, RID)[0], "xmpp.example.test")

    def test_halfAnAddress(self) -> None:
        """A room without its server, or the other way round, is no address."""
        for details in ({"roomid": "r"}, {"rtcserver": "xmpp.x"}):
            event = {"type": "connection", "state": "SDK_X", "details": details}
            self.assertEqual(statistics(event, RID)[0], "xmpp.example.test")
