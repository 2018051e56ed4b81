"""
A cluster in memory: what the database holds, and members that decide by the real rules.
"""

from __future__ import annotations

from collections import Counter

import attrs

from iris_twisted.cluster.fruitless import Fruitless
from iris_twisted.cluster.ownership import Plan, View, choose, plan, promoted
from iris_twisted.cluster.values import LEASE, Life, Member, Place


@attrs.define(eq=False)
class Row:
    """A member's row."""

    id: int
    name: str
    capacity: int
    zone: str | None
    expires: float
    joined: float
    draining: bool = False


@attrs.define(eq=False)
class Database:
    """
    What the SQL does, one transaction after the other.

    @ivar moves: how often each place was moved as planned since it was cleared.
    """

    now: float = 1000.0
    up: bool = True
    rows: dict[int, Row] = attrs.field(factory=dict)
    places: dict[tuple[int, int], Place] = attrs.field(factory=dict)
    moves: Counter[tuple[int, int]] = attrs.field(factory=Counter)

    def change(self, place: Place, **values: object) -> None:
        self.places[place.account, place.copy] = attrs.evolve(place, **values)

    def members(self, watching: float) -> tuple[Member, ...]:
        """As one sees them that watches since so many seconds."""
        places = self.places.values()
        held = Counter(p.owner for p in places)
        going = Counter(p.owner for p in places if p.successor is not None)
        coming = Counter(p.successor for p in places)
        return tuple(
            Member(
                row.id,
                row.name,
                row.capacity,
                row.zone,
                row.draining,
                Life.LIVE
                if row.expires > self.now
                else Life.DEAD
                if watching >= LEASE
                else Life.LATE,
                held[row.id],
                going[row.id],
                coming[row.id],
                self.now - row.joined,
            )
            for row in self.rows.values()
        )

    def holds(self, account: int, copy: int, epoch: int, member: int) -> bool:
        """The fence."""
        place = self.places.get((account, copy))
        if place is None:
            return False
        owns = place.owner == member and place.epoch == epoch
        return owns or (place.successor == member and place.epoch + 1 == epoch)

    def leave(self, id: int) -> None:
        """A row goes, and what it owns waits."""
        del self.rows[id]
        for place in list(self.places.values()):
            if place.owner == id:
                self.change(place, owner=None)
            elif place.successor == id:
                self.change(place, successor=None, ready=False)


@attrs.define(eq=False)
class Process:
    """
    A member as it runs.

    @ivar renewed: on its own clock, before the last renewal was sent.
    @ivar since: when it began to see the database without a gap.
    @ivar epochs: of the places that it connects for, by place.
    @ivar up: the places that it is connected for.
    """

    database: Database
    id: int
    renewed: float
    since: float
    reachable: bool = True
    paused: bool = False
    epochs: dict[tuple[int, int], int] = attrs.field(factory=dict)
    up: set[tuple[int, int]] = attrs.field(factory=set)
    fruitless: Fruitless = attrs.field(factory=Fruitless)
    seen: object = None
    seenAt: float = 0.0
    ended: bool = False

    @property
    def trusts(self) -> bool:
        """Whether it may take calls."""
        return self.database.now < self.renewed + LEASE

    def step(self) -> Plan | None:
        """Renew, look, act, as far as the database lets it."""
        database = self.database
        if self.paused or self.ended:
            return None
        if not self.reachable or not database.up:
            self.since = float("inf")
            return None
        row = database.rows.get(self.id)
        if row is None:
            self.epochs.clear()
            self.up.clear()
            self.ended = True
            return None
        if self.since == float("inf"):
            self.since = database.now
        row.expires = database.now + LEASE
        self.renewed = database.now
        self._look()
        members = database.members(database.now - self.since)
        for place in promoted(self.id, members, database.places.values()):
            database.change(
                place, owner=self.id, epoch=place.epoch + 1, successor=None, ready=False
            )
        members = database.members(database.now - self.since)
        view = self._view(members)
        decided = plan(view)
        taken = choose(self.id, members, database.places.values(), decided.claim)
        for place in taken:
            epoch = place.epoch + 1
            database.change(place, owner=self.id, epoch=epoch, successor=None, ready=False)
        for pull in decided.pulls:
            found = choose(
                self.id,
                members,
                database.places.values(),
                pull.most,
                pull.source,
                repair=pull.repair,
            )
            if not found:
                self.fruitless.add(pull.source)
            for place in found:
                database.change(place, successor=self.id, ready=False)
        self._look()
        return decided

    def _view(self, members: tuple[Member, ...]) -> View:
        database = self.database
        alive = {m.id for m in members if m.life is not Life.DEAD}
        waiting = [p for p in database.places.values() if p.owner not in alive]
        seen = tuple(attrs.evolve(m, age=0) for m in members), len(waiting)
        who = [(m.id, m.life, m.draining) for m in members]
        loads = [(m.held, m.going, m.coming) for m in members]
        self.fruitless.see(who, loads, database.now)
        if seen != self.seen:
            self.seen, self.seenAt = seen, database.now
        return View(
            self.id,
            members,
            len(waiting),
            sum(p.epoch == 0 for p in waiting),
            database.now - self.seenAt,
            self.fruitless.sources,
        )

    def _look(self) -> None:
        """Learn what is ours, close what is not, and finish what is under way."""
        database, mine = self.database, {}
        alive = {
            m.id for m in database.members(database.now - self.since) if m.life is not Life.DEAD
        }
        for key, place in list(database.places.items()):
            if place.successor == self.id:
                mine[key] = place.epoch + 1
                if key in self.up and not place.ready:
                    database.change(place, ready=True)
            elif place.owner == self.id and place.ready:
                # It closes, and then the successor is the owner.
                database.moves[key] += 1
                owner, epoch = place.successor, place.epoch + 1
                database.change(place, owner=owner, epoch=epoch, successor=None, ready=False)
            elif place.owner == self.id:
                mine[key] = place.epoch
                if place.successor is not None and place.successor not in alive:
                    database.change(place, successor=None)
        self.epochs = mine
        self.up &= set(mine)

    def connect(self) -> None:
        """All connections that are on the way are up."""
        if not self.paused and not self.ended:
            self.up = set(self.epochs)
