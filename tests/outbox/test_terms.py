"""
What an outbox does not give, since it may be somebody else's: what it knows from another term of
its store's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.errors import NotTaken
from iris_twisted.interfaces import IAskingSink
from iris_twisted.outbox import Spool, sink_worker
from iris_twisted.sinks import CallRecord

from .test_order import Held
from .test_outbox import OutboxCase, Sink


class Shared(Spool):
    """
    A store from which others may give too.

    @ivar now: its term.
    @ivar held: answers that are on their way; C{None} where they come at once.
    """

    now: int | None = 1
    held: list[Callable[[], None]] | None = None

    def term(self) -> int | None:
        return self.now

    def late(self, result: Any) -> Any:
        if self.held is None:
            return result
        answer: Deferred[Any] = Deferred()
        self.held.append(lambda: answer.callback(result))
        return answer

    def answer(self) -> None:
        """What was on its way arrives."""
        held, self.held = self.held, None
        for come in held or ():
            come()

    def add(self, additions: Any) -> Any:
        return super().add(additions).addCallback(self.late)

    def due(self, *args: Any) -> Any:
        return super().due(*args).addCallback(self.late)

    def taken(self, deliveries: Any) -> Any:
        return super().taken(deliveries).addCallback(self.late)

    def adopted(self, *rooms: str) -> None:
        """Others have these calls by now."""
        for room in rooms:
            self._connection.execute(
                "DELETE FROM deliveries WHERE call IN "
                "(SELECT id FROM calls WHERE notification LIKE ?)",
                (f'%"{room}"%',),
            )


@implementer(IAskingSink)
class Asking(Sink):
    """One that asks when it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        taking: Deferred[None] = Deferred()
        self.waiting.append((mayLeave, taking))
        return taking


