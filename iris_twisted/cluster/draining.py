"""
How a member hands over everything that it has, before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..errors import DatabaseFailed
from ..net.steady_time import steadyTime
from . import membership
from .database import Database
from .holdings import Holdings
from .values import Member

__all__ = ["SOON", "Draining"]

# Seconds until the next look while something is under way.
SOON = 0.3


class Draining:
    """
    @param name: of the member.
    @param holdings: what it has.
    @param others: the other members as it saw them last; none while it is not in touch with them.
    @param look: at them now.
    @param wake: has it look again.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        database: Database,
        name: str,
        holdings: Holdings,
        others: Callable[[], Iterable[Member]],
        look: Callable[[], Deferred[Any]],
        wake: Callable[[], None],
    ) -> None:
        self._time = steadyTime(reactor)
        self._database = database
        self._name = name
        self._holdings = holdings
        self._others = others
        self._look = look
        self._wake = wake
        self._hurried = False

    @property
    def isPossible(self) -> bool:
        """Whether there is something to hand over, and somebody who takes it."""
        takers = (m for m in self._others() if m.receives and (m.room or m.coming))
        return bool(self._holdings.keys) and any(takers)

    async def drain(self, seconds: float) -> None:
        """See L{ClusterMember.drain<iris_twisted.cluster.member.ClusterMember.drain>}."""
        deadline = self._time.seconds() + seconds
        try:
            await self._database.run(lambda c: membership.drain(c, self._name, True))
            # Somebody may have come since the last look.
            await self._look()
        except DatabaseFailed as e:
            self._log.warn("nothing is handed over: {reason}", reason=e.message)
            return
        self._hurried = False
        while self.isPossible and self._time.seconds() < deadline and not self._hurried:
            self._wake()
            await deferLater(self._time, SOON)
        if self._holdings.keys:
            left = len(self._holdings.keys)
            self._log.warn("{left} places were not handed over", left=left)

    def hurry(self) -> None:
        """Hand nothing over any more."""
        self._hurried = True
        self._wake()
