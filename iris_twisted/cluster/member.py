"""
A member of a cluster: looks at the others through the database, does what the rules say, and
tells the program around it which connections to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import attrs
import psycopg
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import DatabaseFailed, NotKept
from ..net.steady_time import steadyTime
from ..outbox.interfaces import IFence
from ..outbox.values import Place
from . import accounts, membership, places, schema
from .accounts import Kept
from .database import Database
from .deciding import Decisions
from .holdings import Holdings
from .interfaces import IPlaceRunner
from .key_file import Keys
from .lease import Lease
from .listening import Listening
from .membership import Identity, Sight, Taken
from .places import Key
from .rounds import AT_ONCE, Rounds
from .values import LEASE, RENEW, Life

__all__ = ["ClusterMember", "Counts"]

_T = TypeVar("_T")

# Seconds until the next look while something is under way.
_SOON = 0.3
# Seconds between two adoptions of what the same dead members owed.
_ADOPT = 30.0
# Seconds for which a second process with a member's name waits for the first to be dead.
_TAKEN = LEASE + RENEW


@attrs.define
class Counts:
    """
    What happened since the start.

    @ivar claimed: places that nobody kept.
    @ivar moved: places that came from another member as planned.
    @ivar gone: places that went to another one as planned.
    @ivar lost: places that others claimed while this one was out of sight.
    """

    claimed: int = 0
    moved: int = 0
    gone: int = 0
    lost: int = 0


@implementer(IFence)
class ClusterMember(Service):
    """
    @param conninfo: where the database is.
    @param identity: what this member says of itself.
    @param keys: decrypt the accounts' secrets.
    @param runner: keeps the connections.
    @param ended: called with the reason when it cannot go on, and somebody has to change
        something.
    @param adopt: called with the names of members that are dead, and from time to time as
        long as they are: what they owed to sinks is to be delivered by those who live.
    @param lapsed: called when the lease had expired, and it goes on: others may have adopted what
        this member owes to sinks.
    @ivar counts: what happened.
    @ivar hasJoined: whether it was a member at some time.
    @ivar sight: what it saw last; C{None} before.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        conninfo: str,
        identity: Identity,
        keys: Keys,
        runner: IPlaceRunner,
        ended: Callable[[DatabaseFailed], None],
        adopt: Callable[[Sequence[str]], None],
        lapsed: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self.identity = identity
        self._keys = keys
        self._tellEnded = ended
        self._adopt = adopt
        self._lapsed = lapsed
        name = f"iris-twisted {identity.name}"
        self._database = Database(reactor, conninfo, name)
        self._listening = Listening(reactor, conninfo, name, self._heard)
        self._lease = Lease(reactor)
        self._rounds = Rounds(reactor, self._look, self._mayGoOn)
        self._holdings = Holdings(reactor, runner, self._rounds.wake)
        self.decisions = Decisions(reactor, self._database, self._count)
        self.counts = Counts()
        self.sight: Sight | None = None
        self.me: int | None = None
        self._takenSince: float | None = None
        self._changes: int | None = None
        self._adopted: tuple[list[str], float] = [], 0.0
        self._said: set[str] = set()
        self._hurried = False
        self.hasJoined = False

    # How it is

    @property
    def inTouch(self) -> bool:
        """Whether it may rely on what it owns: its lease holds."""
        return self.me is not None and self._lease.holds

    @property
    def sinceRenewal(self) -> float | None:
        """Seconds since the last renewal of the lease was sent; C{None} before the first."""
        return self._lease.age

    @property
    def owned(self) -> int:
        """How many places it owns."""
        return self._holdings.owned

    def right(self, routingId: str) -> Place:
        """
        By which right a call of this account is written.

        @raise NotKept: when this member does not own it, or cannot know whether it does.
        """
        if not self.inTouch:
            raise NotKept("the database of the cluster is out of reach")
        return self._holdings.right(routingId)

    def holding(self, cursor: Any, rights: Sequence[Place]) -> Sequence[bool]:
        me = self.me
        if me is None or not self._lease.holds:
            return [False] * len(rights)
        return places.holding(cursor, me, rights)

    def run(self, work: Callable[[psycopg.Connection], _T]) -> Deferred[_T]:
        """See L{Database.run}."""
        return self._database.run(work)

    # Starting and stopping

    def startService(self) -> None:
        super().startService()
        self._listening.start()
        self._rounds.wake()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def drain(self, seconds: float) -> None:
        """
        Hand everything over, for so long and no longer; at once when nobody is there to take it.
        """
        deadline = self._time.seconds() + seconds
        if self.me is None:
            return
        try:
            name = self.identity.name
            await self._database.run(lambda c: membership.drain(c, name, True))
        except DatabaseFailed as e:
            self._log.warn("nothing is handed over: {reason}", reason=e.message)
            return
        self._hurried = False
        while self._mayDrain() and self._time.seconds() < deadline and not self._hurried:
            self._rounds.wake()
            await deferLater(self._time, _SOON)
        if self._holdings.keys:
            left = len(self._holdings.keys)
            self._log.warn("{left} places were not handed over", left=left)

    def hurry(self) -> None:
        """Hand nothing over any more."""
        self._hurried = True
        self._rounds.wake()

    def _mayDrain(self) -> bool:
        """Whether there is something to hand over, and somebody who takes it."""
        sight = self.sight
        if sight is None or self.me is None or not self._holdings.keys or not self.inTouch:
            return False
        return any(m.receives and (m.room or m.coming) for m in sight.members if m.id != self.me)

    async def _stop(self) -> None:
        await self._rounds.stop()
        await self._holdings.stop()
        me, self.me = self.me, None
        if me is not None:
            try:
                await self._database.run(lambda c: membership.leave(c, me))
            except DatabaseFailed as e:
                self._log.warn("not signed off: {reason}", reason=e.message)
        await self._listening.stop()

    def close(self) -> Deferred[None]:
        """Called last: fires when the connection to the database is closed."""
        return self._database.close()

    def doubt(self) -> None:
        """A call was fenced: see what is still ours."""
        self._changes = None
        self._rounds.wake()

    # Looking again and again

    def _heard(self, words: str) -> None:
        kind, _, whose = words.partition(" ")
        if kind != "places" or whose == str(self.me):
            self._rounds.wake()

    def _mayGoOn(self, error: DatabaseFailed) -> bool:
        """What lasts ends the program, but none that has connections."""
        if self.me is None and error.lasting and not self._holdings.keys:
            self._tellEnded(error)
            return False
        return True

    async def _look(self) -> float:
        """@return: seconds until the next look."""
        if self.me is None:
            wait = await self._join()
            if wait is not None:
                return wait
        sight = await self._renew()
        if sight is None:
            await self._forgotten()
            return AT_ONCE
        await self._learn(sight)
        acted = await self._handOver(sight)
        self._adoptFrom(sight)
        acted = await self._decide(sight) or acted
        return self._untilNext(acted)

    def _untilNext(self, acted: bool) -> float:
        if acted:
            return AT_ONCE
        sight = self.sight
        assert sight is not None
        # A lease is expired a little later than at its end.
        wait = min(RENEW, max(_SOON, sight.soonest + 0.05))
        busy = self.decisions.isFailover(sight) or self._holdings.closed()
        return min(wait, _SOON) if busy else wait

    # Becoming a member

    async def _join(self) -> float | None:
        """@return: seconds to wait before it is tried again; C{None} when it has joined."""
        sent = self._time.seconds()

        def join(connection: psycopg.Connection) -> int | Taken:
            schema.migrate(connection)
            return membership.join(connection, self.identity)

        found = await self._database.run(join)
        if isinstance(found, Taken):
            return self._taken(found)
        self.me = self._holdings.me = found
        self._lease.renewed(sent)
        self._takenSince = self._changes = None
        self.hasJoined = True
        self._log.info("a member of the cluster, as {name}", name=self.identity.name)
        return None

    def _taken(self, found: Taken) -> float:
        now = self._time.seconds()
        if self._takenSince is None:
            self._takenSince = now
            self._log.warn(
                "another process is the member {name} (on {host}, process {process}): waiting "
                "for its lease to expire",
                name=self.identity.name,
                host=found.host,
                process=found.process,
            )
        if now - self._takenSince > _TAKEN:
            raise DatabaseFailed(
                f"another process is the member {self.identity.name!r} (on {found.host}, "
                f"process {found.process}), and lives: choose another name with --member",
                lasting=True,
            )
        return min(found.left + 0.05, RENEW)

    async def _forgotten(self) -> None:
        """Somebody took our row: start again, with nothing."""
        self._log.error("this member is none any more: it begins anew")
        self.counts.lost += self._holdings.owned
        self.me = None
        self._lease.lost()
        self._lapsed()
        for key in list(self._holdings.keys):
            self._holdings.drop(key)

    # Seeing

    def _count(self) -> Deferred[Sight | None]:
        return Deferred.fromCoroutine(self._renew(exact=True))

    async def _renew(self, *, exact: bool = False) -> Sight | None:
        sent, me = self._time.seconds(), self.me
        holdings = self._holdings
        owned, connected = holdings.owned, holdings.connected

        def look(connection: psycopg.Connection) -> Sight | None:
            watching = self._database.watching
            return membership.look(connection, me, watching, owned, connected, exact=exact)

        sight = await self._database.run(look)
        if sight is not None:
            self._lease.renewed(sent)
            self.sight = sight
        return sight

    async def _learn(self, sight: Sight) -> None:
        """Find out what is ours, as far as that may have changed."""
        me = self.me
        assert me is not None
        if sight.lapsed:
            self._lapsed()
        if sight.lapsed or self._changes is None:
            before = self._holdings.owned
            await self._fetch(None)
            if sight.lapsed and self._holdings.owned < before:
                self.counts.lost += before - self._holdings.owned
        else:
            asked = set(self._holdings.unsettled(sight.handovers))
            if sight.changes != self._changes:
                changes = self._changes
                changed = set(await self._database.run(lambda c: accounts.changedSince(c, changes)))
                asked |= {key for key in self._holdings.keys if key[0] in changed}
            if asked:
                await self._fetch(asked)
        self._changes = sight.changes

    async def _fetch(self, about: Collection[Key] | None) -> None:
        """Ask the database whose these are."""
        me = self.me
        assert me is not None
        refused: list[str] = []
        some = None if about is None else {account for account, _ in about}
        kept: dict[Key, Kept] = await self._database.run(
            lambda c: accounts.kept(c, self._keys, me, some, refused=refused)
        )
        self._say(refused)
        came = [
            key
            for key, one in kept.items()
            if one.place.owner == me and key in self._holdings.unsettled(())
        ]
        self.counts.moved += len(came)
        self._holdings.found(kept, about)

    def _say(self, refused: Collection[str]) -> None:
        for words in refused:
            if words not in self._said:
                self._said.add(words)
                self._log.error("{reason}; that account is left out", reason=words)

    # Acting

    async def _handOver(self, sight: Sight) -> bool:
        """What is under way with other members."""
        me, holdings, run = self.me, self._holdings, self._database.run
        assert me is not None
        acted = False
        arrived = holdings.arrived()
        if arrived:
            await run(lambda c: places.makeReady(c, me, arrived))
            holdings.told(arrived)
        hopeless = holdings.hopeless()
        if hopeless:
            await run(lambda c: places.giveUp(c, me, hopeless))
            for key in hopeless:
                holdings.drop(key)
        mine = [p for p in sight.handovers if p.owner == me]
        dead = set(membership.deadOf(sight.members))
        if any(place.successor in dead for place in mine):
            await run(lambda c: places.withdraw(c, me, sight.members))
        if any(p.successor == me and (p.owner is None or p.owner in dead) for p in sight.handovers):
            promoted = await run(lambda c: places.promote(c, me, sight.members))
            self.counts.claimed += len(promoted)
            holdings.moved(promoted)
        holdings.close(mine)
        closed = holdings.closed()
        if closed:
            acted = True
            await self._complete(closed, dark=False)
        waiting = {(p.account, p.copy) for p in mine if not p.ready}
        dark = set(holdings.dark()) & waiting if waiting else set()
        if dark:
            await self._complete(dark, dark=True)
        if any(m.id == me and m.draining for m in sight.members):
            unused = [key for key in holdings.dark() if key not in dark]
            if unused and self._mayDrain():
                acted = True
                await run(lambda c: places.release(c, me, unused))
                await self._fetch(unused)
        return acted

    async def _complete(self, keys: Collection[Key], *, dark: bool) -> None:
        me = self.me
        assert me is not None
        gone = await self._database.run(lambda c: places.complete(c, me, keys, dark=dark))
        self.counts.gone += len(gone)
        for key in gone:
            self._holdings.drop(key)
        kept = set(keys) - set(gone)
        if kept:
            await self._fetch(kept)

    def _adoptFrom(self, sight: Sight) -> None:
        names = [member.name for member in sight.members if member.life is Life.DEAD]
        before, since = self._adopted
        now = self._time.seconds()
        if names and (names != before or now - since > _ADOPT):
            self._adopted = names, now
            self._adopt(names)

    async def _decide(self, sight: Sight) -> bool:
        """@return: whether there was something to do."""
        me = self.me
        assert me is not None
        got = await self.decisions.decide(me, sight)
        if got is None:
            return False
        claimed, pulled = got
        self.counts.claimed += len(claimed)
        await self._fetch([(place.account, place.copy) for place in claimed + pulled])
        return True