class Terms(OutboxCase):
    """A sink that takes one at a time, and holds it."""

    def setUp(self) -> None:
        super().setUp()
        self.sink = self.sinks["one"] = Sink("one", concurrency=1)
        self.held = Held(self.sink)
        assert self.path is not None
        self.store = Shared(self.clock, self.path)
        self.path = self.store  # type: ignore[assignment]

    def answer(self, room: str) -> None:
        self.held.answer(room)
        self.clock.settle()

    def answerAll(self) -> None:
        self.clock.settle()
        while self.held.under:
            self.answer(next(iter(self.held.under)))

    def later(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.clock.settle()

    def calls(self, *rooms: str) -> None:
        for room in rooms:
            self.successResultOf(self.offer(room))

    def test_inDoubt(self) -> None:
        """Nothing more is given; then what others have meanwhile is left out, and the rest comes."""
        self.open()
        self.calls("r1", "r2", "r3")
        self.store.now = None
        self.answer("r1")
        for _ in range(20):
            self.later()
        self.calls("r4")
        self.assertEqual(self.held.under, {})
        self.store.adopted("r2")
        self.store.now = 2
        self.later()
        self.answer("r3")
        self.answer("r4")
        self.assertEqual(self.sink.rooms(), ["r1", "r3", "r4"])
        self.stop()

    def test_afterAPause(self) -> None:
        """A process that was stopped for a while, and noticed nothing else, reads all again."""
        outbox = self.open()
        self.calls("r1", "r2", "r3")
        self.store.adopted("r1", "r2")
        self.store.now = 2
        self.answer("r1")
        self.later()
        self.assertEqual(list(self.held.under), ["r3"])
        # It is told too; that does not give what is under way again.
        outbox.refresh()
        self.clock.settle()
        self.answer("r3")
        self.assertEqual(self.sink.rooms(), ["r1", "r3"])
        self.stop()

    def test_freshCall(self) -> None:
        """One that was stored in another term is not given from memory, nor one in doubt."""
        self.open()
        for term in (2, 3, None):
            self.calls(f"before{term}")
            self.answer(f"before{term}")
            self.store.held = []
            offered = self.offer(f"r{term}")
            self.store.adopted(f"r{term}")
            self.store.now = term
            if term == 3:
                # All else has been read again before that answer comes.
                answers, self.store.held = self.store.held, None
                self.outbox.refresh()  # type: ignore[union-attr]
                self.clock.settle()
                self.store.held = answers
            self.store.answer()
            self.successResultOf(offered)
            self.later()
            self.assertEqual(self.held.under, {})
        self.store.now = 4
        self.later()
        self.calls("after")
        self.answer("after")
        self.assertEqual(self.sink.rooms(), ["before2", "before3", "beforeNone", "after"])
        self.stop()

    def test_behindAnother(self) -> None:
        """What waits for one of its account that is under way is read again as well."""
        self.open()
        for room in ("r1", "r2"):
            self.successResultOf(self.offer(room, account="a@x.test"))
        self.store.adopted("r2")
        self.store.now = 2
        # It looks from time to time.
        self.later(11.0)
        self.answer("r1")
        self.assertEqual(self.sink.rooms(), ["r1"])
        self.stop()

    def test_lateAnswer(self) -> None:
        """What was asked in one term and is answered in the next is asked again."""
        self.open()
        self.calls("r1", "r2", "r3")
        self.store.now = None
        self.answer("r1")
        self.store.now = 1
        self.store.held = []
        self.later()
        self.assertEqual(len(self.store.held), 1)
        self.store.adopted("r2")
        self.store.now = 2
        # As the cluster tells it, before that answer comes.
        self.outbox.refresh()  # type: ignore[union-attr]
        self.store.answer()
        self.clock.settle()
        self.assertEqual(list(self.held.under), ["r3"])
        self.answer("r3")
        self.stop()

    def test_atTheStart(self) -> None:
        """Before it is a member of anything, one gives nothing of what it owes from before."""
        self.open()
        self.calls("r1", "r2")
        self.answer("r1")
        self.stop()
        self.store = Shared(self.clock, self.store.name)
        self.store.now = None
        self.path = self.store  # type: ignore[assignment]
        self.held.under.clear()
        self.open()
        self.later()
        self.assertEqual(self.held.under, {})
        self.store.now = 1
        self.later()
        self.assertEqual(list(self.held.under), ["r2"])
        self.stop()

    def test_unmarked(self) -> None:
        """A store that does not answer stops it soon: nobody knows what its sinks have."""
        self.sink = self.sinks["one"] = Sink("one", concurrency=5)
        self.held = Held(self.sink)
        self.patch(sink_worker, "_UNMARKED", 3)
        self.patch(sink_worker, "_UNMARKED_EACH", 1)
        self.open()
        self.calls(*(f"r{n}" for n in range(30)))
        self.store.held = []
        self.answerAll()
        # Eight that are not marked, and what it had besides at that moment.
        self.assertLess(len(self.sink.taken), 13)
        self.later(5.0)
        self.assertEqual(self.held.under, {})
        self.store.answer()
        self.answerAll()
        self.assertEqual(self.sink.rooms(), [f"r{n}" for n in range(30)])
        self.stop()

    def test_asked(self) -> None:
        """A sink that asks again hears that a record may not leave in another term."""
        sink = self.sinks["one"] = Asking("one")
        self.assertTrue(verifyObject(IAskingSink, sink))
        self.open()
        self.calls("r1", "r2")
        (first, taking), (second, other) = sink.waiting
        self.assertTrue(first())
        for term in (None, 2):
            self.store.now = term
            self.assertFalse(first())
            self.assertFalse(second())
        other.errback(NotTaken("not asked any more"))
        taking.callback(None)
        self.later(3.0)
        (third, again) = sink.waiting[2]
        self.assertTrue(third())
        again.callback(None)
        self.assertEqual(sink.taken, [])
        self.clock.settle()
        self.assertEqual(set(self.depths().values()), {0})
        self.stop()
