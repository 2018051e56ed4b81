"""
What one member claims and pulls, and what it remembers for that from look to look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..net.steady_time import steadyTime
from . import taking
from .database import Database
from .fruitless import Fruitless
from .membership import Sight
from .ownership import Plan, View, missing, plan
from .values import LEASE, Life, Member, Place

__all__ = ["Decisions", "shortage"]


def shortage(members: Collection[Member], waiting: int) -> int:
    """For how many places that wait nobody has the capacity."""
    held = sum(member.held for member in members if member.life is not Life.DEAD)
    return min(waiting, missing(members, held + waiting))


class Decisions:
    """
    @param count: looks once more, and counts the places of each member.
    @ivar shortage: for how many places nobody has the capacity.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        database: Database,
        count: Callable[[], Deferred[Sight | None]],
    ) -> None:
        self._time = steadyTime(reactor)
        self._database = database
        self._count = count
        self._who: Any = None
        self._waiting: Any = None
        self._loads: Any = None
        self._since = 0.0
        self._fruitless = Fruitless()
        self.shortage = 0

    @property
    def waited(self) -> float:
        """Seconds since anything changed."""
        return self._time.seconds() - self._since

    def isFailover(self, sight: Sight) -> bool:
        """Whether places wait that somebody may soon claim."""
        return bool(sight.waiting) and self.waited < LEASE

    async def decide(
        self, me: int, sight: Sight, without: Collection[int] = ()
    ) -> tuple[list[Place], list[Place]] | None:
        """
        Claim and pull what the rules say.

        @param without: accounts of which it wants none.
        @return: what was claimed, and what this member is the successor of now; C{None} when
            there was nothing to do.
        """
        self._warn(sight)
        self._remember(sight)
        if plan(self._view(me, sight)) == Plan():
            return None
        # What the members said of themselves may be old.
        counted = await self._count()
        if counted is None:
            return None
        members = counted.members
        decided = plan(self._view(me, counted))
        claimed: list[Place] = []
        if decided.claim:
            work = partial(
                taking.claim, me=me, members=members, most=decided.claim, without=without
            )
            claimed = await self._database.run(work)
        pulled: list[Place] = []
        for wanted in decided.pulls:
            pull = partial(taking.pull, me=me, members=members, wanted=wanted, without=without)
            some = await self._database.run(pull)
            if some is not None and not some:
                self._fruitless.add(wanted.source)
            pulled += some or []
        return (claimed, pulled) if claimed or pulled else None

    def _remember(self, sight: Sight) -> None:
        """
        Since when nothing changes. By what the members say of themselves alone, which need
        not be what is counted: a dead one says what it had, others leave out what they cannot use.
        """
        who = [(m.id, m.life, m.draining, m.capacity) for m in sight.members]
        loads = [(m.held, m.going, m.coming) for m in sight.members]
        self._fruitless.see((who, sight.waiting), loads, self._time.seconds())
        if (who, sight.waiting, loads) != (self._who, self._waiting, self._loads):
            self._who, self._waiting, self._loads = who, sight.waiting, loads
            self._since = self._time.seconds()

    def _view(self, me: int, sight: Sight) -> View:
        fruitless = self._fruitless.sources
        return View(me, sight.members, sight.waiting, sight.fresh, self.waited, fruitless)

    def _warn(self, sight: Sight) -> None:
        """Say it when all together have too little capacity."""
        short = shortage(sight.members, sight.waiting)
        if short and not self.shortage:
            self._log.error(
                "the members have too little capacity: {short} places wait; start another one, "
                "or raise --capacity",
                short=short,
            )
        elif self.shortage and not short:
            self._log.warn("the members have enough capacity again")
        self.shortage = short
