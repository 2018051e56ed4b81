"""
A member of a cluster: looks at the others through the database, does what the rules say, and
tells the program around it which connections to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import psycopg
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..errors import DatabaseFailed, NotKept
from ..net.steady_time import steadyTime
from ..outbox.values import Place
from . import membership
from .database import Database
from .deciding import Decisions
from .draining import SOON, Draining
from .fence import Fence
from .holdings import Holdings
from .interfaces import IPlaceRunner
from .joining import Joining
from .key_file import Keys
from .lease import Lease
from .listening import Listening
from .membership import Identity, Sight
from .reconciling import Counts, Reconciler
from .rounds import AT_ONCE, Rounds
from .values import LEASE, RENEW, Life, Member
from .watching import Watching

__all__ = ["ClusterMember"]

_T = TypeVar("_T")

# Seconds between two adoptions of what the same dead members owed.
_ADOPT = 30.0
# Seconds for which a second process with a member's name waits for the first to be dead.
_TAKEN = LEASE + RENEW


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
    @param sure: called when its lease was in doubt, and is not any more: others may have adopted
        what this member owed to sinks before.
    @ivar fence: what it may write and give.
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
        sure: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self.identity = identity
        self._tellEnded = ended
        self._adopt = adopt
        self._tellSure = sure
        name = f"iris-twisted {identity.name}"
        self._database = Database(reactor, conninfo, name)
        self._watching = Watching(reactor, self._database)
        self._listening = Listening(reactor, conninfo, name, self._heard)
        self._lease = Lease(reactor)
        self.fence = Fence(self._lease)
        self._rounds = Rounds(reactor, self._look, self._mayGoOn)
        self._holdings = Holdings(reactor, runner, self._rounds.wake)
        self._reconciler = Reconciler(self._database, keys, self._holdings)
        self._joining = Joining(reactor, self._database, identity)
        self._draining = Draining(
            reactor,
            self._database,
            identity.name,
            self._holdings,
            self._others,
            self._count,
            self._rounds.wake,
        )
        self.decisions = Decisions(reactor, self._database, self._count)
        self.sight: Sight | None = None
        self.me: int | None = None
        self._adopted: tuple[list[str], float] = [], 0.0
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
    def counts(self) -> Counts:
        """What happened since the start."""
        return self._reconciler.counts

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
        if self.me is not None:
            await self._draining.drain(seconds)

    def hurry(self) -> None:
        """Hand nothing over any more."""
        self._draining.hurry()

    def _others(self) -> Iterable[Member]:
        if self.sight is None or not self.inTouch:
            return ()
        return [member for member in self.sight.members if member.id != self.me]

    async def _stop(self) -> None:
        await self._rounds.stop()
        await self._holdings.stop()
        me, self.me = self.me, None
        if me is not None:
            await self._runAtEnd(lambda c: membership.signOff(c, me))
        await self._listening.stop()

    def close(self) -> Deferred[None]:
        """
        Called last, when nothing is owed any more: leave, and fire when the connection to the
        database is closed.
        """
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        row, self.fence.row = self.fence.row, None
        if row is not None:
            await self._runAtEnd(lambda c: membership.leave(c, row))
        await self._database.close()

    async def _runAtEnd(self, work: Callable[[psycopg.Connection], None]) -> None:
        try:
            await self._database.run(work)
        except DatabaseFailed as e:
            self._log.warn("not signed off: {reason}", reason=e.message)

    def doubt(self) -> None:
        """A call was fenced: see what is still ours."""
        self._reconciler.doubt()
        self._rounds.wake()

    # Looking again and again

    def _heard(self, words: str) -> None:
        kind, _, whose = words.partition(" ")
        if kind != "places" or whose == str(self.me):
            self._rounds.wake()

    def _mayGoOn(self, error: DatabaseFailed) -> bool:
        """What lasts ends the program, but none that has connections."""
        # Nobody knows how far the database came.
        self._reconciler.doubt()
        if self.me is None and error.lasting and not self._holdings.keys:
            self._tellEnded(error)
            return False
        return True

    async def _look(self) -> float:
        """@return: seconds until the next look."""
        if self.me is None:
            me = await self._joining.join()
            if me is None:
                return self._joining.wait
            self.me = self._holdings.me = self.fence.row = me
            self.hasJoined = True
            self._reconciler.doubt()
        sight = await self._renew()
        if sight is None:
            await self._forgotten()
            return AT_ONCE
        await self._reconciler.learn(sight)
        drains = any(m.id == self.me and m.draining for m in sight.members)
        acted = await self._reconciler.handOver(sight, empty=drains and self._draining.isPossible)
        self._adoptFrom(sight)
        acted = await self._decide(sight) or acted
        return self._untilNext(acted)

    def _untilNext(self, acted: bool) -> float:
        if acted:
            return AT_ONCE
        sight = self.sight
        assert sight is not None
        # A lease is expired a little later than at its end.
        wait = min(RENEW, max(SOON, sight.soonest + 0.05))
        busy = self.decisions.isFailover(sight) or self._holdings.closed()
        return min(wait, SOON) if busy else wait

    async def _forgotten(self) -> None:
        """Somebody took our row: start again, with nothing."""
        self._log.error("this member is none any more: it begins anew")
        self.me = self.fence.row = None
        self._lease.lost()
        self._reconciler.forget()

    # Seeing

    def _count(self) -> Deferred[Sight | None]:
        return Deferred.fromCoroutine(self._renew(exact=True))

    async def _renew(self, *, exact: bool = False) -> Sight | None:
        sent, me = self._time.seconds(), self.me
        holdings = self._holdings
        owned, connected = holdings.owned, holdings.connected

        def look(connection: psycopg.Connection) -> Sight | None:
            watched = self._watching.seconds(connection)
            return membership.look(connection, me, watched, owned, connected, exact=exact)

        sight = await self._database.run(look)
        if sight is not None:
            if sight.lapsed:
                self._lease.lost()
                self._reconciler.doubt()
            before = self._lease.term
            self._lease.renewed(sent)
            self.sight = sight
            if self._lease.term not in (before, None):
                self._tellSure()
        return sight

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
        got = await self.decisions.decide(me, sight, self._reconciler.unreadable)
        if got is None:
            return False
        claimed, pulled = got
        self.counts.claimed += len(claimed)
        await self._reconciler.fetch([(place.account, place.copy) for place in claimed + pulled])
        return True
