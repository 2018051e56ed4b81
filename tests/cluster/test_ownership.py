"""
Who keeps which connection: the rules, checked on clusters that fall apart in any order.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster.ownership import (
    Plan,
    Pull,
    Share,
    View,
    choose,
    missing,
    plan,
    promoted,
    shares,
)
from iris_twisted.cluster.values import LEASE, RENEW, Life, Member, Place

from .model import Database, Process, Row


def member(id: int, held: int = 0, **others: Any) -> Member:
    """One with room for a thousand."""
    return Member(id, f"m{id}", **{"capacity": 1000, "held": held, **others})


class Cluster(RuleBasedStateMachine):
    """
    Members that die, pause, join, leave, and lose the database, in any order.
    """

    zones: tuple[str | None, ...] = (None,)

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.processes: dict[int, Process] = {}
        self.ids = 0
        self.faults = False

    @initialize(accounts=st.integers(1, 30), copies=st.integers(1, 3))
    def accounts(self, accounts: int, copies: int) -> None:
        for account in range(accounts):
            for copy in range(copies):
                self.database.places[account, copy] = Place(account, copy, None, 0)

    def alive(self) -> list[Process]:
        return [p for p in self.processes.values() if not p.ended]

    def pick(self, which: int) -> Process | None:
        alive = self.alive()
        return alive[which % len(alive)] if alive else None

    # What happens

    @precondition(lambda self: len(self.alive()) < 5)
    @rule(capacity=st.sampled_from([5, 40, 100]), data=st.data())
    def join(self, capacity: int, data: st.DataObject) -> None:
        if not self.database.up:
            return
        self.ids += 1
        zone = data.draw(st.sampled_from(self.zones))
        now = self.database.now
        self.database.rows[self.ids] = Row(
            self.ids, f"m{self.ids}", capacity, zone, now + LEASE, now
        )
        self.processes[self.ids] = Process(self.database, self.ids, now, now)

    @rule(which=st.integers(0, 9))
    def die(self, which: int) -> None:
        process = self.pick(which)
        if process is not None:
            process.ended, self.faults = True, True
            process.up.clear()
            process.epochs.clear()

    @rule(which=st.integers(0, 9))
    def pause(self, which: int) -> None:
        process = self.pick(which)
        if process is not None:
            process.paused, self.faults = not process.paused, True

    @rule(which=st.integers(0, 9))
    def partition(self, which: int) -> None:
        process = self.pick(which)
        if process is not None:
            process.reachable, self.faults = not process.reachable, True

    @rule()
    def databaseDies(self) -> None:
        self.database.up = not self.database.up

    @rule(which=st.integers(0, 9))
    def drain(self, which: int) -> None:
        process = self.pick(which)
        if process is not None and process.id in self.database.rows:
            self.database.rows[process.id].draining = True

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        """Who has handed everything over goes."""
        process = self.pick(which)
        if process is None or not self.database.up or not process.reachable or process.paused:
            return
        row = self.database.rows.get(process.id)
        if row is not None and row.draining and not process.epochs:
            process._look()
            if not process.epochs:
                self.database.leave(process.id)
                process.ended = True

    @rule(which=st.integers(0, 9))
    def connect(self, which: int) -> None:
        process = self.pick(which)
        if process is not None:
            process.connect()

    @rule(which=st.integers(0, 9))
    def step(self, which: int) -> None:
        process = self.pick(which)
        if process is not None:
            process.step()

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0, 9.0, 11.0]))
    def time(self, seconds: float) -> None:
        """Time passes; those who can renew their leases meanwhile."""
        end = self.database.now + seconds
        while self.database.now < end:
            self.database.now = min(end, self.database.now + 3.0)
            for process in self.alive():
                process.step()

    # What must hold, whatever happens

    @invariant()
    def oneCopyAMember(self) -> None:
        keepers: Counter[tuple[int, int]] = Counter()
        for place in self.database.places.values():
            for id in {place.owner, place.successor} - {None}:
                assert id is not None
                keepers[place.account, id] += 1
        assert not [key for key, count in keepers.items() if count > 1]

    @invariant()
    def withinCapacity(self) -> None:
        for seen in self.database.members(0.0):
            assert seen.held + seen.coming <= seen.capacity, seen

    @invariant()
    def oneOwner(self) -> None:
        """Of those who may take calls, each place has one, and perhaps its successor."""
        for process in self.processes.values():
            if process.trusts and not process.ended:
                for key, epoch in process.epochs.items():
                    place = self.database.places[key]
                    ours = self.database.holds(*key, epoch, process.id)
                    # Its successor has it, and it has not yet seen that it was to close.
                    assert ours or place.epoch > epoch
                    assert ours or self.faults or place.owner != process.id

    @invariant()
    def fenced(self) -> None:
        """Two members never pass the fence for one place, but an owner and its successor."""
        for key, place in self.database.places.items():
            passing = {
                process.id
                for process in self.processes.values()
                if key in process.epochs
                and self.database.holds(*key, process.epochs[key], process.id)
            }
            assert passing <= {place.owner, place.successor}

    @invariant()
    def neverDark(self) -> None:
        """
        As long as no member breaks, what is connected once is connected ever after, whatever
        becomes of the database.
        """
        connected = {key for p in self.processes.values() for key in p.up}
        if not self.faults:
            assert self.connectedOnce <= connected, self.connectedOnce - connected
        self.connectedOnce = connected

    connectedOnce: set[tuple[int, int]] = set()

    def rounds(self, most: int = 400) -> None:
        """Let them go on until nobody has anything to do."""
        quiet = 0
        for _ in range(most):
            self.database.now += 0.5
            before = dict(self.database.places)
            for process in self.alive():
                process.step()
                process.connect()
            for check in (self.oneCopyAMember, self.withinCapacity, self.oneOwner, self.fenced):
                check()
            quiet = quiet + 1 if before == self.database.places else 0
            if quiet > 30:
                return
        raise AssertionError("they do not come to rest")

    def teardown(self) -> None:
        """When nothing breaks any more, they come to rest: all is kept, and shared fairly."""
        database = self.database
        database.up = True
        for process in self.alive():
            process.paused, process.reachable = False, True
            process.step()
        for process in self.alive():
            database.rows[process.id].draining = False
        self.rounds()
        self.check()
        # One joins: each place moves once at most.
        if self.zones == (None,) and self.alive():
            self.join(100, _First())
            database.moves.clear()
            self.rounds()
            self.check()
            assert max(database.moves.values(), default=0) <= 1, database.moves

    def check(self) -> None:
        database = self.database
        members = database.members(LEASE)
        alive = {m.id: m for m in members if m.life is Life.LIVE}
        if not alive:
            return
        copies = max(copy for _, copy in database.places) + 1
        kept = [p for p in database.places.values() if p.owner in alive]
        # What two that died were handing over, and nobody has room for, stays as it was.
        moving = [p for p in database.places.values() if p.successor is not None]
        assert not [p for p in moving if {p.owner, p.successor} & alive.keys()], members
        enough = missing(members, len(database.places)) == 0 and copies <= len(alive)
        if enough and self.zones == (None,) and len({m.capacity for m in alive.values()}) == 1:
            assert len(kept) == len(database.places)
            for id, share in shares(members, len(database.places)).items():
                assert share.low * 0.9 - 1 <= alive[id].held <= share.high * 1.1 + 1, members
        if len(alive) > 1:
            rooms = {m.zone for m in alive.values() if m.room and m.zone is not None}
            for account, _ in database.places:
                zones = [alive[p.owner].zone for p in kept if p.account == account]
                named = [zone for zone in zones if zone is not None]
                assert len(set(named)) == len(named) or not rooms - set(named), members


class _First:
    def draw(self, _: object) -> None:
        return None


class ZonedCluster(Cluster):
    """The same, in two zones and a half."""

    zones = ("a", "b", None)


class Machines(SynchronousTestCase):
    """The clusters, run."""

    def explore(self, machine: type[Cluster]) -> None:
        chosen = settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=chosen)

    def test_cluster(self) -> None:
        """One owner a place, within the capacity; at rest all is kept, and shared fairly."""
        self.explore(Cluster)

    def test_zones(self) -> None:
        """The same with zones; no two copies in one while another has room."""
        self.explore(ZonedCluster)


class Shares(SynchronousTestCase):
    """How many places each member shall have."""

    def test_even(self) -> None:
        """The same for all, off by one where it is not even."""
        members = [member(1), member(2), member(3)]
        self.assertEqual(shares(members, 9), dict.fromkeys((1, 2, 3), Share(3, 3)))
        self.assertEqual(shares(members, 10), dict.fromkeys((1, 2, 3), Share(3, 4)))

    def test_capacity(self) -> None:
        """What the small ones cannot hold is for the others; what nobody can is told."""
        members = [member(1, capacity=2), member(2), member(3)]
        self.assertEqual(shares(members, 12), {1: Share(2, 2), 2: Share(5, 5), 3: Share(5, 5)})
        self.assertEqual(missing(members, 2002), 0)
        self.assertEqual(missing(members, 2005), 3)

    def test_whoCounts(self) -> None:
        """The dead and those that drain have no share; those that are late do."""
        members = [
            member(1),
            member(2, life=Life.DEAD),
            member(3, draining=True),
            member(4, life=Life.LATE),
        ]
        self.assertEqual(set(shares(members, 10)), {1, 4})


class Plans(SynchronousTestCase):
    """What a member does next."""

    def test_claims(self) -> None:
        """Up to the fair share at once, beyond it when nobody else does."""
        view = View(1, (member(1), member(2)), waiting=100)
        self.assertEqual(plan(view), Plan(claim=50))
        self.assertEqual(plan(attrs.evolve(view, waited=1.5)), Plan(claim=100))
        self.assertEqual(plan(attrs.evolve(view, waited=11.0)), Plan())

    def test_newMembersWait(self) -> None:
        """Who starts first does not take everything that is new; what was lost is taken."""
        view = View(1, (member(1, age=0.2),), waiting=9, fresh=9)
        self.assertEqual(plan(view), Plan())
        self.assertEqual(plan(attrs.evolve(view, fresh=8)), Plan(claim=9))
        self.assertEqual(plan(attrs.evolve(view, waited=3.0)), Plan(claim=9))

    def test_failoverFirst(self) -> None:
        """While something waits, or somebody is late, nothing is moved."""
        unfair = member(1), member(2, 100)
        self.assertEqual(plan(View(1, unfair)), Plan(pulls=(Pull(2, 20, 50),)))
        self.assertEqual(plan(View(1, unfair, waiting=1)).pulls, ())
        late = (*unfair, member(3, life=Life.LATE))
        self.assertEqual(plan(View(1, late)), Plan())

    def test_drain(self) -> None:
        """
        Who drains is relieved before anything else is moved, up to the fair share until each
        member has had time to look.
        """
        members = member(1), member(2, 90), member(3, 90, draining=True)
        self.assertEqual(plan(View(1, members)), Plan(pulls=(Pull(3, 90),)))
        self.assertEqual(plan(View(3, members)), Plan())
        full = member(1, 90), member(2, 80), member(3, 5, draining=True)
        self.assertEqual(plan(View(1, full)), Plan())
        self.assertEqual(plan(View(1, full, waited=RENEW)), Plan())
        self.assertEqual(plan(View(1, full, waited=RENEW + 1)), Plan(pulls=(Pull(3, 5),)))

    def test_balance(self) -> None:
        """A few at a time, from the most loaded, and nothing for a few per cent."""
        members = member(1), member(2, 100), member(3, 120)
        self.assertEqual(plan(View(1, members)), Plan(pulls=(Pull(3, 20, 73),)))
        under = member(1, coming=15), member(2, 100), member(3, 120, going=15)
        self.assertEqual(plan(View(1, under)).pulls[0].most, 5)
        self.assertEqual(plan(View(2, members)), Plan())
        self.assertEqual(plan(View(1, (member(1, 96), member(2, 104)))), Plan())
        self.assertEqual(plan(View(1, members, fruitless=frozenset({2, 3}))), Plan())

    def test_whoNeedsMost(self) -> None:
        """
        Nobody takes more than it needs while another one is far below its share: that one would
        have to take it from there. If it cannot, somebody else does.
        """
        members = member(1, 120), member(2, 97), member(3, 80)
        self.assertEqual(plan(View(2, members)), Plan())
        self.assertEqual(plan(View(3, members)).pulls[0].source, 1)
        late = View(2, members, waited=RENEW + 1)
        self.assertEqual(plan(late), Plan(pulls=(Pull(1, 2, 99),)))

    def test_copies(self) -> None:
        """Two copies are never on one member, nor in one zone while there is another."""
        members = [member(1, zone="a"), member(2, zone="a"), member(3, zone="b")]
        places = [Place(7, 0, 1, 4), Place(7, 1, None, 2)]
        self.assertEqual(choose(1, members, places, 9), [])
        self.assertEqual(choose(2, members, places, 9), [])
        self.assertEqual(choose(3, members, places, 9), [places[1]])
        members[2] = member(3, zone="b", life=Life.DEAD)
        self.assertEqual(choose(2, members, places, 9), [places[1]])
        self.assertEqual(choose(2, members, places, 0), [])

    def test_zoneThatIsLeft(self) -> None:
        """A zone that a copy is just leaving counts as one without: the next may go there."""
        members = [
            member(1, 5, zone="b"),
            member(2, 5, zone="a"),
            member(3, 5),
            member(4, zone="a"),
            member(5, zone="b"),
        ]
        places = [Place(7, 0, 1, 4, successor=2), Place(7, 1, None, 2), Place(8, 0, 3, 2)]
        self.assertEqual(choose(4, members, places, 9), [])
        members[4] = member(5, zone="b", capacity=0)
        members[0] = member(1, 5, zone="b", capacity=5)
        self.assertEqual(choose(4, members, places, 9), [places[1]])

    def test_whereItIs(self) -> None:
        """From who names no zone nothing is moved into one with a copy, unless it must go."""
        members = [member(1, 5), member(2, 5, zone="a"), member(3, zone="a")]
        places = [Place(7, 0, 1, 4), Place(7, 1, 2, 2)]
        self.assertEqual(choose(3, members, places, 9, 1), [])
        members[0] = member(1, 5, draining=True)
        self.assertEqual(choose(3, members, places, 9, 1), [places[0]])

    def test_successorFirst(self) -> None:
        """What a dead member was handing over is for its successor, not for others."""
        members = [member(1, life=Life.DEAD), member(2), member(3)]
        place = Place(7, 0, 1, 4, successor=2)
        self.assertEqual(choose(3, members, [place], 9), [])
        self.assertEqual(promoted(2, members, [place]), [place])
        self.assertEqual(promoted(3, members, [place]), [])

    def test_repair(self) -> None:
        """When a zone comes back, it takes what two of another one keep."""
        members = [member(1, 5, zone="a"), member(2, 5, zone="a"), member(3, 5, zone="b")]
        self.assertEqual(plan(View(3, tuple(members))).pulls, (Pull(1, 20, repair=True),))
        places = [Place(7, 0, 1, 4), Place(7, 1, 2, 2), Place(8, 0, 1, 1), Place(8, 1, 3, 1)]
        self.assertEqual(choose(3, members, places, 9, 1, repair=True), [places[0]])

    def test_repairedForGood(self) -> None:
        """More copies than zones: what makes it no better is not moved back and forth."""
        members = [member(n, 5, zone=zone) for n, zone in enumerate("abba", 1)]
        places = [Place(7, 0, 1, 4), Place(7, 1, 2, 2), Place(7, 2, 3, 2)]
        self.assertEqual(choose(4, members, places, 9, 2, repair=True), [])
        self.assertEqual(choose(4, members, places, 9, 2), [places[1]])
