"""
In which order a sink gets the calls of an account, and who waits for whom.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.errors import NotTaken, SinkRefused
from iris_twisted.interfaces import IOrderedSink
from iris_twisted.outbox import lanes as lanesModule
from iris_twisted.outbox import sink_worker
from iris_twisted.sinks import CallRecord

from ..doubles import FixedDelay
from .test_outbox import InlinePool, OutboxCase, Sink, ThreadlessClock


@implementer(IOrderedSink)
class OrderedSink(Sink):
    """One that keeps the order by itself."""


class Held:
    """
    A sink that keeps whoever gives it something waiting.

    @ivar under: what it was given, and has not answered.
    """

    def __init__(self, sink: Sink) -> None:
        self.under: dict[str, Deferred[None]] = {}
        sink.outcome = self.hold

    def hold(self, record: CallRecord) -> Deferred[None]:
        room = record.notification["roomid"]
        assert room not in self.under
        self.under[room] = Deferred()
        return self.under[room]

    def answer(self, room: str, error: Exception | None = None) -> None:
        done = self.under.pop(room)
        if error is None:
            done.callback(None)
        else:
            done.errback(error)


class Order(OutboxCase):
    """What comes first, and what does not wait."""

    def setUp(self) -> None:
        super().setUp()
        self.sink = self.sinks["one"] = Sink("one", concurrency=4)
        self.held = Held(self.sink)

    def calls(self, *rooms: str) -> None:
        """Calls, each of the account of its first letter."""
        for room in rooms:
            self.successResultOf(self.offer(room, account=f"{room[0]}@x.test"))

    def answer(self, room: str, error: Exception | None = None) -> None:
        self.held.answer(room, error)
        self.clock.settle()

    def test_oneAtATime(self) -> None:
        """Of an account the sink has one at a time, in their order; others go on meanwhile."""
        self.open()
        self.calls("a1", "a2", "b1", "a3", "b2", "c1")
        self.assertEqual(list(self.held.under), ["a1", "b1", "c1"])
        self.answer("b1")
        self.assertEqual(list(self.held.under), ["a1", "c1", "b2"])
        self.answer("a1")
        self.answer("a2")
        self.calls("a4")
        self.assertEqual(list(self.held.under), ["c1", "b2", "a3"])
        self.stop()

    def test_ordered(self) -> None:
        """A sink that keeps the order by itself has all that it takes."""
        self.sink = self.sinks["one"] = OrderedSink("one", concurrency=4)
        self.assertTrue(verifyObject(IOrderedSink, self.sink))
        self.held = Held(self.sink)
        self.open()
        self.calls("a1", "a2", "a3", "b1", "a4")
        self.assertEqual(list(self.held.under), ["a1", "a2", "a3", "b1"])
        self.answer("a1")
        self.assertEqual(list(self.held.under), ["a2", "a3", "b1", "a4"])
        self.stop()

    def test_retry(self) -> None:
        """One that is tried again comes after those that came meanwhile."""
        self.open()
        self.calls("a1", "a2")
        self.answer("a1", NotTaken("not now"))
        self.assertEqual(list(self.held.under), ["a2"])
        self.clock.advance(2.1)
        self.clock.settle()
        self.assertEqual(list(self.held.under), ["a2"])
        self.answer("a2")
        self.assertEqual(list(self.held.under), ["a1"])
        self.stop()

    def test_strict(self) -> None:
        """With strict order the later ones wait, those of a sink that keeps order too."""
        for kind in (Sink, OrderedSink):
            self.path = os.path.abspath(self.mktemp())
            self.sink = self.sinks["one"] = kind("one", concurrency=4)
            self.held = Held(self.sink)
            self.open(strictOrder=True)
            self.calls("a1", "a2", "b1", "b2")
            self.answer("a1", NotTaken("not now"))
            self.calls("a3")
            self.assertEqual(list(self.held.under), ["b1"])
            self.clock.advance(2.1)
            self.clock.settle()
            self.assertEqual(list(self.held.under), ["b1", "a1"])
            self.answer("a1", NotTaken("busy", retryAfter=30.0))
            self.answer("b1")
            self.stop()
            self.held.under.clear()
            # The next process knows it too.
            self.open(strictOrder=True)
            self.calls("a4")
            self.assertEqual(list(self.held.under), ["b2"])
            for _ in range(31):
                self.clock.advance(1)
                self.clock.settle()
            self.assertEqual(list(self.held.under), ["b2", "a1"])
            for room in ("a1", "a2", "a3", "a4"):
                self.answer(room)
            self.assertEqual(list(self.held.under), ["b2"])
            self.stop()

    def test_strictUntilDead(self) -> None:
        """A dead letter holds up nobody, and one that is tried again does not go back."""
        self.open(strictOrder=True)
        self.calls("a1", "a2")
        self.answer("a1", SinkRefused("no"))
        self.assertEqual(list(self.held.under), ["a2"])
        self.answer("a2", NotTaken("not now"))
        self.calls("a3")
        self.assertEqual(list(self.held.under), [])
        self.clock.advance(2.1)
        self.clock.settle()
        self.assertEqual(list(self.held.under), ["a2"])
        self.answer("a2", SinkRefused("no"))
        self.assertEqual(list(self.held.under), ["a3"])
        self.stop()

    def test_notReadBack(self) -> None:
        """A fresh call is given to an idle sink without a look into the store."""
        outbox = self.open()
        looks: list[Any] = []
        due = outbox._store.due
        outbox._store.due = lambda *args: (looks.append(args), due(*args))[1]
        self.calls("a1", "a2", "b1")
        for room in ("a1", "b1", "a2"):
            self.answer(room)
        self.calls("a3", "c1")
        self.assertEqual(list(self.held.under), ["a3", "c1"])
        self.assertEqual(looks, [])
        self.stop()

    def test_manyOfOne(self) -> None:
        """Of an account with many calls only some are held; no other waits for it."""
        self.patch(lanesModule, "_LONGEST", 3)
        self.patch(sink_worker, "_BATCH", 2)
        self.open()
        self.calls(*(f"a{n}" for n in range(20)), "b1")
        self.assertEqual(list(self.held.under), ["a0", "b1"])
        assert self.outbox is not None
        self.assertLess(len(self.outbox._workers["one"]._lanes.known), 10)
        self.answer("b1")
        for number in range(10):
            self.answer(f"a{number}")
        self.calls("a20", "b2")
        self.stop()
        # And when all of it is read at the start.
        self.held.under.clear()
        self.open()
        self.calls("c1")
        self.assertEqual(list(self.held.under), ["a10", "b2", "c1"])
        for number in range(10, 21):
            self.answer(f"a{number}")
        self.assertEqual(list(self.held.under), ["b2", "c1"])
        self.stop()

    def test_tooMuch(self) -> None:
        """What is more than is held stays in the store until there is room; in order."""
        for limit, value in (("_MOST", 5), ("_LARGEST", 60)):
            self.path = os.path.abspath(self.mktemp())
            with_ = self.patch(lanesModule, limit, value)
            self.sink.taken.clear()
            self.held.under.clear()
            self.open()
            rooms = [f"{c}1" for c in "abcdefghijkl"]
            self.calls(*rooms)
            assert self.outbox is not None
            self.assertLess(len(self.outbox._workers["one"]._lanes.known), 7)
            for room in rooms:
                self.answer(room)
            self.assertEqual(self.sink.rooms(), rooms)
            self.stop()
            with_.restore()

    def test_refresh(self) -> None:
        """What is not under way is read again, for somebody else may have adopted it."""
        outbox = self.open()
        self.calls("a1", "a2", "b1", "c1", "d1", "e1")
        outbox._store._connection.execute(
            "DELETE FROM deliveries WHERE call IN (SELECT id FROM calls "
            "WHERE notification LIKE '%a2%' OR notification LIKE '%e1%')"
        )
        outbox.refresh()
        self.clock.settle()
        for room in ("a1", "b1", "c1", "d1"):
            self.answer(room)
        self.assertEqual(list(self.held.under), [])
        self.assertEqual(outbox._workers["one"]._lanes.known, {})
        outbox.wake()
        self.stop()


class SlowPool(InlinePool):
    """Threads whose work is done some time later."""

    def __init__(self, clock: ThreadlessClock, chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], work: Callable[..., Any], *args: Any
    ) -> None:
        late = self._chance.choice([0.0, 0.01, 0.3])
        self._clock.callLater(late, super().callInThreadWithCallback, done, work, *args)


STEPS = st.lists(
    st.sampled_from(["call", "take", "fail", "refuse", "time", "restart"]), max_size=60
)


class Model(SynchronousTestCase):
    """Whatever happens, in whatever order the sink answers."""

    def model(self, steps: list[str], seed: int, strict: bool, ordered: bool, small: bool) -> None:
        case = Order("test_oneAtATime")
        case.setUp()
        few = [(lanesModule, "_LONGEST", 2), (lanesModule, "_MOST", 6), (sink_worker, "_BATCH", 3)]
        patches = [case.patch(*one) for one in few if small]
        try:
            self.play(case, steps, random.Random(seed), strict, ordered)
        finally:
            for patch in patches:
                patch.restore()

    def play(
        self, case: Order, steps: list[str], chance: random.Random, strict: bool, ordered: bool
    ) -> None:
        sink = case.sinks["one"] = (OrderedSink if ordered else Sink)("one", concurrency=3)
        held = Held(sink)
        options: dict[str, Any] = {"strictOrder": strict, "retryFor": 1e6}
        case.open(**options)
        placed: list[str] = []
        failed: set[str] = set()
        gone: set[str] = set()

        def answer(error: Callable[[], Exception] | None) -> None:
            if not held.under:
                return
            room = chance.choice(list(held.under))
            if error is None or isinstance(error(), SinkRefused):
                gone.add(room)
            else:
                failed.add(room)
            held.answer(room, None if error is None else error())
            case.clock.settle()

        for step in steps:
            if step == "call":
                room = f"{chance.choice('abc')}{len(placed)}"
                placed.append(room)
                case.calls(room)
            elif step == "take":
                answer(None)
            elif step == "fail":
                answer(lambda: NotTaken("not now"))
            elif step == "refuse":
                answer(lambda: SinkRefused("no"))
            elif step == "time":
                case.clock.advance(1)
                case.clock.settle()
            else:
                case.stop()
                held.under.clear()
                sink.taken.clear()
                case.open(**options)
            under = list(held.under)
            accounts = [room[0] for room in under]
            if strict or not ordered:
                self.assertEqual(len(set(accounts)), len(accounts), under)
            for room in under:
                before = [p for p in placed[: placed.index(room)] if p[0] == room[0]]
                owed = {p for p in before if p not in gone} - set(under)
                self.assertLessEqual(owed, set() if strict else failed, (room, placed))
        # In the end each is there, or was refused.
        for _ in range(400):
            if not held.under and not set(placed) - gone:
                break
            while held.under:
                answer(None)
            case.clock.advance(1)
            case.clock.settle()
        self.assertEqual(gone, set(placed))
        waiting = {key: count for key, count in case.depths().items() if not key[1]}
        self.assertEqual(set(waiting.values()), {0})
        case.stop()

    def playSlowly(self, steps: list[str], seed: int, strict: bool, ordered: bool) -> None:
        """A store that answers late, and calls that are due again before it has heard of it."""
        chance = random.Random(seed)
        case = Order("test_oneAtATime")
        case.setUp()
        clock = case.clock
        clock.advance(1)
        clock.getThreadPool = lambda: SlowPool(clock, chance)  # type: ignore[method-assign]
        sink = case.sinks["one"] = (OrderedSink if ordered else Sink)("one", concurrency=3)
        held = Held(sink)
        case.policy = FixedDelay(0.005)
        outbox = case.open(strictOrder=strict, retryFor=1e6)
        kept: list[str] = []
        failed: set[str] = set()
        gone: set[str] = set()
        placed = 0

        def answer(error: Exception | None) -> None:
            room = chance.choice(list(held.under))
            (gone if error is None else failed).add(room)
            held.answer(room, error)

        for step in steps:
            if step == "call":
                room = f"{chance.choice('ab')}{placed}"
                placed += 1
                offered = case.offer(room, account=f"{room[0]}@x.test")
                offered.addCallback(lambda _, room=room: kept.append(room))
            elif step == "refresh":
                outbox.refresh()
            elif step == "time":
                clock.advance(chance.choice([0, 0.005, 0.01, 0.3]))
            elif held.under:
                answer(None if step == "take" else NotTaken("not now"))
            for room in held.under:
                owed = {p for p in kept[: kept.index(room)] if p[0] == room[0]} - gone
                self.assertLessEqual(owed - set(held.under), set() if strict else failed, room)
        while placed > len(gone):
            if held.under:
                answer(None)
            clock.advance(0.1)
        stopping = Deferred.fromCoroutine(outbox.stop())
        clock.pump([0.5] * 9)
        self.successResultOf(stopping)
        self.assertEqual(clock.getDelayedCalls(), [])

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(["call", "take", "fail", "refresh", "time"]), min_size=30, max_size=80
        ),
        st.integers(0, 999),
        st.booleans(),
        st.booleans(),
    )
    def test_slowStore(self, steps: list[str], seed: int, strict: bool, ordered: bool) -> None:
        """The same, however long the store takes to hear of anything."""
        self.playSlowly(steps, seed, strict, ordered)

    @settings(max_examples=60, deadline=None)
    @given(STEPS, st.integers(0, 999), st.booleans(), st.booleans(), st.booleans())
    def test_order(
        self, steps: list[str], seed: int, strict: bool, ordered: bool, small: bool
    ) -> None:
        """No call is given before one that came earlier, but for what failed; none is lost."""
        self.model(steps, seed, strict, ordered, small)
