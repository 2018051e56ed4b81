"""
What open pages are told, how often somebody looks for that, and how long it may take.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from iris_twisted.console import CallHistory
from iris_twisted.console.live_views import LiveViews, changesOnly

from ..doubles import DriftingClock


class Browser(DummyRequest):
    """One that reads, unless its producer is paused."""

    producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it was told."""
        texts = b"".join(self.written).decode().split("\n\n")
        return [json.loads(text.removeprefix("data: ")) for text in texts[:-1]]

    def leave(self) -> None:
        """Hang up."""
        self.processingFailed(Failure(ConnectionDone()))


def completed(last: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """As C{completed} of the script C{shared.js}."""
    whole = {**last, **news}
    for list_, name in (("connections", "account"), ("calls", "id")):
        known = {entry[name]: entry for entry in last.get(list_, [])}
        whole[list_] = [
            entry if isinstance(entry, dict) else known[entry] for entry in whole.get(list_, [])
        ]
    return whole


ENTRIES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=5, unique_by=lambda entry: entry[0]
)


class Watching(SynchronousTestCase):
    """Pages of one history."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.callHistory = CallHistory(self.clock)
        self.looks: Counter[str] = Counter()
        # Seconds that each look takes, and that all took.
        self.cost = 0.0
        self.taken = 0.0
        self.liveViews = LiveViews(self.clock, self.callHistory.watchers, lambda: self.taken)

    def open(self, key: str = "all") -> Browser:
        def look() -> dict[str, Any]:
            self.looks[key] += 1
            self.taken += self.cost
            return {**self.callHistory.snapshot("", "", 0, 25), "key": key}

        browser = Browser([b"events"])
        self.liveViews.watch(browser, key, look)
        return browser

    def test_shared(self) -> None:
        """Ten pages of the same are one look for each change, at most five in a second; another one is its own."""
        pages = [self.open() for _ in range(10)]
        self.assertEqual(self.looks["all"], 1)
        for _ in range(10):
            self.clock.advance(1)
            for _ in range(100):
                self.callHistory.called("alice@x.test", {"type": "notify"})
            self.clock.advance(0)
        self.assertEqual(self.looks["all"], 11)
        self.assertEqual({len(page.events) for page in pages}, {11})
        self.assertEqual(len({b"".join(page.written) for page in pages}), 1)
        other = self.open("other")
        self.assertEqual((self.looks["other"], other.events[0]["key"]), (1, "other"))
        self.clock.pump([0.01] * 2000)
        self.assertLessEqual(self.looks["all"], 11 + 4)
        for _ in range(2000):
            self.callHistory.changed()
            self.clock.advance(0.01)
        self.assertLessEqual(self.looks["all"], 11 + 4 + 100)
        # To send it to ten takes a third of a second's share.
        self.assertGreater(self.looks["all"], 11 + 50)

    def test_anyNumber(self) -> None:
        """However many pages look at different things, at all times, it takes 3 ms of a second."""
        self.cost = 0.002
        pages = [self.open(str(number)) for number in range(40)]
        self.clock.pump([0.01] * 500)
        before, began = self.taken, self.clock.seconds()
        while self.clock.seconds() < began + 600:
            self.callHistory.changed()
            self.clock.advance(0.01)
        share = (self.taken - before) / 600
        self.assertLessEqual(share, 0.003)
        # All of them in turn, and what there is time for is done.
        self.assertGreater(share, 0.002)
        counts = [len(page.events) for page in pages]
        self.assertLessEqual(max(counts) - min(counts), 1)

    def test_sending(self) -> None:
        """To send takes time too: a thousand pages of the same are told less often, but are told."""
        pages = [self.open() for _ in range(1000)]
        for _ in range(1000):
            self.callHistory.changed()
            self.clock.advance(0.1)
        self.assertEqual(len({len(page.events) for page in pages}), 1)
        self.assertIn(len(pages[0].events), (4, 5))

    def test_longLook(self) -> None:
        """A look that took a second, and many pages that are opened at once, stop nothing for long."""
        self.cost = 1.0
        page = self.open()
        self.cost = 0.0
        for _ in range(60):
            self.callHistory.changed()
            self.clock.advance(0.1)
        self.assertGreater(len(page.events), 1)
        self.cost = 0.5
        for _ in range(100):
            self.open("other").leave()
        self.cost = 0.0
        before = len(page.events)
        for _ in range(60):
            self.callHistory.changed()
            self.clock.advance(0.1)
        self.assertGreater(len(page.events), before)

    def test_heartbeat(self) -> None:
        """Without a change too, each page is told every five seconds."""
        pages = [self.open(), self.open("other")]
        self.clock.pump([0.1] * 210)
        self.assertEqual([len(page.events) for page in pages], [5, 5])
        self.assertEqual(self.looks, {"all": 5, "other": 5})

    def test_onlyChanges(self) -> None:
        """The first event says all, each later one what has changed; a page that comes later is told all."""
        first = self.open()
        self.clock.advance(1)
        self.callHistory.open("alice@x.test")
        self.clock.advance(0)
        self.callHistory.called("alice@x.test", {"type": "notify", "roomid": "r1"})
        self.clock.advance(1)
        self.callHistory.called("alice@x.test", {"type": "notify", "roomid": "r2"})
        self.clock.advance(1)
        self.clock.advance(0.5)
        later = self.open()
        # All of them, then the account, and the calls.
        _, account, one, two, now = first.events
        self.assertEqual(account["connections"][0]["account"], "alice@x.test")
        self.assertNotIn("calls", account)
        self.assertNotIn("connections", one)
        self.assertEqual([call["room"] for call in one["calls"]], ["r1"])
        self.assertEqual(two["calls"][1], 1)
        self.assertEqual(two["calls"][0]["room"], "r2")
        self.assertEqual(set(now), {"now"})
        whole: dict[str, Any] = {}
        for event in first.events:
            whole = completed(whole, event)
        self.assertEqual([whole], later.events)

    def test_whoDoesNotRead(self) -> None:
        """Nothing is kept for who does not read, and nobody looks for them alone; then they are told all."""
        slow = self.open()
        slow.producer.pauseProducing()
        self.clock.pump([0.1] * 100)
        self.assertEqual((len(slow.events), self.looks["all"]), (1, 1))
        quick = self.open()
        self.callHistory.called("alice@x.test", {"type": "notify", "roomid": "r1"})
        self.clock.pump([0.1] * 10)
        self.assertEqual((len(slow.events), len(quick.events)), (1, 2))
        slow.producer.resumeProducing()
        self.clock.pump([0.1] * 50)
        self.assertEqual(set(slow.events[-1]), set(slow.events[0]))
        self.assertEqual(slow.events[-1]["calls"][0]["room"], "r1")
        self.assertEqual(set(quick.events[-1]), {"now"})
        slow.producer.stopProducing()

    def test_gone(self) -> None:
        """When all are gone nothing is left, and a view that is opened again starts anew."""
        pages = [self.open(), self.open(), self.open("other")]
        self.assertEqual(len(self.callHistory.watchers), 1)
        for page in pages:
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            page.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.callHistory.watchers, set())
        self.assertIn("connections", self.open().events[0])

    @given(st.lists(st.tuples(ENTRIES, ENTRIES, st.integers(0, 1)), min_size=2, max_size=6))
    def test_completed(self, looks: list[Any]) -> None:
        """Whatever changes, comes, goes and moves: who was told the changes knows the whole."""
        snapshots = [
            {
                "connections": [{"account": str(a), "value": v} for a, v in accounts],
                "calls": [{"id": a, "value": v} for a, v in calls],
                "page": page,
            }
            for accounts, calls, page in looks
        ]
        known = snapshots[0]
        for before, now in pairwise(snapshots):
            known = completed(known, json.loads(json.dumps(changesOnly(before, now))))
            self.assertEqual(known, now)

    def test_clockSetBack(self) -> None:
        """Events come as before while the wall clock is set back."""
        self.clock = clock = DriftingClock()
        clock.advance(1_700_000_000)
        self.callHistory = CallHistory(clock)
        self.liveViews = LiveViews(clock, self.callHistory.watchers, lambda: self.taken)
        page = self.open()
        self.assertEqual(len(page.events), 1)
        clock.jump(-3600)
        clock.pump([1] * 10)
        self.assertEqual(len(page.events), 3)
        self.callHistory.changed()
        clock.jump(-3600)
        clock.pump([0, 0.2])
        self.assertEqual(len(page.events), 4)
        page.leave()
        self.assertEqual(clock.getDelayedCalls(), [])
