"""
What the cluster writes into the database, statement by statement, on a real PostgreSQL.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import attrs
import psycopg
from cryptography.fernet import Fernet
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster import accounts, lease_proofs, membership, places, schema, taking
from iris_twisted.cluster.conninfo import checkConninfo, connect, shownConninfo
from iris_twisted.cluster.key_file import Keys, addKey
from iris_twisted.cluster.membership import Identity, Taken
from iris_twisted.cluster.ownership import Pull
from iris_twisted.cluster.values import ClusterAccount, Life, Member, Place
from iris_twisted.errors import DatabaseFailed, IncorrectParameters

from ..postgresql import postgreSQL
from .databases import freshDatabase


@attrs.frozen
class Right:
    """As an outbox gives it."""

    account: str
    copy: int
    epoch: int


class _WithDatabase(SynchronousTestCase):
    """Each with an empty database."""

    def setUp(self) -> None:
        self.conninfo = freshDatabase(self)
        self.connection = self.connect()
        path = os.path.abspath(self.mktemp())
        addKey(path)
        self.keys = Keys(path)

    def connect(self) -> psycopg.Connection:
        connection = connect(self.conninfo, "test")
        self.addCleanup(connection.close)
        return connection

    def do(self, work: Any, *args: Any, **keywords: Any) -> Any:
        """In a transaction."""
        with self.connection.transaction():
            return work(self.connection, *args, **keywords)


class Schema(_WithDatabase):
    """The tables, by version."""

    def test_twoAtOnce(self) -> None:
        """Two that start at the same time make the tables once."""
        found: list[bool] = []

        def migrate() -> None:
            connection = self.connect()
            with connection.transaction():
                found.append(schema.migrate(connection))

        threads = [threading.Thread(target=migrate) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(found), [False, True])
        self.do(schema.checkSchema)

    def test_newer(self) -> None:
        """An older program ends with a sentence."""
        self.do(schema.migrate)
        for column, work in (
            ("version", schema.migrate),
            ("version", schema.checkSchema),
            ("outbox", schema.migrate),
        ):
            self.connection.execute(f"UPDATE iris_cluster SET {column} = 99")
            with self.assertRaises(DatabaseFailed) as caught:
                self.do(work)
            self.assertIn("of version 99, and this program knows", caught.exception.message)
            self.assertTrue(caught.exception.lasting)

    def test_none(self) -> None:
        """Where there are no tables, it says how to make them."""
        with self.assertRaises(DatabaseFailed) as caught:
            self.do(schema.checkSchema)
        self.assertIn("iris-cluster migrate", caught.exception.message)


class Conninfo(SynchronousTestCase):
    """Where the database is."""

    def test_passwords(self) -> None:
        """A password is refused, and not repeated; it says where to put it."""
        for text in ("host=x password=CANARY", "postgresql://u:CANARY@x/y"):
            with self.assertRaises(IncorrectParameters) as caught:
                checkConninfo(text)
            self.assertIn(".pgpass", caught.exception.message)
            self.assertIn("passfile", caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)

    def test_nonsense(self) -> None:
        """What is none is refused, and not repeated."""
        with self.assertRaises(IncorrectParameters) as caught:
            checkConninfo("host CANARY")
        self.assertNotIn("CANARY", caught.exception.message)

    def test_shown(self) -> None:
        """Operators see where it is."""
        shown = shownConninfo("postgresql://joe@db.test/iris?sslmode=verify-full")
        self.assertEqual(shown, "host=db.test dbname=iris")

    def test_sentences(self) -> None:
        """One sentence for each that an operator can meet."""
        server = postgreSQL()
        for conninfo, words in (
            (server.conninfo("none"), "there is no such database"),
            (server.conninfo() + " user=nobody", "knows no such user"),
            ("host=/nowhere", "the database failed: connection"),
            (
                server.conninfo() + " options='-c default_transaction_read_only=on'",
                "a read-only standby",
            ),
        ):
            with self.assertRaises(DatabaseFailed) as caught:
                connect(conninfo, "test")
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("\n", caught.exception.message)


class Secrets(SynchronousTestCase):
    """The key file."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def test_rotation(self) -> None:
        """A newer key encrypts, and the older ones decrypt still."""
        self.assertEqual(addKey(self.path), 1)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        old = Keys(self.path).encrypt("a@x.test", {"token": "CANARY"})
        self.assertNotIn(b"CANARY", old)
        self.assertEqual(addKey(self.path), 2)
        keys = Keys(self.path)
        self.assertEqual(keys.decrypt("A@x.test", old), {"token": "CANARY"})
        new = keys.rotate(old)
        with open(self.path) as file:
            newest, oldest = file.read().split()
        with open(self.path, "w") as file:
            file.write(newest)
        self.assertEqual(Keys(self.path).decrypt("a@x.test", new), {"token": "CANARY"})
        with self.assertRaises(IncorrectParameters):
            Keys(self.path).decrypt("a@x.test", old)
        self.assertNotEqual(newest, oldest)

    def test_anotherAccount(self) -> None:
        """Whoever can write to the database cannot use one account's token for another."""
        addKey(self.path)
        keys = Keys(self.path)
        secret = keys.encrypt("a@x.test", {"token": "CANARY"})
        with self.assertRaises(IncorrectParameters) as caught:
            keys.decrypt("b@x.test", secret)
        self.assertIn("another account", caught.exception.message)

    def test_mistakes(self) -> None:
        """Each is named, without what is in the file."""
        key = Fernet.generate_key().decode()
        for content, mode, words in (
            (None, 0, "No such file"),
            (key, 0o640, "make its mode 0600"),
            ("", 0o600, "holds no key"),
            ("CANARY", 0o600, "is no key"),
        ):
            if content is not None:
                with open(self.path, "w") as file:
                    file.write(content)
                os.chmod(self.path, mode)
            with self.assertRaises(IncorrectParameters) as caught:
                Keys(self.path)
            self.assertIn(words, caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
        with self.assertRaises(IncorrectParameters):
            addKey("/no/where/key")


class Accounts(_WithDatabase):
    """The accounts in the database."""

    def setUp(self) -> None:
        super().setUp()
        self.do(schema.migrate)

    def test_round(self) -> None:
        """What was added is found, changed and removed; a token is nowhere in the clear."""
        one = ClusterAccount("a@x.test", "CANARY", sinks=("stdout",), copies=2)
        two = ClusterAccount("b@x.test", email="b@mail.test", password="CANARY")
        self.assertEqual(self.do(accounts.add, self.keys, [one, two]), (2, 0))
        self.assertEqual(
            self.do(accounts.find, self.keys, "A@X.test"), attrs.evolve(one, changed=1)
        )
        self.assertEqual(
            self.do(accounts.find, self.keys, "b@x.test"), attrs.evolve(two, changed=1)
        )
        dump = str(self.connection.execute("SELECT * FROM iris_accounts").fetchall())
        self.assertNotIn("CANARY", dump)
        self.assertNotIn("CANARY", repr([one, two]))
        self.assertEqual(self.do(accounts.add, self.keys, [attrs.evolve(one, copies=1)]), (0, 1))
        count = "SELECT count(*) FROM iris_places"
        self.assertEqual(self.connection.execute(count).fetchone(), (2,))
        self.assertTrue(self.do(accounts.change, self.keys, attrs.evolve(two, copies=3)))
        self.assertEqual(self.connection.execute(count).fetchone(), (4,))
        self.assertFalse(self.do(accounts.change, self.keys, ClusterAccount("no@x.test")))
        self.assertEqual(self.do(accounts.changedSince, 2), [2])
        self.assertEqual(self.do(accounts.rotate, self.keys), 2)
        self.assertEqual(self.do(accounts.remove, ["B@x.test", "no@x.test"]), 1)
        self.assertEqual(self.do(accounts.find, self.keys, "b@x.test"), None)
        self.assertEqual(sorted(self.do(accounts.changedSince, 0)), [1, 2])
        self.assertEqual(self.connection.execute(count).fetchone(), (1,))

    def test_kept(self) -> None:
        """A member gets its own places with their accounts; one with a bad secret is left out."""
        me = self.do(membership.join, Identity("m", 9))
        self.do(accounts.add, self.keys, [ClusterAccount(f"{n}@x.test", n) for n in "abc"])
        self.do(taking.claim, me, [Member(me, "m", 9)], 9)
        self.connection.execute("UPDATE iris_accounts SET secret = 'x' WHERE id = 2")
        refused: dict[Place, str] = {}
        found = self.do(accounts.kept, self.keys, me, refused=refused)
        self.assertEqual(
            {key: kept.account.token for key, kept in found.items()}, {(1, 0): "a", (3, 0): "c"}
        )
        self.assertEqual([place.account for place in refused], [2])
        self.assertEqual(set(self.do(accounts.kept, self.keys, me, [3, 7])), {(3, 0)})


class Members(_WithDatabase):
    """The members' rows."""

    def setUp(self) -> None:
        super().setUp()
        self.do(schema.migrate)

    def expire(self, name: str) -> None:
        self.connection.execute(
            "UPDATE iris_members SET expires = clock_timestamp() - interval '1 s' WHERE name = %s",
            (name,),
        )

    def test_names(self) -> None:
        """A second process of the same name waits; when the first is dead it takes its place."""
        one = self.do(membership.join, Identity("m", 9, host="h", process=7))
        taken = self.do(membership.join, Identity("m", 9))
        self.assertIsInstance(taken, Taken)
        self.assertEqual((taken.host, taken.process), ("h", 7))
        self.assertTrue(0 < taken.left <= 10)
        self.expire("m")
        two = self.do(membership.join, Identity("m", 9))
        self.assertNotEqual(one, two)
        self.assertIsNone(self.do(membership.look, one, 99.0))

    def test_look(self) -> None:
        """The lease is renewed by the database's clock; a lapse is told once."""
        me = self.do(membership.join, Identity("m", 9, zone="a"))
        sight = self.do(membership.look, me, 0.0, 5, 4)
        self.assertFalse(sight.lapsed)
        (seen,) = sight.members
        self.assertEqual((seen.name, seen.zone, seen.life, seen.held), ("m", "a", Life.LIVE, 5))
        self.assertTrue(0 <= seen.age < 60)
        self.expire("m")
        self.assertTrue(self.do(membership.look, me, 0.0).lapsed)
        self.assertFalse(self.do(membership.look, me, 0.0).lapsed)

    def test_late(self) -> None:
        """Who has just come, or come back, gives others the time to renew."""
        me = self.do(membership.join, Identity("m", 9))
        self.do(membership.join, Identity("n", 9))
        soonest = self.do(membership.look, me, 99.0).soonest
        self.assertTrue(9 < soonest <= 10)
        self.expire("n")
        lives = [self.do(membership.look, me, s).members[1].life for s in (0.0, 9.9, 10.0)]
        self.assertEqual(lives, [Life.LATE, Life.LATE, Life.DEAD])
        self.assertAlmostEqual(self.do(membership.look, me, 9.0).soonest, 1.0)

    def test_gone(self) -> None:
        """Who is gone does not come back while somebody adopts what it owes."""
        me = self.do(membership.join, Identity("m", 9))
        self.assertTrue(self.do(lease_proofs.lives, me))
        self.assertFalse(self.do(lease_proofs.isGone, "m"))
        self.expire("m")
        self.assertFalse(self.do(lease_proofs.lives, me))
        self.assertTrue(self.do(lease_proofs.isGone, "none"))
        with connect(self.conninfo, "test") as other:
            with self.connection.transaction():
                self.assertTrue(lease_proofs.isGone(self.connection, "m"))
                with self.assertRaises(psycopg.errors.QueryCanceled), other.transaction():
                    other.execute("SET LOCAL statement_timeout = 50")
                    membership.look(other, me, 0.0)
            with other.transaction():
                self.assertTrue(membership.look(other, me, 0.0).lapsed)
        self.assertFalse(self.do(lease_proofs.isGone, "m"))
        # It renews just now: nobody waits for it.
        self.expire("m")
        with connect(self.conninfo, "test") as other, other.transaction():
            membership.look(other, me, 0.0)
            self.assertFalse(self.do(lease_proofs.isGone, "m"))
        # Another process that has its name since is not itself.
        self.expire("m")
        self.do(membership.join, Identity("m", 9))
        self.assertFalse(self.do(lease_proofs.lives, me))
        self.assertFalse(self.do(lease_proofs.isGone, "m"))

    def test_forget(self) -> None:
        """Only a dead one."""
        self.do(membership.join, Identity("m", 9))
        self.assertIsNone(self.do(membership.forget, "none"))
        self.assertTrue(self.do(membership.forget, "m") > 0)
        self.expire("m")
        self.assertTrue(self.do(membership.forget, "m") < 0)
        self.assertIsNone(self.do(membership.forget, "m"))

    def test_drain(self) -> None:
        """A member can be asked to hand everything over, and to go on."""
        me = self.do(membership.join, Identity("m", 9))
        for draining in (True, False):
            self.assertTrue(self.do(membership.drain, "m", draining))
            self.assertEqual(self.do(membership.look, me, 0.0).members[0].draining, draining)
        self.assertFalse(self.do(membership.drain, "none", True))


class Places(_WithDatabase):
    """The places: claimed, handed over, proven."""

    def setUp(self) -> None:
        super().setUp()
        self.do(schema.migrate)
        self.one = self.do(membership.join, Identity("one", 50))
        self.two = self.do(membership.join, Identity("two", 50))

    def members(self, *dead: int) -> tuple[Member, ...]:
        self.connection.execute(
            "UPDATE iris_members SET expires = clock_timestamp() - interval '1 s' "
            "WHERE id = ANY(%s)",
            (list(dead),),
        )
        sight = self.do(membership.look, None, 99.0, exact=True)
        return tuple(sight.members)

    def test_livesAfterAll(self) -> None:
        """Nothing is taken from a member that was seen dead, and has renewed its lease since."""
        self.accounts(6)
        claimed = self.do(taking.claim, self.two, self.members(), 6)
        pulled = self.do(taking.pull, self.one, self.members(), Pull(self.two, 2))
        self.assertEqual((len(claimed), len(pulled)), (6, 2))
        seen = self.members(self.two)
        self.assertIs(seen[1].life, Life.DEAD)
        self.do(membership.look, self.two, 0.0)
        self.assertEqual(self.do(taking.claim, self.one, seen, 9), [])
        self.assertEqual(self.do(places.promote, self.one, seen), [])
        again = self.members(self.two)
        self.assertEqual(len(self.do(places.promote, self.one, again)), 2)
        self.assertEqual(len(self.do(taking.claim, self.one, again, 9)), 4)

    def accounts(self, number: int, copies: int = 1) -> None:
        some = [ClusterAccount(f"{n}@x.test", "t", copies=copies) for n in range(number)]
        self.do(accounts.add, self.keys, some)

    def test_claim(self) -> None:
        """Each place once, in a new epoch; both see who has how many."""
        self.accounts(10)
        got = self.do(taking.claim, self.one, self.members(), 4)
        self.assertEqual([(p.owner, p.epoch) for p in got], [(self.one, 1)] * 4)
        got += self.do(taking.claim, self.two, self.members(), 99)
        self.assertEqual(len({p.account for p in got}), 10)
        self.assertEqual([m.held for m in self.members()], [4, 6])
        sight = self.do(membership.look, None, 99.0)
        self.assertEqual((sight.waiting, sight.fresh), (0, 0))

    def test_twoCopies(self) -> None:
        """Two copies of an account are never on the same member."""
        self.accounts(5, copies=2)
        self.assertEqual(len(self.do(taking.claim, self.one, self.members(), 99)), 5)
        self.assertEqual(self.do(taking.claim, self.one, self.members(), 99), [])
        self.assertEqual(len(self.do(taking.claim, self.two, self.members(), 99)), 5)

    def test_manyAtOnce(self) -> None:
        """Members that claim at the same time share, and wait for nobody."""
        self.accounts(300, copies=2)
        members = self.members()
        ids = [self.do(membership.join, Identity(f"m{n}", 500)) for n in range(6)]
        members += tuple(Member(id, f"m{id}", 500) for id in ids)
        connections = [self.connect() for _ in ids]
        got: list[Place] = []

        def claim(id: int, connection: psycopg.Connection) -> None:
            for _ in range(10):
                with connection.transaction():
                    got.extend(taking.claim(connection, id, members, 30))

        threads = [
            threading.Thread(target=claim, args=pair) for pair in zip(ids, connections, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(got), len({(p.account, p.copy) for p in got}))
        self.assertEqual(len(got), len({(p.account, p.owner) for p in got}))
        self.assertEqual(len(got), 600)

    def test_handover(self) -> None:
        """The successor's calls are taken while the owner's are; then only its own."""
        self.accounts(3)
        self.do(taking.claim, self.one, self.members(), 99)
        (pulled,) = self.do(taking.pull, self.two, self.members(), Pull(self.one, 1))
        self.assertEqual((pulled.successor, pulled.owner), (self.two, self.one))
        key = pulled.account, pulled.copy
        name = f"{pulled.account - 1}@X.test"
        old, new = Right(name, 0, 1), Right(name, 0, 2)
        rights = [old, new, Right("none@x.test", 0, 1), old]
        self.assertEqual(self.do(places.holding, self.one, rights), [True, False, False, True])
        self.assertEqual(self.do(places.holding, self.two, rights), [False, True, False, False])
        # Not before it is connected.
        self.assertEqual(self.do(places.complete, self.one, [key]), [])
        self.do(places.makeReady, self.two, [key])
        (seen,) = self.do(membership.look, None, 99.0).handovers
        self.assertTrue(seen.ready)
        self.assertEqual(self.do(places.complete, self.one, [key]), [key])
        self.assertEqual(self.do(places.holding, self.one, [old, new]), [False, False])
        self.assertEqual(self.do(places.holding, self.two, [old, new]), [False, True])
        self.assertEqual([m.held for m in self.members()], [2, 1])

    def test_dark(self) -> None:
        """Who is not connected hands over at once, or lets go."""
        self.accounts(2)
        members = self.members()
        got = self.do(taking.claim, self.one, members, 99)
        keys = [(p.account, p.copy) for p in got]
        (pulled,) = self.do(taking.pull, self.two, members, Pull(self.one, 1))
        key = pulled.account, pulled.copy
        self.do(places.release, self.one, keys)
        self.assertEqual([m.held for m in self.members()], [1, 0])
        self.assertEqual(self.do(places.complete, self.one, keys, dark=True), [key])
        self.assertEqual([m.held for m in self.members()], [0, 1])
        self.assertEqual(self.do(membership.look, None, 99.0).waiting, 1)

    def test_least(self) -> None:
        """However many pull with an old view, the source keeps its share."""
        self.accounts(10)
        members = self.members()
        self.do(taking.claim, self.one, members, 99)
        self.assertEqual(len(self.do(taking.pull, self.two, members, Pull(self.one, 4, 5))), 4)
        self.assertEqual(len(self.do(taking.pull, self.two, members, Pull(self.one, 4, 5))), 1)
        self.assertIsNone(self.do(taking.pull, self.two, members, Pull(self.one, 4, 5)))

    def test_handoverBroken(self) -> None:
        """Where one of the two goes, the other one owns it."""
        self.accounts(4)
        members = self.members()
        self.do(taking.claim, self.one, members, 99)
        pulled = self.do(taking.pull, self.two, members, Pull(self.one, 2))
        keys = [(p.account, p.copy) for p in pulled]
        self.do(places.giveUp, self.two, keys[:1])
        self.assertEqual(len(self.do(membership.look, None, 99.0).handovers), 1)
        dead = self.members(self.one)
        (promoted,) = self.do(places.promote, self.two, dead)
        self.assertEqual((promoted.owner, promoted.epoch, promoted.successor), (self.two, 2, None))
        self.assertEqual(len(self.do(taking.claim, self.two, dead, 99)), 3)

    def test_successorGone(self) -> None:
        """The owner goes on when its successor is dead, or its row is gone."""
        self.accounts(2)
        self.do(taking.claim, self.one, self.members(), 99)
        self.do(taking.pull, self.two, self.members(), Pull(self.one, 1))
        self.do(places.withdraw, self.one, self.members(self.two))
        self.assertEqual(self.do(membership.look, None, 99.0).handovers, ())
        self.do(taking.pull, self.two, self.members(), Pull(self.one, 1))
        self.do(membership.leave, self.two)
        self.assertEqual(self.do(membership.look, None, 99.0).handovers, ())

    def test_zones(self) -> None:
        """A member of the same zone takes the second copy only when there is no other zone."""
        self.accounts(4, copies=2)
        a = [self.do(membership.join, Identity(n, 50, zone="a")) for n in ("a1", "a2")]
        b = self.do(membership.join, Identity("b", 50, zone="b"))
        self.connection.execute("DELETE FROM iris_members WHERE zone IS NULL")
        self.assertEqual(len(self.do(taking.claim, a[0], self.members(), 99)), 4)
        self.assertEqual(self.do(taking.claim, a[1], self.members(), 99), [])
        self.assertEqual(len(self.do(taking.claim, a[1], self.members(b), 99)), 4)
        # It is back.
        self.connection.execute(
            "UPDATE iris_members SET expires = clock_timestamp() + interval '9 s'"
        )
        repair = Pull(a[0], 20, repair=True)
        self.assertEqual(len(self.do(taking.pull, b, self.members(), repair)), 4)
        self.assertEqual(self.do(taking.pull, b, self.members(), repair), [])

    def test_fenceHolds(self) -> None:
        """Until a batch that proved itself is committed nobody takes its places."""
        self.accounts(1)
        (place,) = self.do(taking.claim, self.one, self.members(), 9)
        dead, other = self.members(self.one), self.connect()
        with self.connection.transaction():
            right = Right("0@x.test", place.copy, place.epoch)
            self.assertEqual(places.holding(self.connection, self.one, [right]), [True])
            with other.transaction():
                self.assertEqual(taking.claim(other, self.two, dead, 9), [])
        with other.transaction():
            self.assertEqual(len(taking.claim(other, self.two, dead, 9)), 1)
        self.assertEqual(self.do(places.holding, self.one, [right]), [False])
