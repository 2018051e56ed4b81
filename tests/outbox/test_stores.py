"""
The stores of an outbox: SQLite and PostgreSQL, by the same tests, and what each has besides.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import iris_twisted
from iris_twisted.errors import NotHeld, NotKept
from iris_twisted.outbox import IFence, Place, Spool
from iris_twisted.outbox.postgresql_schema import STEPS, VERSION, createTables
from iris_twisted.outbox.values import Addition, Attempt, Look
from iris_twisted.sinks import CallRecord

from ..doubles import FixedDelay
from ..postgresql import MISSING, postgreSQL
from .stores import NOW, PLACE, StoreMixin, addTo, record, takenFrom
from .stores import STEPS as MODEL_STEPS


class SQLite(StoreMixin, SynchronousTestCase):
    """The embedded one."""

    store: Spool

    def prepare(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def open(self, forgetAfter: float = 1000.0, strictOrder: bool = False) -> Spool:
        spool = Spool(self.clock, self.path, forgetAfter, strictOrder)
        # Nobody shall wait for another process in these tests.
        spool._connection.execute("PRAGMA busy_timeout = 0")
        return spool

    def clear(self) -> None:
        for table in ("deliveries", "calls", "keys"):
            self.store._connection.execute(f"DELETE FROM {table}")

    def fillDisk(self) -> None:
        connection = self.store._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 100}")

    def emptyDisk(self) -> None:
        self.store._connection.execute("PRAGMA max_page_count = 1000000")

    def vanish(self) -> None:
        """Another process has it for itself."""
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.other.execute("BEGIN EXCLUSIVE")

    def comeBack(self) -> None:
        self.other.close()

    @settings(max_examples=40, deadline=None)
    @given(MODEL_STEPS)
    def test_model(self, steps: Any) -> None:
        """Whatever happens in whatever order, it holds what a few dictionaries would."""
        self.model(steps)


class PostgreSQLCase(SynchronousTestCase):
    """A database of its own, with the outbox's tables."""

    skip = MISSING

    def prepare(self) -> None:
        self.server = postgreSQL()
        self.conninfo = self.server.database()
        self.migrate()

    def migrate(self) -> None:
        import psycopg

        with psycopg.connect(self.conninfo) as connection, connection.cursor() as cursor:
            createTables(cursor)


