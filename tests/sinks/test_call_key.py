"""
The key of a call: its own, whoever tells of it, and nobody else's.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net.addresses import RoutingId
from iris_twisted.rtc.incoming import Notification
from iris_twisted.rtc.namespaces import IRIS, PRIVATE
from iris_twisted.rtc.private_iqs import PrivateIqs
from iris_twisted.rtc.senders import TrustedSenders
from iris_twisted.sinks.call_key import callKey
from iris_twisted.sinks.record import CallRecord
from iris_twisted.xmpp.elements import CLIENT, Element

A = "alice@x.test"
CALL = {
    "type": "notify",
    "action": "",
    "roomid": "room-1",
    "routingid": "caller@xmpp.example.test",
    "rtcserver": "xmpp-wcdcc-001.example.test",
    "traceid": "tr-9",
    "roomtoken": "RT",
    "roomtokenexpirytime": "1700000000",
    "userdata": '{"data":{"cname":"+12155550100","cid":"+12155550100"},"notification":{"type":"pstn"}}',
}
# Short ones, with what a careless encoding would trip over.
TEXTS = st.text(st.sampled_from('ab\0",:[]{}\\ \ud83d\ude00é😀'), max_size=4)
JSONS = st.recursive(
    TEXTS | st.integers(-2, 2) | st.booleans() | st.none() | st.sampled_from([0.5, 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
NOTIFICATIONS = st.fixed_dictionaries(
    {"roomid": TEXTS, "traceid": TEXTS.filter(bool)},
    optional={
        "type": TEXTS,
        "action": TEXTS,
        "routingid": TEXTS,
        "userdata": JSONS,
        "a": TEXTS,
        "b": TEXTS,
    },
)


def received(attributes: dict[str, str], **iq: str) -> dict[str, Any]:
    """What C{onNotification} gets of these attributes."""
    data = Element("data", IRIS, dict(attributes))
    stanza = Element("iq", CLIENT, iq, [Element("query", PRIVATE, children=[data])])
    routingId = RoutingId.parse(A)
    syntax = PrivateIqs(routingId, TrustedSenders(routingId, "rtc.x.test", ()))
    incoming = syntax.read(stanza, f"{A}/phone")
    assert isinstance(incoming, Notification)
    return incoming.info


def canonical(value: Any) -> Any:
    """Equal for equal JSON only: Python's True is equal to its 1."""
    if isinstance(value, dict):
        return "object", frozenset((name, canonical(v)) for name, v in value.items())
    if isinstance(value, list):
        return "array", tuple(map(canonical, value))
    return type(value).__name__, value


class Keys(SynchronousTestCase):
    """Which are the same, and which are not."""

    def test_form(self) -> None:
        """It is a UUIDv5, and the record's; it never changes with a version of ours."""
        key = callKey(A, received(CALL))
        self.assertEqual(uuid.UUID(key).version, 5)
        self.assertEqual(uuid.UUID(key).variant, uuid.RFC_4122)
        self.assertEqual(CallRecord.of(A, received(CALL), 1.5).key, key)
        self.assertEqual(key, "3bb0aaaa-873f-5c51-9fcf-9995ff27a89c")

    def test_toldAgain(self) -> None:
        """Another session, server, token, expiry, stanza, order, or none of our own additions."""
        key = callKey(A, received(CALL, id="n1", to=f"{A}/phone"))
        again = {**CALL, "roomtoken": "other", "roomtokenexpirytime": "1800000000"}
        again |= {"rtcserver": "xmpp-wcdcc-002.example.test", "to": f"{A}/desk", "id": "n2"}
        del again["action"]
        names = list(again)
        random.Random(3).shuffle(names)
        shuffled = {name: again[name] for name in names}
        shuffled["userdata"] = (
            '{"notification": {"type": "pstn"}, "data": {"cid": "+12155550100", "cname": "+12155550100"}}'
        )
        for told in (
            received(again, id="n2", to=f"{A}/desk"),
            received(shuffled),
            {k: v for k, v in received(CALL).items() if k not in ("roomid", "roomId", "xmlns")}
            | {"roomId": "room-1"},
        ):
            self.assertEqual(callKey(A, told), key, told)

    def test_otherCalls(self) -> None:
        """Each attribute that says which call it is, one that nobody knows yet included."""
        keys = [callKey(A, received(CALL)), callKey("bob@x.test", received(CALL))]
        for change in (
            {"type": "cancel"},
            {"action": "x"},
            {"roomid": "room-2"},
            {"traceid": "tr-10"},
            {"routingid": "other@xmpp.example.test"},
            {"userdata": "{}"},
            {"userdata": '"{}"'},
            {"userdata": "hello"},
            {"message": "hello"},
            {"roomid": ""},
            {"traceid": ""},
            {"roomId": "room-3"},
        ):
            keys.append(callKey(A, received({**CALL, **change})))
        self.assertEqual(len(set(keys)), len(keys))

    def test_nameless(self) -> None:
        """What names neither room nor trace is another call each time."""
        nameless = received({**CALL, "roomid": "", "traceid": ""})
        keys = {callKey(A, nameless) for _ in range(10)}
        self.assertEqual(len(keys), 10)
        self.assertEqual({uuid.UUID(key).version for key in keys}, {4})

    @given(st.tuples(TEXTS, NOTIFICATIONS), st.tuples(TEXTS, NOTIFICATIONS))
    def test_injective(self, one: Any, two: Any) -> None:
        """The same account and fields, the same key; anything else, another."""

        def said(call: Any) -> Any:
            account, notification = call
            return account, canonical({k: v for k, v in notification.items() if v != ""})

        self.assertEqual(callKey(*one) == callKey(*two), said(one) == said(two))

    @given(NOTIFICATIONS, st.randoms(use_true_random=False), TEXTS)
    def test_anyOrder(self, notification: Any, chance: Any, token: str) -> None:
        """No order of the attributes matters, nor a token."""
        names = list(notification)
        chance.shuffle(names)
        shuffled = {name: notification[name] for name in names}
        self.assertEqual(callKey(A, {**shuffled, "roomtoken": token}), callKey(A, notification))

    def test_notJson(self) -> None:
        """What JSON cannot hold is refused."""
        for value in (float("nan"), float("inf"), {1: 2, "a": 3}, object()):
            with self.assertRaises((TypeError, ValueError)):
                callKey(A, {"roomid": "r", "userdata": value})
