"""
The places of this member as it keeps them: which connections are up, on the way, or being
closed, and what the database has to be told about them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import NotKept
from ..net.steady_time import steadyTime
from ..outbox import values as outbox
from .interfaces import IPlaceRunner
from .places import Key
from .values import ClusterAccount, Kept, Place

__all__ = ["Holdings"]

# Seconds within which a successor must be connected.
_PATIENCE = 30.0


@attrs.define(eq=False)
class _Holding:
    """
    @ivar since: when it was begun, on the steady clock.
    @ivar told: whether the database knows that it is up.
    @ivar closing: whether it is being handed over.
    @ivar closed: whether that is done.
    """

    kept: Kept
    since: float
    up: bool = False
    told: bool = False
    closing: bool = False
    closed: bool = False


class Holdings:
    """
    @param changed: called when the database has to be told something.
    """

    _log = Logger()

    def __init__(self, reactor: Any, runner: IPlaceRunner, changed: Callable[[], None]) -> None:
        self._time = steadyTime(reactor)
        self._runner = runner
        self._changed = changed
        self._held: dict[Key, _Holding] = {}
        self._accounts: dict[str, _Holding] = {}
        self._stopping: set[Deferred[None]] = set()
        self.me = 0

    # What there is

    @property
    def keys(self) -> Collection[Key]:
        """All places."""
        return self._held.keys()

    @property
    def owned(self) -> int:
        """How many it owns."""
        return sum(holding.kept.place.owner == self.me for holding in self._held.values())

    @property
    def connected(self) -> int:
        """How many are connected right now."""
        return sum(self._isUp(holding) for holding in self._held.values())

    def accountOf(self, key: Key) -> ClusterAccount | None:
        """The account of a place that is here."""
        holding = self._held.get(key)
        return None if holding is None else holding.kept.account

    def right(self, routingId: str) -> outbox.Place:
        """
        By which right a call of this account is written.

        @raise NotKept: when there is none.
        """
        holding = self._accounts.get(routingId.lower())
        if holding is None:
            raise NotKept(f"another member keeps {routingId}")
        place = holding.kept.place
        epoch = place.epoch if place.owner == self.me else place.epoch + 1
        return outbox.Place(holding.kept.account.routingId, place.copy, epoch)

    def _isUp(self, holding: _Holding) -> bool:
        return not holding.closing and self._runner.isUp(holding.kept)

    # What the database says

    def found(self, kept: Mapping[Key, Kept], about: Iterable[Key] | None = None) -> None:
        """
        These are ours.

        @param about: what was asked about; what is not among C{kept} of that is not ours any
            more. C{None} for everything.
        """
        asked = list(self._held) if about is None else [key for key in about if key in self._held]
        for key in asked:
            if key not in kept:
                self.drop(key)
        for key, one in kept.items():
            holding = self._held.get(key)
            if holding is not None and holding.closed:
                # It was not handed over after all.
                self.drop(key)
                holding = None
            if holding is None:
                self._begin(key, one)
            else:
                before, holding.kept = holding.kept, one
                if before.account != one.account:
                    self._runner.change(one)

    def moved(self, places: Iterable[Place]) -> None:
        """These of ours have another owner or epoch."""
        for place in places:
            holding = self._held.get((place.account, place.copy))
            if holding is not None:
                holding.kept = attrs.evolve(holding.kept, place=place)

    def _begin(self, key: Key, kept: Kept) -> None:
        holding = self._held[key] = _Holding(kept, self._time.seconds())
        self._accounts[kept.account.routingId.lower()] = holding
        starting = self._runner.start(kept)

        def up(_: object) -> None:
            holding.up = True
            if kept.place.owner != self.me:
                self._changed()

        def failed(failure: Failure) -> None:
            self._log.failure("a bug in connecting {name}", failure, name=kept.account.routingId)

        starting.addCallback(up)
        starting.addErrback(failed)

    def drop(self, key: Key) -> None:
        """This is not ours any more."""
        holding = self._held.pop(key)
        routingId = holding.kept.account.routingId.lower()
        if self._accounts.get(routingId) is holding:
            del self._accounts[routingId]
        if not holding.closing:
            self._stop(holding)

    def _stop(self, holding: _Holding) -> Deferred[None]:
        stopping = self._runner.stop(holding.kept)
        self._stopping.add(stopping)

        def stopped(result: object) -> None:
            self._stopping.discard(stopping)
            if isinstance(result, Failure):
                self._log.failure("a bug in closing a connection", result)

        return stopping.addBoth(stopped)

    async def stop(self) -> None:
        """Close everything."""
        for key in list(self._held):
            self.drop(key)
        await gatherResults(list(self._stopping))

    # Handing over, as the successor

    def arrived(self) -> list[Key]:
        """Those that this member is the successor of, and connected, and nobody knows."""
        found = self._coming()
        return [key for key, holding in found if self._isUp(holding) and not holding.told]

    def told(self, keys: Iterable[Key]) -> None:
        """The database knows that these are connected."""
        for key in keys:
            if key in self._held:
                self._held[key].told = True

    def hopeless(self) -> list[Key]:
        """Those that it is the successor of, and has not connected in time."""
        latest = self._time.seconds() - _PATIENCE
        return [key for key, h in self._coming() if not self._isUp(h) and h.since < latest]

    def unsettled(self, handovers: Collection[Place]) -> list[Key]:
        """
        Those that it is the successor of as far as it knows, which do not stand among the
        handovers any more: it owns them now, or has lost them.
        """
        coming = {(p.account, p.copy) for p in handovers if p.successor == self.me}
        return [key for key, _ in self._coming() if key not in coming]

    def _coming(self) -> list[tuple[Key, _Holding]]:
        return [(k, h) for k, h in self._held.items() if h.kept.place.owner != self.me]

    # Handing over, as the owner

    def close(self, handovers: Iterable[Place]) -> None:
        """Close those whose successor is connected."""
        for place in handovers:
            holding = self._held.get((place.account, place.copy))
            if place.owner != self.me or holding is None or holding.closing or not place.ready:
                continue
            holding.closing = True
            self._stop(holding).addCallback(self._closed, holding)

    def _closed(self, _: None, holding: _Holding) -> None:
        holding.closed = True
        self._changed()

    def closed(self) -> list[Key]:
        """Those that are closed for their successors, and nobody knows."""
        return [key for key, holding in self._held.items() if holding.closed]

    def dark(self) -> list[Key]:
        """Those that it owns and is not connected for: nobody misses that they are gone."""
        return [
            key
            for key, holding in self._held.items()
            if holding.kept.place.owner == self.me
            and not holding.closing
            and not self._isUp(holding)
        ]