class PostgreSQL(StoreMixin, PostgreSQLCase):
    """That of a cluster."""

    prepare = PostgreSQLCase.prepare

    unstorable = (*StoreMixin.unstorable, record("nul", account="alice\0@x.test"))

    def open(self, forgetAfter: float = 1000.0, member: str = "m1", **options: Any) -> Any:
        from iris_twisted.outbox.postgresql import PostgreSQLStore, Unfenced

        return PostgreSQLStore(
            self.clock,
            self.conninfo,
            member,
            options.pop("fence", Unfenced()),
            forgetAfter=forgetAfter,
            policy=FixedDelay(1.0),
            monotonic=self.clock.seconds,
            **options,
        )

    def another(self, member: str, **options: Any) -> Any:
        store = self.open(member=member, **options)
        self.addCleanup(lambda: self.did(store.close()))
        return store

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.execute(statement, self.conninfo)

    def clear(self) -> None:
        self.sql("TRUNCATE outbox_calls, outbox_deliveries, outbox_keys")

    def fillDisk(self) -> None:
        """
        Its process may write no file of more than 2 MB. That of a table grows beyond, and an
        extension that fails is what a full disk is, too; those of its log are of 1 MB.
        """
        ((pid,),) = self.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'iris-twisted outbox' "
            "AND datname = current_database()"
        )
        self.server.limitFiles(pid, 2 << 20)

    def emptyDisk(self) -> None:
        """The process that was limited went with its connection."""

    def vanish(self) -> None:
        self.server.stop(signal.SIGKILL)

    def comeBack(self) -> None:
        self.server.start()

    @settings(max_examples=40, deadline=None)
    @given(MODEL_STEPS)
    def test_model(self, steps: Any) -> None:
        """Whatever happens in whatever order, it holds what a few dictionaries would."""
        self.model(steps)

    # Owners

    def test_closed(self) -> None:
        """Once it is closed nothing opens it again: a scrape that comes late is told so."""
        store = self.another("m2")
        self.did(store.depths())
        self.did(store.close())
        words = self.refused(store.depths())
        self.assertEqual(words, "the outbox in PostgreSQL failed: it is closed")

    def test_owners(self) -> None:
        """A delivery is its owner's: nobody else gives, marks or counts it."""
        id = self.add("r1")
        other = self.another("m2")
        self.assertEqual(self.did(other.due("s", NOW, 9)).due, [])
        self.assertFalse(self.did(takenFrom(other, id, "s")))
        self.assertFalse(self.did(other.failed(Attempt(id, "s", None, "no"))))
        self.assertEqual(self.did(other.depths()), {})
        self.assertEqual(self.rooms(), ["r1"])
        self.assertIsNone(self.did(addTo(other, record("r1"))))

    def test_adopted(self) -> None:
        """What a member that is gone owed is another's, with its keys; the first marks none."""
        ids = [self.add(f"r{n}", "s", "t") for n in range(10)]
        before = {d.record.key for d in self.did(self.store.due("s", NOW, 99)).due}
        self.did(self.store.failed(Attempt(ids[0], "t", None, "no")))
        other = self.another("m2")
        self.assertEqual(self.did(other.adopt("m1", "m2", 7)), 7)
        self.assertEqual(self.did(other.adopt("m1", "m2", 99)), 13)
        self.assertEqual(self.did(other.adopt("m1", "m2", 99)), 0)
        self.assertEqual({d.record.key for d in self.did(other.due("s", NOW, 99)).due}, before)
        self.assertEqual(
            self.did(other.depths()), {("s", False): 10, ("t", False): 9, ("t", True): 1}
        )
        # Under way when it was thought dead.
        self.assertFalse(self.did(takenFrom(self.store, ids[1], "s")))
        self.assertFalse(self.did(self.store.failed(Attempt(ids[2], "s", None, "no"))))
        self.assertEqual(self.rooms(), [])
        self.assertEqual(len(self.did(other.due("s", NOW, 99)).due), 10)
        self.assertTrue(self.did(takenFrom(other, ids[1], "s")))

    def test_nobodys(self) -> None:
        """What is nobody's is whose looks first, if it has the sink, and never two's."""
        for n in range(20):
            self.add(f"r{n}", "s", "t")
        one, two = self.another("m2"), self.another("m3")
        self.assertEqual(self.did(one.adopt("m1")), 40)
        self.assertEqual(len(self.did(one.due("s", NOW, 15)).due), 15)
        self.assertEqual(len(self.did(two.due("s", NOW, 15)).due), 5)
        self.assertEqual(len(self.did(two.due("t", NOW, 99)).due), 20)
        self.assertEqual(self.did(self.store.depths()), {})

    def test_underChange(self) -> None:
        """What a transaction is about to change is left for the next time; nobody waits."""
        import psycopg

        for n in range(3):
            self.add(f"r{n}")
        other = self.another("m2")
        with psycopg.connect(self.conninfo) as connection:
            connection.execute("DELETE FROM outbox_deliveries WHERE call = 2")
            self.assertEqual(self.did(other.adopt("m1", "m2")), 2)
        self.assertEqual(self.did(other.adopt("m1", "m2")), 0)

    def test_livesAfterAll(self) -> None:
        """Nothing is adopted of a member that has renewed its lease just before."""
        self.add("r1")
        fence = Places("m2")
        other = self.another("m2", fence=fence)
        fence.gone = False
        self.assertEqual(self.did(other.adopt("m1", "m2")), 0)
        self.assertEqual(self.rooms(), ["r1"])
        fence.gone = True
        self.assertEqual(self.did(other.adopt("m1", "m2")), 1)

    def test_noMemberAnyMore(self) -> None:
        """Who may be thought to be gone reads nothing to give, and claims nothing."""
        fence = Places("m2")
        other = self.another("m2", fence=fence)
        self.add("r1")
        self.did(self.another("m3").adopt("m1"))
        fence.living = False
        self.assertEqual(self.did(other.due("s", NOW, 9)), Look([], None))
        self.assertEqual(self.sql("SELECT owner FROM outbox_deliveries"), [(None,)])
        fence.living = True
        self.assertEqual(len(self.did(other.due("s", NOW, 9)).due), 1)

    def test_termEnds(self) -> None:
        """In no term is a store that failed, until it works; otherwise the member's is its own."""
        fence = Places("m2")
        store = self.another("m2", fence=fence)
        for term in (7, None, 8):
            fence.now = term
            self.assertEqual(store.term(), term)
        self.vanish()
        self.refused(store.depths())
        self.assertIsNone(store.term())
        self.comeBack()
        self.clock.advance(5)
        self.did(store.depths())
        self.assertEqual(store.term(), 8)

    def test_strictOrderOfOwners(self) -> None:
        """A failure delays the later calls of its owner, and of nobody else; a stale one none."""
        self.did(self.store.close())
        self.store = self.open(strictOrder=True)
        other = self.another("m2", strictOrder=True)
        first = self.add("r1")
        self.did(addTo(other, record("r2"), "s"))
        self.add("r3")
        self.did(self.store.failed(Attempt(first, "s", NOW + 10, "not now")))
        self.assertEqual(self.rooms(), [])
        self.assertEqual(len(self.did(other.due("s", NOW, 9)).due), 1)
        self.assertEqual(self.did(other.adopt("m1", "m2")), 2)
        self.assertFalse(self.did(self.store.failed(Attempt(first, "s", NOW + 90, "not now"))))
        self.assertEqual(len(self.did(other.due("s", NOW + 10, 9)).due), 3)

    def test_revivedByAnybody(self) -> None:
        """A dead letter that is revived is delivered by whoever looks first."""
        id = self.add("r1")
        self.did(self.store.failed(Attempt(id, "s", None, "no")))
        other = self.another("m2")
        self.did(other.revive(self.did(other.deadLetters()), NOW))
        self.assertEqual(len(self.did(other.due("s", NOW, 9)).due), 1)
        self.assertEqual(self.rooms(), [])

    def test_leftBehind(self) -> None:
        """A call whose deliveries went in two transactions at once goes with its key."""
        self.add("r1")
        self.sql("DELETE FROM outbox_deliveries")
        self.assertIsNotNone(self.add("r2", at=NOW + 1001))
        self.assertEqual(self.sql("SELECT count(*) FROM outbox_calls"), [(1,)])
        self.assertEqual(self.sql("SELECT count(*) FROM outbox_keys"), [(1,)])

    # Fencing

    def test_fenced(self) -> None:
        """A call is kept only by who holds its place in that epoch; others of its batch are."""
        self.sql("CREATE TABLE places (account text, copy int, member text, epoch bigint)")
        self.sql("INSERT INTO places VALUES ('a@x.test', 0, 'm2', 5), ('b@x.test', 1, 'm2', 7)")
        fence = Places("m2")
        self.assertTrue(verifyObject(IFence, fence))
        store = self.another("m2", fence=fence)

        def offer(account: str, copy: int, epoch: int, room: str) -> Deferred[Any]:
            place = Place(account, copy, epoch)
            return addTo(store, record(room, account=account), place=place)

        good = [offer("a@x.test", 0, 5, "r1"), offer("b@x.test", 1, 7, "r2")]
        stale = [offer("a@x.test", 0, 4, "r3"), offer("b@x.test", 0, 7, "r4")]
        stale.append(addTo(store, record("r5"), place=None))
        more = offer("a@x.test", 0, 5, "r6")
        self.clock.settle()
        for done in (*good, more):
            self.assertIsNotNone(self.successResultOf(done))
        for done in stale:
            self.failureResultOf(done, NotHeld)
        self.assertEqual(fence.asked, [[
            Place("a@x.test", 0, 4), Place("a@x.test", 0, 5),
            Place("b@x.test", 0, 7), Place("b@x.test", 1, 7),
        ]])  # fmt: skip
        rooms = [d.record.notification["roomid"] for d in self.did(store.due("s", NOW, 9)).due]
        self.assertEqual(rooms, ["r1", "r2", "r6"])
        # What was refused is not known: the new holder keeps it.
        self.sql("UPDATE places SET member = 'm3', epoch = 6 WHERE account = 'a@x.test'")
        self.clock.settle()
        self.refused(offer("a@x.test", 0, 5, "r3"))
        other = self.another("m3", fence=Places("m3"))
        kept = addTo(other, record("r3", account="a@x.test"), place=Place("a@x.test", 0, 6))
        self.assertIsNotNone(self.did(kept))

    # The connection

    def test_noTables(self) -> None:
        """A database without the tables is told in a sentence, and works once they are there."""
        self.sql("DROP TABLE outbox_deliveries, outbox_calls, outbox_keys")
        self.sql("DROP SEQUENCE outbox_ids")
        words = self.refused(addTo(self.store, record("r1")))
        self.assertIn("does not exist", words)
        self.assertIn("PostgreSQL", words)
        self.migrate()
        self.clock.advance(1)
        self.assertIsNotNone(self.add("r1"))

    def test_unreachable(self) -> None:
        """No server: every call is refused with the reason, and it is not asked all the time."""
        store = self.another("m2")
        attempts: list[int] = []
        connect = store._own._connect
        store._own._connect = lambda: (attempts.append(1), connect())[1]
        self.server.stop()
        for _ in range(5):
            words = self.refused(addTo(store, record("r1")))
            self.assertIn("No such file", words)
        self.assertEqual(len(attempts), 1)
        self.server.start()
        self.refused(addTo(store, record("r1")))
        self.clock.advance(1.1)
        self.assertIsNotNone(self.did(addTo(store, record("r1"))))

    def test_readOnly(self) -> None:
        """A server that may only be read is refused, by name."""
        self.sql(
            "ALTER DATABASE "
            + self.conninfo.rpartition("=")[2]
            + " SET default_transaction_read_only = on"
        )
        words = self.refused(addTo(self.another("m2"), record("r1")))
        self.assertIn("read-only", words)

    def test_becameReadOnly(self) -> None:
        """One that became so is left, for whichever the operator's names lead to then."""
        self.add("r1")
        before = self.store._own._connection
        before.execute("SET default_transaction_read_only = on")
        self.assertIn("read-only", self.refused(addTo(self.store, record("r2"))))
        self.clock.advance(1.1)
        self.assertIsNotNone(self.add("r2"))
        self.assertIsNot(self.store._own._connection, before)

    def test_refusedSettings(self) -> None:
        """A connection that cannot be set up is closed at once, whoever keeps the error."""
        adding = self.another("m2", patience=1e12).add([Addition(record("r1"), ("s",), PLACE)])
        self.clock.settle()
        (error,) = self.successResultOf(adding)
        self.assertIn("statement_timeout", error.message)
        open_ = self.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'iris-twisted outbox' "
            "AND datname = current_database()"
        )
        self.assertEqual(open_, [(0,)])

    def test_silence(self) -> None:
        """A server that says nothing counts as lost after a while, and is found again."""
        store = self.another("m2", patience=0.1)
        self.did(addTo(store, record("r1")))
        self.server.freeze()
        try:
            words = self.refused(addTo(store, record("r2")))
        finally:
            self.server.thaw()
        self.assertIn("time", words)
        self.clock.advance(1.1)
        self.assertIsNotNone(self.did(addTo(store, record("r3"))))

    def test_locked(self) -> None:
        """What somebody else has locked is waited for, but not for ever."""
        import psycopg

        store = self.another("m2", patience=0.1)
        with psycopg.connect(self.conninfo) as connection:
            connection.execute("LOCK TABLE outbox_keys")
            words = self.refused(addTo(store, record("r1")))
        self.assertIn("timeout", words)
        self.clock.advance(1.1)
        self.assertIsNotNone(self.did(addTo(store, record("r1"))))

    def test_notLinear(self) -> None:
        """With thousands of calls and keys, every statement finds its rows by an index."""
        self.sql(
            "INSERT INTO outbox_calls SELECT n, gen_random_uuid(), 'a', 1, '{}' "
            "FROM generate_series(1, 20000) n"
        )
        self.sql("SELECT setval('outbox_ids', 20000)")
        self.sql("INSERT INTO outbox_keys SELECT key, id, id FROM outbox_calls")
        self.sql("INSERT INTO outbox_deliveries SELECT id, 's', 'm1', 0 FROM outbox_calls")
        self.sql("ANALYZE")
        connection = self.did(self.store.depths()) and self.store._own._connection
        connection.execute("LOAD 'auto_explain'")
        connection.execute("SET auto_explain.log_min_duration = 0")
        connection.execute("SET client_min_messages = log")
        plans: list[str] = []
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        id = self.add("r1", at=20_000.0)
        self.did(self.store.due("s", NOW, 10))
        self.did(self.store.failed(Attempt(id, "s", 5.0, "no")))
        self.did(takenFrom(self.store, id, "s"))
        self.did(self.store.adopt("m1", "m2", 10))
        self.assertGreater(len(plans), 6)
        for plan in plans:
            self.assertNotIn("Seq Scan on outbox", plan)


