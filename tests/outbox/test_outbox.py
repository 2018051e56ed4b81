"""
The outbox: what was acknowledged reaches every sink at least once.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.errors import IncorrectParameters, NotKept, NotTaken, SinkRefused
from iris_twisted.interfaces import INotificationSink
from iris_twisted.outbox import Outbox, OutboxObserver, Spool
from iris_twisted.outbox.spool import checkSpool, mayPass, openTables
from iris_twisted.outbox.values import Addition, Attempt, Due
from iris_twisted.sinks import CallRecord
from iris_twisted.sinks.group_commit import GroupCommit

from ..doubles import DriftingClock, FixedDelay

A = "alice@x.test"


# What the version before this one made, with two calls that wait; the first and others are gone.
VERSION_1 = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    received REAL NOT NULL,
    notification TEXT NOT NULL
);
CREATE TABLE deliveries (
    call INTEGER NOT NULL REFERENCES calls (id),
    sink TEXT NOT NULL,
    due REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (call, sink)
) WITHOUT ROWID;
CREATE INDEX due ON deliveries (sink, due, call) WHERE due IS NOT NULL;
CREATE INDEX dead ON deliveries (call, sink) WHERE due IS NULL;
PRAGMA user_version = 1;
INSERT INTO calls VALUES (7, 'k7', 'alice@x.test', 1.0, '{}');
DELETE FROM calls;
INSERT INTO calls VALUES (2, 'k2', 'alice@x.test', 2.0, '{"n":2}');
INSERT INTO calls VALUES (3, 'k3', 'alice@x.test', 3.0, '{}');
INSERT INTO deliveries VALUES (2, 'file:x', 2.0, 0, '');
INSERT INTO deliveries VALUES (3, 'file:x', 8.0, 1, 'not now');
"""


class InlinePool:
    """A thread pool without threads."""

    def callInThreadWithCallback(self, done: Any, work: Any, *args: Any) -> None:
        from twisted.python.failure import Failure

        try:
            result = work(*args)
        except BaseException:
            done(False, Failure())
        else:
            done(True, result)


