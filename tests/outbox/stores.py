"""
What every store of an outbox must do: a mixin, and a model of it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from iris_twisted.errors import NotKept
from iris_twisted.outbox import IOutboxStore, Place
from iris_twisted.outbox.values import EARLIEST, Addition, Attempt
from iris_twisted.sinks import CallRecord

from .test_outbox import ThreadlessClock

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object

__all__ = ["PLACE", "STEPS", "StoreMixin", "addTo", "record", "takenFrom"]

A = "alice@x.test"
NOW = 1_700_000_000.0
PLACE = Place(A, 0, 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "taken", "again", "dead", "revive", "purge", "forget"]),
        st.integers(0, 5),
        st.sampled_from("st"),
        st.booleans(),
    ),
    max_size=30,
)


def record(room: str, at: float = NOW, account: str = A, **more: Any) -> CallRecord:
    """A call that came then."""
    return CallRecord.of(account, {"roomid": room, **more}, at)


def addTo(
    store: Any, record: CallRecord, *sinks: str, place: Place | None = PLACE
) -> Deferred[Any]:
    """Keep one call; fires with its id or C{None}, or fails."""
    adding = store.add([Addition(record, sinks or ("s",), place)])

    def added(results: list[Any]) -> Any:
        (result,) = results
        if isinstance(result, Exception):
            raise result
        return result

    return adding.addCallback(added)


def takenFrom(store: Any, id: int, sink: str) -> Deferred[Any]:
    """Mark one delivery; fires with whether it was ours."""
    return store.taken([(id, sink)]).addCallback(lambda ours: ours[0])


class StoreMixin(_Case):
    """
    @ivar unstorable: calls that this store has no room for, whatever the disk says.
    """

    unstorable = (
        CallRecord(record("nan").key, A, NOW, {"x": float("nan")}),
        CallRecord(record("object").key, A, NOW, {"x": object()}),
        record("surrogate", account="alice\ud83d@x.test"),
    )

    def setUp(self) -> None:
        self.clock = ThreadlessClock()
        self.clock.advance(NOW)
        self.prepare()
        self.store = self.open()

    def tearDown(self) -> None:
        self.did(self.store.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    # What a store's own test says

    def prepare(self) -> None:
        """Make what the store opens."""

    def open(self, forgetAfter: float = 1000.0, strictOrder: bool = False) -> Any:
        raise NotImplementedError

    def clear(self) -> None:
        """Make what is there empty."""
        raise NotImplementedError

    def fillDisk(self) -> None:
        """From now on there is room for a little, and no more."""
        raise NotImplementedError

    def emptyDisk(self) -> None:
        """There is room again."""
        raise NotImplementedError

    def vanish(self) -> None:
        """The store cannot be reached."""
        raise NotImplementedError

    def comeBack(self) -> None:
        """It can be reached again."""
        raise NotImplementedError

    # Words for the tests

    def did(self, done: Deferred[Any]) -> Any:
        self.clock.settle()
        return self.successResultOf(done)

    def refused(self, done: Deferred[Any]) -> str:
        self.clock.settle()
        message: str = self.failureResultOf(done, NotKept).value.message
        return message

    def add(self, room: str, *sinks: str, at: float = NOW, **more: Any) -> Any:
        return self.did(addTo(self.store, record(room, at, **more), *sinks))

    def rooms(self, sink: str = "s", now: float = NOW, most: int = 100) -> list[str]:
        look = self.did(self.store.due(sink, now, most))
        return [due.record.notification["roomid"] for due in look.due]

    # What must hold

    def test_interface(self) -> None:
        """It provides the interface, and outlives the process."""
        self.assertTrue(verifyObject(IOutboxStore, self.store))
        self.assertTrue(self.store.keeps)
        self.assertEqual(self.store.term(), 0)

    def test_asItCame(self) -> None:
        """What was added comes back as it was, in order, the ids too; after a restart as well."""
        odd = {"text": "é \u0000 \ud83d 😀 '\"", "n": [1, 2.5, None, True], "o": {"": {}}}
        records = [record(f"r{n}", account="ä'\"@x.test", odd=odd) for n in range(50)]
        ids = [self.did(addTo(self.store, r)) for r in records]
        self.assertEqual(ids, sorted(set(ids)))
        for _ in range(2):
            look = self.did(self.store.due("s", NOW, 40))
            self.assertEqual(
                [(d.id, d.attempts, d.record) for d in look.due],
                [(i, 0, r) for i, r in zip(ids, records, strict=True)][:40],
            )
            self.did(self.store.close())
            self.store = self.open()
        self.assertGreater(self.add("later"), ids[-1])

    def test_manyAtOnce(self) -> None:
        """Thousands in one turn are kept in their order, each with its own answer."""
        records = [record(f"r{n % 1500}") for n in range(3000)]
        adding = [addTo(self.store, r, "s", "t") for r in records]
        self.clock.settle()
        ids = [self.successResultOf(a) for a in adding]
        self.assertEqual(ids[1500:], [None] * 1500)
        self.assertEqual(ids[:1500], sorted(set(ids[:1500])))
        self.assertEqual(self.rooms("t", most=5000), [f"r{n}" for n in range(1500)])
        takings = [takenFrom(self.store, id, sink) for id in ids[:1500] for sink in "st"]
        self.clock.settle()
        self.assertTrue(all(self.successResultOf(taking) for taking in takings))
        self.assertEqual(self.did(self.store.depths()), {})

    def test_known(self) -> None:
        """A key is taken once: in one batch, later, after its delivery, after a restart."""
        first, second = (addTo(self.store, record("r1")) for _ in range(2))
        id = self.did(first)
        self.assertIsNone(self.did(second))
        self.assertIsNone(self.add("r1"))
        self.did(takenFrom(self.store, id, "s"))
        self.assertIsNone(self.add("r1", at=NOW + 999))
        self.did(self.store.close())
        self.store = self.open()
        self.assertIsNone(self.add("r1", at=NOW + 999))
        self.assertEqual(self.rooms(), [])
        self.did(self.store.forgetKey(record("r1").key))
        self.assertGreater(self.add("r1"), id)

    def test_seenWhileTheClockWasWrong(self) -> None:
        """A key of 1970 has its time from when the clock is right: its call may be told again."""
        self.did(takenFrom(self.store, self.add("boot", at=10.0), "s"))
        right = EARLIEST + 86_400.0
        for at in (right, right + 900.0):
            # Each that comes looks at some keys.
            self.add(f"other{at}", at=at)
            self.assertIsNone(self.add("boot", at=at))
        self.add("another", at=right + 1001.0)
        self.assertIsNotNone(self.add("boot", at=right + 1001.0))

    def test_forgotten(self) -> None:
        """A key is forgotten after its time, but not while its call is here: dead ones count."""
        taken, dead, waits = (self.add(room) for room in ("taken", "dead", "waits"))
        self.did(takenFrom(self.store, taken, "s"))
        self.did(self.store.failed(Attempt(dead, "s", None, "no")))
        for at, fresh in ((NOW + 1001, True), (NOW + 2002, True), (NOW + 2500, False)):
            self.assertEqual(self.add("taken", at=at) is not None, fresh and at < NOW + 2000)
            self.assertIsNone(self.add("dead", at=at))
            self.assertIsNone(self.add("waits", at=at))
        self.did(takenFrom(self.store, waits, "s"))
        self.did(self.store.purge(self.did(self.store.deadLetters())))
        for room in ("dead", "waits"):
            self.assertIsNotNone(self.add(room, at=NOW + 4000))

    def test_sinks(self) -> None:
        """Each sink is owed a call by itself; it is gone when all have it."""
        id = self.add("r1", "s", "t")
        self.add("r2", "t")
        self.assertEqual((self.rooms("s"), self.rooms("t")), (["r1"], ["r1", "r2"]))
        self.assertTrue(self.did(takenFrom(self.store, id, "s")))
        self.assertEqual((self.rooms("s"), self.rooms("t")), ([], ["r1", "r2"]))
        self.assertEqual(self.did(self.store.depths()), {("t", False): 2})

    def test_tryAgain(self) -> None:
        """What failed is due when it is said, after what never failed, and counts its attempts."""
        one, two = self.add("r1"), self.add("r2", at=NOW + 1)
        self.assertTrue(self.did(self.store.failed(Attempt(one, "s", NOW + 10, "not now"))))
        look = self.did(self.store.due("s", NOW + 9, 10))
        self.assertEqual(([d.id for d in look.due], look.next), ([two], NOW + 10))
        look = self.did(self.store.due("s", NOW + 10, 10))
        self.assertEqual([(d.id, d.attempts) for d in look.due], [(two, 0), (one, 1)])
        self.assertIsNone(look.next)
        self.assertEqual(self.did(self.store.oldestWaiting()), {"s": NOW})

    def test_strictOrder(self) -> None:
        """Asked for it, what came later of an account is due no sooner; others are at once."""
        self.did(self.store.close())
        self.store = self.open(strictOrder=True)
        a1, a2 = self.add("a1", "s", "t"), self.add("a2", "s", "t")
        self.add("b1", "s", "t", account="bob@x.test")
        failing = self.store.failed(Attempt(a1, "s", NOW + 10, "not now"))
        self.assertIsNotNone(self.add("a3", "s", "t"))
        self.did(failing)
        self.assertIsNotNone(self.add("a4", "s", "t"))
        self.assertEqual(self.rooms("s"), ["b1"])
        self.assertEqual(self.rooms("t"), ["a1", "a2", "b1", "a3", "a4"])
        self.assertEqual(self.rooms("s", NOW + 10), ["b1", "a1", "a2", "a3", "a4"])
        self.did(self.store.failed(Attempt(a2, "s", NOW + 5, "not now")))
        self.did(self.store.failed(Attempt(a1, "s", NOW + 20, "not now")))
        self.assertEqual(self.rooms("s", NOW + 10), ["b1"])
        self.assertEqual(self.rooms("s", NOW + 20), ["b1", "a1", "a2", "a3", "a4"])
        self.did(self.store.failed(Attempt(a1, "s", None, "no")))
        self.did(takenFrom(self.store, a2, "s"))
        self.assertEqual(self.rooms("s", NOW + 20), ["b1", "a3", "a4"])

    def test_leftOut(self) -> None:
        """What is known, and whose account is known well enough, is not read again."""
        ids = [self.add(f"a{n}") for n in range(3)] + [self.add("b1", account="bob@x.test")]
        look = self.did(self.store.due("s", NOW, 2, [ids[0]], []))
        self.assertEqual([due.id for due in look.due], ids[1:3])
        look = self.did(self.store.due("s", NOW, 9, [], [A, "nobody@x.test"]))
        self.assertEqual([due.id for due in look.due], ids[3:])

    def test_clockSetBack(self) -> None:
        """A call is due at once, though the clock was set back since it came."""
        self.add("r1", at=NOW + 3600)
        self.assertEqual(self.rooms(now=NOW), ["r1"])

    def test_deadLetters(self) -> None:
        """Dead letters are listed with their reasons, tried again, or purged."""
        ids = [self.add(room, "s", "t") for room in ("r1", "r2", "r3")]
        for id in ids:
            self.did(self.store.failed(Attempt(id, "s", None, "no\0 \ud83d!")))
            self.did(takenFrom(self.store, id, "t"))
        letters = self.did(self.store.deadLetters())
        self.assertEqual(
            [(x.id, x.sink, x.attempts, x.record) for x in letters],
            [(id, "s", 1, record(f"r{n + 1}")) for n, id in enumerate(ids)],
        )
        self.assertTrue(letters[0].reason.startswith("no"))
        self.assertEqual(self.did(self.store.depths()), {("s", True): 3})
        self.assertEqual(self.did(self.store.oldestWaiting()), {})
        self.assertEqual(self.rooms(now=NOW + 1e6), [])
        (second,) = self.did(self.store.deadLetters([ids[1]]))
        self.did(self.store.revive([second], NOW + 5))
        self.assertEqual(self.rooms(now=NOW + 5), ["r2"])
        self.did(self.store.purge(self.did(self.store.deadLetters())))
        self.assertEqual(self.did(self.store.deadLetters()), [])
        self.assertEqual(self.did(self.store.depths()), {("s", False): 1})

    def test_someDeadLetters(self) -> None:
        """They may be those of some calls, of an account, or so many."""
        ids = [self.add(f"r{n}", account=f"u{n % 2}@x.test") for n in range(6)]
        for id in ids:
            self.did(self.store.failed(Attempt(id, "s", None, "no")))

        def found(*wanted: Any) -> list[int]:
            return [letter.id for letter in self.did(self.store.deadLetters(*wanted))]

        self.assertEqual(found((), None, 2), ids[:2])
        self.assertEqual(found((), "u1@x.test"), ids[1::2])
        self.assertEqual(found((), "u1@x.test", 2), ids[1:4:2])
        self.assertEqual(found(ids[2:5], "u0@x.test"), [ids[2], ids[4]])
        self.assertEqual(found(ids[4:], None, 1), [ids[4]])
        self.assertEqual(found((), "nobody@x.test"), [])

    def test_purgedTooLate(self) -> None:
        """One that was revived meanwhile is no dead letter: it is not forgotten."""
        id = self.add("r1")
        self.did(self.store.failed(Attempt(id, "s", None, "no")))
        letters = self.did(self.store.deadLetters())
        self.did(self.store.revive(letters, NOW))
        self.did(self.store.purge(letters))
        self.assertEqual(self.rooms(), ["r1"])

    def test_revivedTwice(self) -> None:
        """One that was revived meanwhile, and failed since, keeps its date and its attempts."""
        id = self.add("r1")
        self.did(self.store.failed(Attempt(id, "s", None, "no")))
        letters = self.did(self.store.deadLetters())
        self.did(self.store.revive(letters, NOW))
        # Who delivers it has read it: from then on it is its own.
        self.assertEqual(self.rooms(), ["r1"])
        self.did(self.store.failed(Attempt(id, "s", NOW + 10, "not now")))
        self.did(self.store.revive(letters, NOW + 5))
        self.assertEqual(self.rooms(now=NOW + 9), [])
        (due,) = self.did(self.store.due("s", NOW + 10, 9)).due
        self.assertEqual((due.attempts, due.revived), (1, NOW))

    def test_oneThatCannotBeStored(self) -> None:
        """It fails alone, whatever else is in its batch, and its key stays unknown."""
        id = self.add("r0")
        good = [addTo(self.store, record(f"r{n}")) for n in range(1, 6)]
        bad = [addTo(self.store, r) for r in self.unstorable]
        more = [addTo(self.store, record(f"r{n}")) for n in range(6, 11)]
        taken = takenFrom(self.store, id, "s")
        for done in bad:
            self.assertIn("failed", self.refused(done))
        for done in (*good, *more, taken):
            self.did(done)
        self.assertEqual(self.rooms(), [f"r{n}" for n in range(1, 11)])

    def test_fullDisk(self) -> None:
        """No room: that is said, what is there stays, and when there is room all goes on."""
        self.add("r0")
        self.fillDisk()
        kept, words = ["r0"], ""
        # What no compression makes small.
        content = random.Random(5).randbytes(96_000).hex()
        for number in range(200):
            adding = addTo(self.store, record(f"big{number}", x=content))
            self.clock.settle()
            if isinstance(failure := self.ended(adding), NotKept):
                words = failure.message
                break
            kept.append(f"big{number}")
        self.assertRegex(words, "full|could not extend|could not write")
        self.assertNotIn(content[:20], words)
        self.emptyDisk()
        # Nobody waits longer than that before the next attempt.
        self.clock.advance(5)
        self.add("last")
        self.assertEqual(self.rooms(most=500), [*kept, "last"])
        self.assertIsNotNone(self.add(f"big{number}"))

    def ended(self, done: Deferred[Any]) -> Any:
        outcome: list[Any] = []
        done.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
        return outcome[0]

    def test_vanishedAndBack(self) -> None:
        """Away, each call is refused at once; back, nothing that was kept is missing."""
        id = self.add("r0")
        self.add("r1")
        self.vanish()
        for room in ("r2", "r3"):
            self.refused(addTo(self.store, record(room)))
            self.refused(takenFrom(self.store, id, "s"))
        self.comeBack()
        self.clock.advance(5)
        self.assertEqual(self.rooms(), ["r0", "r1"])
        self.assertTrue(self.did(takenFrom(self.store, id, "s")))
        self.assertIsNone(self.add("r1"))
        self.assertIsNotNone(self.add("r2"))
        self.assertEqual(self.rooms(), ["r1", "r2"])

    def model(self, steps: list[tuple[str, int, str, bool]]) -> None:
        """Do C{STEPS}, with the store and with a few dictionaries, and compare them."""
        self.clear()
        ids: dict[int, int] = {}
        owed: dict[tuple[int, str], tuple[bool, int]] = {}
        pending: list[Deferred[Any]] = []
        for kind, number, sink, together in steps:
            id = ids.get(number, 0)
            at = owed.get((number, sink))
            if kind == "add":
                got = self.add(f"r{number}", "s", "t", x=number)
                self.assertEqual(got is None, number in ids)
                if got is not None:
                    ids[number] = got
                    owed |= {(number, "s"): (False, 0), (number, "t"): (False, 0)}
            elif kind == "forget" and not any(n == number for n, _ in owed):
                self.did(self.store.forgetKey(record(f"r{number}", x=number).key))
                ids.pop(number, None)
            elif kind == "taken":
                pending.append(takenFrom(self.store, id, sink))
                owed.pop((number, sink), None)
            elif kind in ("again", "dead") and at is not None and not at[0]:
                due = NOW if kind == "again" else None
                pending.append(self.store.failed(Attempt(id, sink, due, kind)))
                owed[number, sink] = kind == "dead", at[1] + 1
            elif kind in ("revive", "purge"):
                letters = self.did(self.store.deadLetters([id]))
                dead = {(number, s) for s in "st" if owed.get((number, s), (False,))[0]}
                self.assertEqual({(number, x.sink) for x in letters}, dead)
                if kind == "revive":
                    self.did(self.store.revive(letters, NOW))
                    owed |= dict.fromkeys(dead, (False, 0))
                    for one in "st":
                        # Who delivers them has read them: from then on they are its own.
                        self.did(self.store.due(one, NOW, 100))
                else:
                    self.did(self.store.purge(letters))
                    for key in dead:
                        del owed[key]
            if not together:
                self.clock.settle()
        self.clock.settle()
        for done in pending:
            self.did(done)
        for sink in "st":
            found = {(d.id, d.attempts) for d in self.did(self.store.due(sink, NOW, 100)).due}
            model = {
                (ids[n], attempts)
                for (n, s), (isDead, attempts) in owed.items()
                if s == sink and not isDead
            }
            self.assertEqual(found, model)
        depths: dict[tuple[str, bool], int] = {}
        for (_, sink), (isDead, _) in owed.items():
            depths[sink, isDead] = depths.get((sink, isDead), 0) + 1
        self.assertEqual(self.did(self.store.depths()), depths)