@implementer(IFence)
class Places:
    """A fence as a cluster has it: by a row of a table, locked."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.asked: list[list[Place]] = []
        self.now: int | None = 0
        self.living = self.gone = True

    def term(self) -> int | None:
        return self.now

    def lives(self, cursor: Any) -> bool:
        return self.living

    def isGone(self, cursor: Any, name: str) -> bool:
        return self.gone

    def holding(self, cursor: Any, places: Any) -> list[bool]:
        self.asked.append(list(places))
        cursor.execute(
            "SELECT account, copy, epoch FROM places WHERE member = %s AND account = ANY(%s) "
            "ORDER BY account, copy, epoch FOR SHARE",
            (self.member, [place.account for place in places]),
        )
        held = {Place(*row) for row in cursor.fetchall()}
        return [place in held for place in places]


class AtOnce(TestCase):
    """Members in threads of their own, as they are."""

    skip = MISSING
    timeout = 60

    async def test_sameCallsEverywhere(self) -> None:
        """Three members are told of the same calls at once, in any order: each is kept once."""
        from iris_twisted.outbox.postgresql import PostgreSQLStore, Unfenced

        case = PostgreSQLCase("prepare")
        case.prepare()
        stores = [PostgreSQLStore(reactor, case.conninfo, f"m{n}", Unfenced()) for n in range(3)]
        for store in stores:
            self.addCleanup(store.close)
        await gatherResults([store.depths() for store in stores])
        records = [record(f"r{n}") for n in range(300)]
        orders: list[list[CallRecord]] = [records, records[::-1], records[150:] + records[:150]]
        adding: list[Deferred[Any]] = []
        for start in range(0, 300, 30):
            for store, order in zip(stores, orders, strict=True):
                adding += [addTo(store, r) for r in order[start : start + 30]]
            # The next ones meet these on their way.
            await stores[start % 3].depths()
        outcomes = await DeferredList(adding)
        self.assertTrue(all(success for success, _ in outcomes))
        self.assertEqual(sum(id is not None for _, id in outcomes), 300)
        looks = await gatherResults([store.due("s", NOW, 500) for store in stores])
        rooms = [d.record.notification["roomid"] for look in looks for d in look.due]
        self.assertEqual(sorted(rooms), sorted(f"r{n}" for n in range(300)))

    async def test_fenceHolds(self) -> None:
        """Who takes a place waits until the calls of the one before are kept."""
        import psycopg

        from iris_twisted.outbox.postgresql import PostgreSQLStore

        case = PostgreSQLCase("prepare")
        case.prepare()
        case.server.execute(
            "CREATE TABLE places (account text, copy int, member text, epoch bigint)", case.conninfo
        )
        case.server.execute("INSERT INTO places VALUES ('alice@x.test', 0, 'm1', 1)", case.conninfo)
        store = PostgreSQLStore(reactor, case.conninfo, "m1", Places("m1"))
        self.addCleanup(store.close)
        with psycopg.connect(case.conninfo) as taker:
            taker.execute("UPDATE places SET member = 'm2', epoch = 2")
            adding = addTo(store, record("r1"))
            # It has asked, and must wait for the other one's end.
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while case.server.execute(waits, case.conninfo) == [(0,)]:
                await deferLater(reactor, 0)
            self.assertFalse(adding.called)
            # Nor could anything be marked, for longer than a while.
            while store.term() is not None:
                await deferLater(reactor, 0.01)
        with self.assertRaises(NotHeld):
            await adding
        self.assertEqual(store.term(), 0)
        self.assertEqual(case.server.execute("SELECT * FROM outbox_keys", case.conninfo), [])


class Small(SynchronousTestCase):
    """What needs no server."""

    def test_imports(self) -> None:
        """Whoever does not use it does not import it."""
        words = "import sys, iris_twisted.tap, iris_twisted.outbox.tap, iris_twisted.daemon.metrics"
        look = "print([m for m in sys.modules if m.startswith('psycopg') or 'postgresql' in m])"
        root = str(Path(iris_twisted.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", f"{words}; {look}"],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root},
        )  # fmt: skip
        self.assertEqual(done.stdout.strip(), "[]")

    def test_steps(self) -> None:
        """Only the steps that are missing are taken."""
        statements: list[str] = []

        class Cursor:
            execute = staticmethod(statements.append)

        createTables(Cursor(), VERSION)
        self.assertEqual(statements, [])
        createTables(Cursor())
        self.assertEqual(statements, [s for step in STEPS for s in step])

    def test_noPassword(self) -> None:
        """What a store is called in errors repeats nothing of where it is."""
        from iris_twisted.outbox.postgresql import PostgreSQLStore, Unfenced

        from .test_outbox import ThreadlessClock

        clock = ThreadlessClock()
        store = PostgreSQLStore(clock, "host=/no/where password=CANARY user=u", "m1", Unfenced())
        adding = addTo(store, record("r1"))
        clock.settle()
        error = self.failureResultOf(adding, NotKept).value
        self.assertNotIn("CANARY", error.message)
        self.assertIn("/no/where", error.message)