class ThreadlessClock(DriftingClock):
    """Time and threads, without either."""

    def getThreadPool(self) -> InlinePool:
        return InlinePool()

    def callFromThread(self, work: Callable[..., Any], *args: Any) -> None:
        work(*args)

    def settle(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(1000):
            due = [c for c in self.getDelayedCalls() if c.getTime() <= self.seconds()]
            if not due:
                return
            self.advance(0)
        raise AssertionError("it does not settle")


@implementer(INotificationSink)
class Sink:
    """Takes what C{outcome} says, and writes down what it was given."""

    def __init__(self, name: str, durable: bool = True, concurrency: int = 2) -> None:
        self.name = name
        self.durable = durable
        self.concurrency = concurrency
        self.taken: list[CallRecord] = []
        self.outcome: Callable[[CallRecord], Any] = lambda record: None
        self.reopened = 0
        self.stopped = False

    def take(self, record: CallRecord) -> Deferred[Any]:
        self.taken.append(record)
        return maybeDeferred(self.outcome, record)

    def reopen(self) -> None:
        self.reopened += 1

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return maybeDeferred(lambda: None)

    def rooms(self) -> list[str]:
        return [record.notification["roomid"] for record in self.taken]


def refuse(_: CallRecord) -> None:
    raise SinkRefused("no")


def later(_: CallRecord) -> None:
    raise NotTaken("not now")


class Observer(OutboxObserver):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def accepted(self, seconds: float) -> None:
        self.told.append(("accepted", seconds))

    def repeated(self) -> None:
        self.told.append("repeated")

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        self.told.append((sink, outcome, seconds))


class OutboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = ThreadlessClock()
        self.clock.advance(1_700_000_000)
        self.path: str | None = os.path.abspath(self.mktemp())
        self.sinks = {name: Sink(name) for name in ("one", "two")}
        self.sinks["soft"] = Sink("soft", durable=False)
        self.observer = Observer()
        self.policy = FixedDelay(2.0)
        self.outbox: Outbox | None = None

    def open(self, *specs: str, **options: Any) -> Outbox:
        self.outbox = outbox = Outbox(
            self.clock,
            self.path,
            self.sinks.__getitem__,
            policy=self.policy,
            observer=self.observer,
            **options,
        )
        outbox.use(specs or ("one",))
        self.clock.settle()
        return outbox

    def offer(self, room: str, *specs: str, account: str | None = None) -> Deferred[None]:
        """A call, of an account of its own where nothing else is said."""
        assert self.outbox is not None
        account = account or f"{room}@x.test"
        offered = self.outbox.offer(account, {"roomid": room}, specs or ("one",))
        self.clock.settle()
        return offered

    def stop(self) -> None:
        """As a polite end does; nothing is left over."""
        assert self.outbox is not None
        stopping = Deferred.fromCoroutine(self.outbox.stop())
        self.clock.settle()
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def passes(self, seconds: int) -> None:
        """So much time, in which everybody gets turns."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.clock.settle()

    def depths(self) -> dict[tuple[str, bool], int]:
        assert self.outbox is not None
        asking = Deferred.fromCoroutine(self.outbox.depths())
        self.clock.settle()
        return self.successResultOf(asking)


class Kept(OutboxCase):
    """With a spool."""

    def test_acknowledgedWhenKept(self) -> None:
        """On the disk is enough; each sink gets it, and then it is gone."""
        self.assertTrue(verifyObject(INotificationSink, self.sinks["one"]))
        waiting: Deferred[None] = Deferred()
        self.sinks["two"].outcome = lambda _: waiting
        self.open("one", "two")
        self.successResultOf(self.offer("r1", "one", "two"))
        self.assertEqual([s.rooms() for s in self.sinks.values()], [["r1"], ["r1"], []])
        self.assertEqual(self.sinks["one"].taken[0].key, self.sinks["two"].taken[0].key)
        self.assertEqual(self.depths()[("two", False)], 1)
        waiting.callback(None)
        self.clock.settle()
        self.assertEqual(set(self.depths().values()), {0})
        self.assertEqual(
            self.observer.told,
            [("accepted", 0.0), ("one", "taken", 0.0), ("two", "taken", 0.0)],
        )
        self.stop()
        self.assertTrue(all(self.sinks[name].stopped for name in ("one", "two")))

    def test_namedTwice(self) -> None:
        """A sink that is named twice gets a call once."""
        self.open("one", "one", "two")
        self.successResultOf(self.offer("r1", "one", "two", "one"))
        self.assertEqual([s.rooms() for s in self.sinks.values()], [["r1"], ["r1"], []])
        self.stop()

    def test_private(self) -> None:
        """Its files are for their owner only, and every commit is flushed."""
        assert self.path is not None
        self.open()
        self.offer("r1")
        for name in (self.path, f"{self.path}-wal", f"{self.path}.lock"):
            self.assertEqual(stat.S_IMODE(os.stat(name).st_mode), 0o600, name)
        assert self.outbox is not None
        connection = self.outbox._store._connection
        self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        self.assertEqual(connection.execute("PRAGMA synchronous").fetchone(), (2,))
        self.stop()

    def test_restart(self) -> None:
        """What was under way is given again after a restart, with its key."""
        self.sinks["one"].outcome = lambda _: Deferred()
        self.open()
        for room in ("r1", "r2", "r3"):
            self.successResultOf(self.offer(room))
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.stop()
        before = {record.key for record in self.sinks["one"].taken}
        self.sinks["one"] = Sink("one")
        self.open()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2", "r3"])
        self.assertTrue(before <= {record.key for record in self.sinks["one"].taken})
        self.stop()

    def test_tryAgain(self) -> None:
        """A failure is tried again when the policy says, or the sink; others go on meanwhile."""
        self.sinks["one"].outcome = later
        self.open()
        self.offer("r1")
        self.sinks["one"].outcome = lambda _: None
        self.offer("r2")
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.clock.advance(1.9)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])

        def busy(_: CallRecord) -> None:
            raise NotTaken("busy", retryAfter=30.0)

        self.sinks["one"].outcome = busy
        self.clock.advance(0.2)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2", "r1"])
        self.sinks["one"].outcome = lambda _: None
        for _ in range(29):
            self.clock.advance(1)
            self.clock.settle()
        self.assertEqual(len(self.sinks["one"].taken), 3)
        self.clock.advance(1.1)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2", "r1", "r1"])
        self.assertEqual(self.policy.attempts, [1, 2])
        self.stop()

    def test_clockSetBack(self) -> None:
        """The next attempt comes in its time, and what comes later is given at once."""
        self.sinks["one"].outcome = later
        self.open()
        self.offer("r1")
        self.clock.jump(-3600)
        self.clock.advance(1.9)
        self.clock.settle()
        self.sinks["one"].outcome = lambda _: None
        self.offer("r2")
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.clock.advance(0.2)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2", "r1"])
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        self.offer("r3")
        self.clock.jump(-3600)
        self.clock.advance(0.25)
        waiting.callback(None)
        self.clock.settle()
        took = [told[2] for told in self.observer.told if told[:2] == ("one", "taken")]
        self.assertEqual(took, [0.0, 0.0, 0.25])
        # Nothing waits: the dates of what fails now are those that a clock shows.
        self.sinks["one"].outcome = later
        self.offer("r4")
        assert self.outbox is not None
        due = self.outbox._store._tables.due("one", 1.0, 9).next  # type: ignore[attr-defined]
        self.assertAlmostEqual(due, self.clock.seconds() + 2.0, places=3)
        self.stop()

    def test_clockSetWhileAccepting(self) -> None:
        """How long it took until a call could be acknowledged is right all the same."""
        outbox = self.open()
        for room, jump in (("r1", -3600), ("r2", 1e9)):
            outbox.offer(A, {"roomid": room}, ["one"])
            self.clock.jump(jump)
            self.clock.settle()
        accepted = [told for told in self.observer.told if told[0] == "accepted"]
        self.assertEqual(accepted, [("accepted", 0.0)] * 2)
        self.stop()

    def test_clockSetForward(self) -> None:
        """The next attempt does not come early, and what comes later is given at once."""
        self.sinks["one"].outcome = later
        self.open()
        self.offer("r1")
        self.clock.jump(3600)
        self.clock.advance(1.5)
        self.clock.settle()
        self.sinks["one"].outcome = lambda _: None
        self.offer("r2")
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.clock.advance(0.6)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2", "r1"])
        self.stop()

    def test_clockOfABoot(self) -> None:
        """A machine that starts in 1970 tries at once what is to be tried again, in its order."""
        self.sinks["one"].outcome = later
        self.open()
        self.offer("r1")
        self.clock.advance(0.5)
        self.offer("r2")
        self.stop()
        self.clock.jump(60 - self.clock.seconds())
        self.sinks["one"].taken.clear()
        self.sinks["one"].outcome = lambda _: None
        self.open()
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.clock.advance(0.6)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        # Dates of its own are believed.
        self.policy.seconds = 86_400.0
        self.sinks["one"].outcome = later
        self.offer("r3")
        self.sinks["one"].taken.clear()
        self.clock.advance(3600)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].taken, [])
        self.stop()

    def test_clockSetRightAfterABoot(self) -> None:
        """What came while the clock said 1970 is tried for as long as anything, and no longer."""
        self.clock.jump(90 - self.clock.seconds())
        self.sinks["one"].outcome = later
        outbox = self.open(retryFor=100.0)
        self.offer("r1")
        self.clock.advance(1)
        self.clock.jump(1_800_000_000)
        self.passes(50)
        self.assertEqual(self.depths(), {("one", False): 1, ("one", True): 0})
        ages = Deferred.fromCoroutine(outbox.oldestAges())
        self.clock.settle()
        self.assertAlmostEqual(self.successResultOf(ages)["one"], 51.0)
        self.passes(46)
        self.assertEqual(self.depths(), {("one", False): 1, ("one", True): 0})
        self.passes(4)
        self.assertEqual(self.depths()[("one", True)], 1)
        self.stop()

    def test_clockSetByYears(self) -> None:
        """Neither forward nor back makes it a dead letter early, or never."""
        for jump in 1e9, -1e9:
            self.path = os.path.abspath(self.mktemp())
            self.sinks["one"].outcome = later
            self.open(retryFor=100.0)
            self.offer("r1")
            self.passes(10)
            self.clock.jump(jump)
            self.passes(85)
            self.assertEqual(self.depths(), {("one", False): 1, ("one", True): 0})
            self.passes(5)
            self.assertEqual(self.depths()[("one", True)], 1)
            self.stop()

    def test_datesThatCannotBe(self) -> None:
        """What an earlier process dated 1970, or tomorrow, counts from when this one met it."""
        for wrong in 90.0, 1_800_000_000.0:
            self.path = os.path.abspath(self.mktemp())
            self.sinks["one"].outcome = later
            self.clock = ThreadlessClock()
            self.clock.advance(wrong)
            self.open(retryFor=100.0)
            self.offer("r1")
            self.stop()
            self.clock = ThreadlessClock()
            self.clock.advance(1_790_000_000)
            self.open(retryFor=100.0)
            self.passes(95)
            self.assertEqual(self.depths(), {("one", False): 1, ("one", True): 0})
            self.passes(5)
            self.assertEqual(self.depths()[("one", True)], 1)
            self.stop()

    def test_adoptedWithAWrongDate(self) -> None:
        """An attempt that another member dated next year is made, though this one has made some."""
        self.sinks["one"].outcome = later
        outbox = self.open()
        self.offer("mine")
        self.sinks["one"].outcome = lambda _: None
        add = outbox._store._tables.add  # type: ignore[attr-defined]
        (id,) = add([Addition(CallRecord.of(A, {"roomid": "r1"}, 1e9), ("one",))])
        due = self.clock.seconds() + 3e7
        outbox._store._tables.failed([Attempt(id, "one", due, "")])  # type: ignore[attr-defined]
        self.passes(30)
        self.assertEqual(self.sinks["one"].rooms(), ["mine", "mine", "r1"])
        self.assertEqual(set(self.depths().values()), {0})
        self.stop()

    def test_mendedWhileTheClockIsSetBack(self) -> None:
        """An outbox that does not work is looked at again in time."""
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        outbox = self.open()
        self.offer("r1")
        connection = outbox._store._tables._connection
        connection.execute("PRAGMA query_only = 1")
        waiting.callback(None)
        self.clock.settle()
        connection.execute("PRAGMA query_only = 0")
        self.clock.jump(-3600)
        self.clock.advance(5)
        self.clock.settle()
        self.assertEqual(self.depths()[("one", False)], 0)
        self.stop()

    def test_policyOfAnApplication(self) -> None:
        """One that raises or answers nonsense is logged, and ends the attempts of that call only."""
        for nonsense in ("soon", float("nan"), -5.0):
            self.path = os.path.abspath(self.mktemp())
            self.policy = FixedDelay(nonsense)  # type: ignore[arg-type]
            self.sinks["one"].outcome = later
            outbox = self.open()
            self.offer("r1")
            self.assertEqual(len(self.flushLoggedErrors(IncorrectParameters)), 1)
            self.assertEqual(self.depths()[("one", True)], 1)
            self.assertFalse(outbox._workers["one"].isGiving)
            self.sinks["one"].outcome = lambda _: None
            self.offer("r2")
            self.assertEqual(self.depths(), {("one", False): 0, ("one", True): 1})
            self.stop()
        self.path = os.path.abspath(self.mktemp())
        self.policy = FixedDelay()
        self.patch(self.policy, "delay", lambda attempt: 1 / 0)
        self.sinks["one"].outcome = later
        self.open()
        self.offer("r1")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.depths()[("one", True)], 1)
        self.stop()

    def test_impatientSink(self) -> None:
        """A sink that asks for less time than the backoff does not shorten it."""

        def impatient(_: CallRecord) -> None:
            raise NotTaken("busy", retryAfter=0.1)

        self.sinks["one"].outcome = impatient
        self.open()
        self.offer("r1")
        self.clock.advance(1.9)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.clock.advance(0.2)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r1"])
        self.stop()

    def test_deadLetters(self) -> None:
        """Refused, or tried for too long, it is a dead letter; revived it is tried again."""
        self.sinks["one"].outcome = refuse
        self.open("one", "two", retryFor=10.0)
        self.offer("r1", "one", "two")
        self.sinks["one"].outcome = later
        self.offer("r2")
        for _ in range(20):
            self.clock.advance(1)
            self.clock.settle()
        self.assertEqual(self.depths()[("one", True)], 2)
        self.assertEqual(self.sinks["two"].rooms(), ["r1"])
        self.assertEqual(self.sinks["one"].rooms().count("r2"), 6)
        self.sinks["one"].outcome = lambda _: None
        connection, tables = openTables(self.path)
        letters = tables.deadLetters()
        self.assertEqual([(x.reason, x.attempts) for x in letters], [("no", 1), ("not now", 6)])
        tables.revive(letters, self.clock.seconds())
        connection.close()
        self.clock.advance(10)
        self.clock.settle()
        self.assertEqual(self.sinks["one"].rooms()[-2:], ["r1", "r2"])
        self.assertEqual(set(self.depths().values()), {0})
        self.stop()

    def test_revived(self) -> None:
        """A dead letter that is revived is tried for as long as one that came now, restarted too."""
        self.sinks["one"].outcome = later
        self.open(retryFor=30.0)
        self.offer("r1")
        for _ in range(40):
            self.clock.advance(1)
            self.clock.settle()
        self.assertEqual(self.depths()[("one", True)], 1)
        connection, tables = openTables(self.path)
        tables.revive(tables.deadLetters(), self.clock.seconds())
        connection.close()
        self.sinks["one"].taken.clear()
        for second in range(27):
            if second == 15:
                self.stop()
                self.open(retryFor=30.0)
            self.clock.advance(1)
            self.clock.settle()
        # It is looked for every ten seconds, and tried every two.
        self.assertGreaterEqual(len(self.sinks["one"].taken), 8)
        self.assertEqual(self.depths()[("one", False)], 1)
        for _ in range(5):
            self.clock.advance(1)
            self.clock.settle()
        self.assertEqual(self.depths()[("one", True)], 1)
        self.stop()

    def test_concurrency(self) -> None:
        """A sink gets no more at a time than it takes, and all in the end, in order."""
        waiting: list[Deferred[None]] = []

        def hold(_: CallRecord) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.sinks["one"].outcome = hold
        self.open()
        for number in range(300):
            self.offer(f"r{number}")
        done = 0
        while waiting:
            self.assertLessEqual(len(waiting), 2)
            waiting.pop(0).callback(None)
            done += 1
            self.clock.settle()
        self.assertEqual(done, 300)
        self.assertEqual(self.sinks["one"].rooms(), [f"r{n}" for n in range(300)])
        self.stop()

    def test_bug(self) -> None:
        """A sink that raises anything is logged, and tried again."""
        self.sinks["one"].outcome = lambda _: 1 / 0
        self.open()
        self.offer("r1")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.sinks["one"].outcome = lambda _: None
        self.clock.advance(2.1)
        self.clock.settle()
        self.assertEqual(len(self.sinks["one"].taken), 2)
        self.stop()

    def test_fullDisk(self) -> None:
        """No room: the offer fails as such, nothing is lost of what was there, and room heals."""
        self.sinks["one"].outcome = lambda _: Deferred()
        outbox = self.open()
        self.offer("r1")
        connection = outbox._store._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        big = {"roomid": "r" * 20_000}
        offered = outbox.offer(A, big, ["one"])
        self.clock.settle()
        error = self.failureResultOf(offered, NotKept).value
        self.assertIn("full", error.message)
        self.assertIn(str(self.path), error.message)
        connection.execute("PRAGMA max_page_count = 100000")
        self.successResultOf(self.offer("r2"))
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.stop()

    def test_brokenMeanwhile(self) -> None:
        """What a sink took while the outbox was broken is written down when it works again."""
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        outbox = self.open()
        self.offer("r1")
        connection = outbox._store._connection
        connection.execute("PRAGMA query_only = 1")
        waiting.callback(None)
        self.clock.settle()
        connection.execute("PRAGMA query_only = 0")
        self.assertEqual(self.depths()[("one", False)], 1)
        self.clock.advance(5)
        self.clock.settle()
        self.assertEqual(self.depths()[("one", False)], 0)
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.stop()

    def test_offeredAtAnyTurn(self) -> None:
        """A call that comes while the worker looks for others is given at once, too."""
        outbox = self.open()

        def offerAfter(turns: int) -> None:
            if turns:
                self.clock.callLater(0, offerAfter, turns - 1)
            else:
                outbox.offer(A, {"roomid": f"second of {number}"}, ["one"])

        for number in range(12):
            outbox.offer(A, {"roomid": f"first of {number}"}, ["one"])
            offerAfter(number)
            self.clock.settle()
            both = [f"first of {number}", f"second of {number}"]
            self.assertEqual(self.sinks["one"].rooms(), both)
            self.sinks["one"].taken.clear()
        self.stop()

    def test_offeredWhileStopping(self) -> None:
        """A sink that is being stopped is given nothing more: it has it after the next start."""
        outbox, sink = self.open(), self.sinks["one"]
        ending: Deferred[None] = Deferred()
        self.patch(sink, "stop", lambda: ending)
        stopping = Deferred.fromCoroutine(outbox.stop())
        self.successResultOf(self.offer("r1"))
        self.assertEqual(sink.rooms(), [])
        ending.callback(None)
        self.clock.settle()
        self.successResultOf(stopping)
        self.open()
        self.assertEqual(sink.rooms(), ["r1"])
        self.stop()

    def test_sinkThatDoesNotStop(self) -> None:
        """A sink whose stop() fails is logged; the others are stopped, and the spool is closed."""
        outbox = self.open("one", "two")
        for failing in (lambda: fail(OSError("broken pipe")), lambda: 1 / 0):
            self.sinks["two"].stopped = False
            self.patch(self.sinks["one"], "stop", failing)
            last = outbox.offer(A, {"roomid": "r1"}, ["two"])
            self.stop()
            self.successResultOf(last)
            self.assertTrue(self.sinks["two"].stopped)
            self.assertEqual(len(self.flushLoggedErrors(OSError, ZeroDivisionError)), 1)
            outbox = self.open("one", "two")
        self.patch(self.sinks["one"], "stop", lambda: succeed(None))
        self.stop()

    def test_oldestAges(self) -> None:
        """How long the oldest call of each sink has waited; dead letters wait no more."""
        self.sinks["one"].outcome = lambda _: Deferred()
        self.sinks["soft"].outcome = refuse
        outbox = self.open("one", "two", "soft")
        for room in ("r1", "r2"):
            self.offer(room, "one", "two", "soft")
            self.clock.advance(5)
        ages = Deferred.fromCoroutine(outbox.oldestAges())
        self.clock.settle()
        self.assertEqual(self.successResultOf(ages), {"one": 10.0, "two": 0.0, "soft": 0.0})
        self.stop()

    def test_eachOutageIsLogged(self) -> None:
        """An outbox that does not work is told once each time, not once for good."""
        for room in ("r1", "r2"):
            waiting: Deferred[None] = Deferred()
            self.sinks["one"].outcome = lambda _, waiting=waiting: waiting  # type: ignore[misc]
            outbox = self.outbox or self.open()
            self.offer(room)
            connection = outbox._store._connection
            connection.execute("PRAGMA query_only = 1")
            with capturedLogs() as logs:
                waiting.callback(None)
                self.clock.settle()
                self.clock.advance(5)
                self.clock.settle()
            told = [e for e in logs if "trying again" in (e["log_format"] or "")]
            self.assertEqual(len(told), 1)
            connection.execute("PRAGMA query_only = 0")
            self.clock.advance(5)
            self.clock.settle()
            self.assertEqual(self.depths()[("one", False)], 0)

    def test_waitToldLate(self) -> None:
        """An attempt that could be written down only after the next was due is told as due now."""
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        outbox = self.open()
        self.offer("r1")
        connection = outbox._store._connection
        connection.execute("PRAGMA query_only = 1")
        waiting.errback(NotTaken("not now"))
        self.clock.settle()
        self.sinks["one"].outcome = lambda _: None
        self.clock.advance(20)
        self.clock.settle()
        connection.execute("PRAGMA query_only = 0")
        with capturedLogs() as logs:
            self.clock.advance(20)
            self.clock.settle()
        self.assertEqual([e["wait"] for e in logs if "wait" in e], [0.0])
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r1"])
        self.stop()

    def test_failuresAreToldTogether(self) -> None:
        """
        The first attempt that fails is told at once, the next ones once a minute, and once that
        the sink takes calls again; a dead letter each by itself.
        """
        self.sinks["one"].outcome = later
        self.open()
        with capturedLogs() as logs:
            for number in range(30):
                self.offer(f"r{number}")
            for _ in range(130):
                self.clock.advance(1)
                self.clock.settle()
            self.sinks["one"].outcome = lambda _: None
            for _ in range(30):
                self.clock.advance(1)
                self.clock.settle()
        lines = [formatEvent(event) for event in logs]
        self.assertRegex(lines[0], r"^not now: trying again in 2\.0 seconds$")
        attempts = len(self.sinks["one"].taken) - 30
        more = [int(line.split()[0]) for line in lines[1:-1]]
        for line in lines[1:-1]:
            self.assertRegex(line, r"^\d+ more attempts failed in the last 60 s: not now$")
        self.assertEqual(len(more), 2)
        self.assertEqual(
            lines[-1], f"one takes calls again; {attempts} attempts had failed: not now"
        )
        self.sinks["one"].outcome = refuse
        with capturedLogs() as logs:
            for number in range(3):
                self.offer(f"d{number}")
        self.assertEqual(len([e for e in logs if "is a dead letter" in formatEvent(e)]), 3)
        self.stop()

    def test_failuresAtTheEnd(self) -> None:
        """What was not told yet is told when the outbox is stopped."""
        self.sinks["one"].outcome = later
        self.open()
        for number in range(5):
            self.offer(f"r{number}")
        with capturedLogs() as logs:
            self.stop()
        self.assertEqual(
            [formatEvent(event) for event in logs],
            ["4 more attempts failed in the last 0 s: not now"],
        )

    def test_toldAgain(self) -> None:
        """A call is given to sinks once: told twice, after its delivery, and after a restart."""
        self.open()
        one, two = self.offer("r1"), self.offer("r1")
        self.successResultOf(one)
        self.successResultOf(two)
        self.successResultOf(self.offer("r1"))
        self.assertEqual(set(self.depths().values()), {0})
        self.stop()
        self.open()
        self.successResultOf(self.offer("r1"))
        self.successResultOf(self.offer("r2"))
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r2"])
        self.assertEqual(self.observer.told.count("repeated"), 3)
        self.stop()

    def test_toldWhileKept(self) -> None:
        """Who tells of a call that is being stored waits for the same result."""
        outbox = self.open()
        connection = outbox._store._connection
        connection.execute("PRAGMA query_only = 1")
        offers = [outbox.offer(A, {"roomid": "r1"}, ["one"]) for _ in range(3)]
        self.assertNoResult(offers[2])
        self.clock.settle()
        for offered in offers:
            self.failureResultOf(offered, NotKept)
        connection.execute("PRAGMA query_only = 0")
        offers = [outbox.offer(A, {"roomid": "r1"}, ["one"]) for _ in range(3)]
        offers[0].cancel()
        self.clock.settle()
        self.failureResultOf(offers[0], CancelledError)
        self.successResultOf(offers[1])
        self.successResultOf(offers[2])
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.stop()

    def test_forgotten(self) -> None:
        """After so long a call told again is another; not while it waits, or is a dead letter."""
        self.open(forgetKeysAfter=100.0, retryFor=1e6)
        self.offer("taken")
        self.sinks["one"].outcome = refuse
        self.offer("dead")
        self.sinks["one"].outcome = lambda _: Deferred()
        self.offer("waiting")

        def tellAll() -> list[str]:
            before = len(self.sinks["one"].taken)
            for room in ("taken", "dead", "waiting"):
                self.successResultOf(self.offer(room))
            return self.sinks["one"].rooms()[before:]

        self.clock.advance(99)
        self.assertEqual(tellAll(), [])
        self.clock.advance(2)
        self.assertEqual(tellAll(), ["taken"])
        self.clock.advance(102)
        self.assertEqual(tellAll(), [])
        self.assertEqual(self.depths(), {("one", False): 2, ("one", True): 1})
        self.stop()

    def test_keysAreForgotten(self) -> None:
        """Those that nobody tells of again go too, a few with each call that comes."""
        outbox = self.open(forgetKeysAfter=100.0)
        for number in range(40):
            self.offer(f"r{number}")
        self.clock.advance(101)
        for number in range(40, 60):
            self.offer(f"r{number}")
        connection = outbox._store._connection
        self.assertEqual(connection.execute("SELECT count(*) FROM keys").fetchone(), (20,))
        self.stop()

    def test_notJson(self) -> None:
        """What cannot be written down is not kept; others are."""
        outbox = self.open()
        offered = outbox.offer(A, {"roomid": "r1", "userdata": float("nan")}, ["one"])
        self.assertIn(A, self.failureResultOf(offered, NotKept).value.message)
        self.successResultOf(self.offer("r2"))
        self.stop()

    def test_otherSinks(self) -> None:
        """What is owed to a sink that is gone stays there, and is counted."""
        self.sinks["one"].outcome = lambda _: Deferred()
        self.open()
        self.offer("r1")
        self.stop()
        self.open("two")
        self.assertEqual(self.depths()[("other", False)], 1)
        self.stop()

    def test_reopen(self) -> None:
        """Every sink is told to open its files anew."""
        outbox = self.open("one", "two")
        outbox.reopen()
        self.assertEqual([s.reopened for s in self.sinks.values()], [1, 1, 0])
        self.patch(self.sinks["one"], "reopen", lambda: 1 / 0)
        outbox.reopen()
        self.assertEqual([s.reopened for s in self.sinks.values()], [1, 2, 0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stop()

    def test_storeWithABug(self) -> None:
        """Whoever offers a call hears of it, and whatever was stored before goes on."""
        outbox = self.open()
        for broken in (lambda _: fail(ZeroDivisionError()), lambda _: 1 / 0):
            self.patch(outbox.store, "add", broken)
            words = self.failureResultOf(self.offer("r1"), NotKept).value.message
            self.assertEqual(words, "the outbox failed by a bug: ZeroDivisionError")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        del outbox.store.add  # type: ignore[attr-defined]
        self.successResultOf(self.offer("r1"))
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.stop()

    def test_observerThatFails(self) -> None:
        """Each call is acknowledged, given and marked all the same; it is logged."""
        for name in ("accepted", "repeated", "ended"):
            self.patch(self.observer, name, lambda *_: 1 / 0)
        self.open()
        both = [self.outbox.offer(A, {"roomid": "r1"}, ["one"]) for _ in range(2)]  # type: ignore[union-attr]
        self.clock.settle()
        for offered in (*both, self.offer("r1", account=A)):
            self.successResultOf(offered)
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.assertEqual(set(self.depths().values()), {0})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)
        self.stop()

    def test_oneAttempt(self) -> None:
        """Asked to try for no time at all, it tries once."""
        self.sinks["one"].outcome = later
        self.open(retryFor=0)
        self.offer("r1")
        self.assertEqual(self.depths()[("one", True)], 1)
        self.stop()

    def test_forNobody(self) -> None:
        """A call without a sink is known by its key, and takes no room."""
        outbox = self.open()
        offered = outbox.offer(A, {"roomid": "r1"}, [])
        self.clock.settle()
        self.successResultOf(offered)
        connection = outbox._store._connection  # type: ignore[attr-defined]
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("calls", "deliveries", "keys")
        ]
        self.assertEqual(counts, [0, 0, 1])
        self.stop()


class InMemory(OutboxCase):
    """Without a spool."""

    def setUp(self) -> None:
        super().setUp()
        self.path = None

    def test_acknowledgedWhenTaken(self) -> None:
        """All durable sinks must have it; the others need not."""
        waiting: Deferred[None] = Deferred()
        self.sinks["two"].outcome = lambda _: waiting
        self.sinks["soft"].outcome = lambda _: Deferred()
        self.open("one", "two", "soft")
        offered = self.offer("r1", "one", "two", "soft")
        self.assertNoResult(offered)
        waiting.callback(None)
        self.clock.settle()
        self.successResultOf(offered)
        self.successResultOf(self.offer("r2", "soft"))
        self.stop()

    def test_words(self) -> None:
        """What cannot be stored is refused in words that name no file where there is none."""
        outbox = self.open()
        offered = outbox.offer(None, {"roomid": "r1"}, ["one"])  # type: ignore[arg-type]
        self.clock.settle()
        words = self.failureResultOf(offered, NotKept).value.message
        self.assertTrue(words.startswith("the outbox in memory failed: "), words)
        self.stop()

    def test_refused(self) -> None:
        """What a sink refuses is not acknowledged; nothing of it stays."""
        self.sinks["two"].outcome = refuse
        self.open("one", "two")
        error = self.failureResultOf(self.offer("r1", "one", "two"), SinkRefused).value
        self.assertEqual(error.message, "no")
        self.assertEqual(set(self.depths().values()), {0})
        self.stop()

    def test_toldAgain(self) -> None:
        """Who tells of a call that is not yet taken waits for it; afterwards it is known."""
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        self.open()
        one, two = self.offer("r1"), self.offer("r1")
        self.assertNoResult(one)
        self.assertNoResult(two)
        waiting.callback(None)
        self.clock.settle()
        self.successResultOf(one)
        self.successResultOf(two)
        self.successResultOf(self.offer("r1"))
        self.assertEqual(self.sinks["one"].rooms(), ["r1"])
        self.stop()

    def test_toldAgainAfterRefusal(self) -> None:
        """What was not acknowledged is not known: it is tried again."""
        self.sinks["one"].outcome = refuse
        outbox = self.open()
        offers = [outbox.offer(A, {"roomid": "r1"}, ["one"]) for _ in range(2)]
        self.clock.settle()
        for offered in offers:
            self.failureResultOf(offered, SinkRefused)
        self.sinks["one"].outcome = lambda _: None
        self.successResultOf(self.offer("r1", account=A))
        self.successResultOf(self.offer("r1", account=A))
        self.assertEqual(self.sinks["one"].rooms(), ["r1", "r1"])
        self.assertEqual(len({record.key for record in self.sinks["one"].taken}), 1)
        self.stop()

    def test_patience(self) -> None:
        """It is tried for a minute, since somebody waits."""
        self.sinks["one"].outcome = later
        self.open()
        offered = self.offer("r1")
        for second in range(62):
            if second < 57:
                self.assertNoResult(offered)
            self.clock.advance(1)
            self.clock.settle()
        self.failureResultOf(offered, NotTaken)
        self.stop()

    def test_stopped(self) -> None:
        """Who waits when it stops hears so, every one of them: the call is not acknowledged."""
        self.sinks["one"].outcome = lambda _: Deferred()
        outbox = self.open()
        offered = [self.offer("r1", account=A), self.offer("r1", account=A)]
        # This one is not even in the store yet.
        offered.append(outbox.offer(A, {"roomid": "r2"}, ["one"]))
        self.stop()
        for one in offered:
            error = self.failureResultOf(one, NotKept).value
            self.assertEqual(error.message, "the outbox is closed")

    def test_settled(self) -> None:
        """What is being given now may finish, for so long; what waits for a retry need not."""
        waiting: Deferred[None] = Deferred()
        self.sinks["one"].outcome = lambda _: waiting
        self.sinks["two"].outcome = later
        outbox = self.open("one", "two")
        one, two = self.offer("r1"), self.offer("r2", "two")
        settled = Deferred.fromCoroutine(outbox.settle(3.0))
        self.clock.settle()
        self.assertNoResult(settled)
        waiting.callback(None)
        self.clock.pump([0.05] * 2)
        self.successResultOf(settled)
        self.successResultOf(one)
        self.assertNoResult(two)
        self.sinks["one"].outcome = lambda _: Deferred()
        three = self.offer("r3")
        settled = Deferred.fromCoroutine(outbox.settle(3.0))
        self.clock.settle()
        self.clock.pump([0.05] * 61)
        self.successResultOf(settled)
        self.stop()
        for offered in (two, three):
            self.failureResultOf(offered, NotKept)


class Files(SynchronousTestCase):
    """What cannot be a spool is refused, with the reason."""

    def spool(self, path: str) -> Spool:
        return Spool(ThreadlessClock(), path)

    def refusal(self, path: str) -> str:
        with self.assertRaises(IncorrectParameters) as caught:
            self.spool(path)
        self.assertIn(path, caught.exception.message)
        return caught.exception.message

    def test_refused(self) -> None:
        """No file, another database, another version, a text, another process."""
        self.assertIn("No such file", self.refusal("/no/where/spool"))
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("dear diary " * 1000)
        self.assertIn("not a database", self.refusal(path))
        for statements in ("CREATE TABLE other (x)", "PRAGMA user_version = 9"):
            path = os.path.abspath(self.mktemp())
            connection = sqlite3.connect(path)
            connection.execute(statements)
            connection.close()
            self.assertIn("no outbox of the version 2", self.refusal(path))
        path = os.path.abspath(self.mktemp())
        one = self.spool(path)
        self.assertIn("another process has", self.refusal(path))
        self.successResultOf(one.close())
        self.successResultOf(self.spool(path).close())

    def test_mayPass(self) -> None:
        """A full disk and another process pass; a wrong place and another file do not."""

        def passes(path: str) -> bool:
            return mayPass(self.assertRaises(IncorrectParameters, checkSpool, path))

        path = os.path.abspath(self.mktemp())
        one = self.spool(path)
        self.assertTrue(passes(path))
        self.successResultOf(one.close())
        checkSpool(path)
        self.assertFalse(passes("/no/where/spool"))
        with open(f"{path}.text", "w") as file:
            file.write("dear diary " * 1000)
        self.assertFalse(passes(f"{path}.text"))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            full = passes(f"{path}.new")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        self.assertTrue(full)

    def test_version1(self) -> None:
        """A file of the version before goes on: its calls wait, and their keys are known."""
        path = os.path.abspath(self.mktemp())
        connection = sqlite3.connect(path)
        connection.executescript(VERSION_1)
        connection.close()
        clock = ThreadlessClock()
        spool = Spool(clock, path)
        look, failed, known, new = (
            spool.due("file:x", 9.0, 9),
            spool.failed(Attempt(3, "file:x", None, "no")),
            spool.add([Addition(CallRecord("k2", A, 9.0, {}), ("file:x",))]),
            spool.add([Addition(CallRecord("k9", A, 9.0, {"n": 9}), ("file:x",))]),
        )
        clock.settle()
        self.successResultOf(failed)
        self.assertEqual(self.successResultOf(known), [None])
        self.assertEqual(self.successResultOf(new), [4])
        self.assertEqual(
            self.successResultOf(look).due,
            [
                Due(2, 0, CallRecord("k2", A, 2.0, {"n": 2})),
                Due(4, 0, CallRecord("k9", A, 9.0, {"n": 9})),
            ],
        )
        letters = spool.deadLetters()
        clock.settle()
        self.assertEqual([x.record.key for x in self.successResultOf(letters)], ["k3"])
        self.successResultOf(spool.close())
        self.assertEqual(
            sqlite3.connect(path).execute("SELECT count(*) FROM calls").fetchone(), (3,)
        )

    def test_version1Broken(self) -> None:
        """What cannot be brought to the new version stays what it was."""
        path = os.path.abspath(self.mktemp())
        connection = sqlite3.connect(path)
        connection.executescript(VERSION_1 + "CREATE TABLE calls_2 (x);")
        before = list(connection.iterdump())
        connection.close()
        self.assertIn("calls_2 already exists", self.refusal(path))
        connection = sqlite3.connect(path)
        self.assertEqual(list(connection.iterdump()), before)
        self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (1,))
        connection.close()

    def test_notLinear(self) -> None:
        """Every statement of the way of a call finds its rows by an index."""
        connection, tables = openTables(None)
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        addition = Addition(CallRecord.of(A, {}, 1.0), ("one",))
        later = Addition(CallRecord.of(A, {}, 1e9), ("one",))
        (id,) = tables.add([addition])
        tables.add([later])
        assert isinstance(id, int)
        tables.due("one", 2.0, 10)
        tables.failed([Attempt(id, "one", 3.0, "x")])
        tables.taken([(id, "one")])
        connection.set_trace_callback(None)
        self.assertGreater(len(statements), 5)
        for statement in statements:
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                # The keys of a batch are all looked at, of course.
                if "json_each" not in row[3]:
                    self.assertNotIn("SCAN", row[3].replace("SCAN CONSTANT ROW", ""), statement)
        connection.close()


class Batches(SynchronousTestCase):
    """Work that is cheaper done together."""

    def test_together(self) -> None:
        """What comes in one turn is one batch, bounded; each gets its own result."""
        clock, batches = ThreadlessClock(), list[list[int]]()

        def commit(items: Any) -> list[int]:
            batches.append(list(items))
            return [item * 2 for item in items]

        commits: GroupCommit[int, int] = GroupCommit(clock, commit, longest=3)
        done = [commits.submit(number) for number in range(5)]
        idle = commits.idle()
        self.assertNoResult(idle)
        clock.settle()
        self.assertEqual([self.successResultOf(d) for d in done], [0, 2, 4, 6, 8])
        self.assertEqual(batches, [[0, 1, 2], [3, 4]])
        self.successResultOf(idle)
        self.successResultOf(commits.idle())

    def test_idleLast(self) -> None:
        """Who waits for the end hears of it after the results, and after what these led to."""
        clock, told = ThreadlessClock(), list[Any]()
        commits: GroupCommit[int, int] = GroupCommit(clock, list)

        def first(result: int) -> None:
            told.append(result)
            commits.submit(2).addCallback(told.append)

        commits.submit(1).addCallback(first)
        commits.idle().addCallback(lambda _: told.append("idle"))
        clock.settle()
        self.assertEqual(told, [1, 2, "idle"])

        def fail(_: Any) -> Any:
            raise ZeroDivisionError

        told.clear()
        failing: GroupCommit[int, int] = GroupCommit(clock, fail)
        failing.submit(1).addErrback(lambda failure: told.append(failure.type))
        failing.idle().addCallback(lambda _: told.append("idle"))
        clock.settle()
        self.assertEqual(told, [ZeroDivisionError, "idle"])

    def test_clockSetBack(self) -> None:
        """A batch is begun though the wall clock is set back in the turn in which it came."""
        clock = ThreadlessClock()
        clock.advance(1_700_000_000)
        commits: GroupCommit[int, int] = GroupCommit(clock, list)
        done = commits.submit(1)
        clock.jump(-3600)
        clock.advance(0)
        self.assertEqual(self.successResultOf(done), 1)
