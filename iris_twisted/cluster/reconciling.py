"""
What a member has, here and in the database, kept the same: what the database says is begun and
closed here, and what happens here is written there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs
from twisted.logger import Logger

from . import accounts, membership, places
from .database import Database
from .holdings import Holdings
from .key_file import Keys
from .membership import Sight
from .places import Key
from .values import Kept, Place

__all__ = ["Counts", "Reconciler"]


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


class Reconciler:
    """
    @param keys: decrypt the accounts' secrets.
    @ivar holdings: what there is here.
    @ivar counts: what happened.
    @ivar unreadable: the numbers of the accounts that no key here decrypts.
    """

    _log = Logger()

    def __init__(self, database: Database, keys: Keys, holdings: Holdings) -> None:
        self._database = database
        self._keys = keys
        self.holdings = holdings
        self.counts = Counts()
        self._changes: int | None = None
        self._said: set[str] = set()
        self.unreadable: set[int] = set()

    def doubt(self) -> None:
        """Look at everything next time."""
        self._changes = None
        self.unreadable.clear()

    def forget(self) -> None:
        """Nothing is ours any more."""
        self.doubt()
        self.counts.lost += self.holdings.owned
        for key in list(self.holdings.keys):
            self.holdings.drop(key)

    async def learn(self, sight: Sight) -> None:
        """Find out what is ours, as far as that may have changed."""
        if self.unreadable and self._keys.areOld:
            self._said.clear()
            self.doubt()
        if sight.lapsed or self._changes is None:
            before = self.holdings.owned
            await self.fetch(None)
            if sight.lapsed and self.holdings.owned < before:
                self.counts.lost += before - self.holdings.owned
        else:
            asked = set(self.holdings.unsettled(sight.handovers))
            if sight.changes != self._changes:
                changes = self._changes
                changed = set(await self._database.run(lambda c: accounts.changedSince(c, changes)))
                self.unreadable -= changed
                asked |= {key for key in self.holdings.keys if key[0] in changed}
            if asked:
                await self.fetch(asked)
        self._changes = sight.changes

    async def fetch(self, about: Collection[Key] | None) -> None:
        """Ask the database whose these are."""
        me = self.holdings.me
        refused: dict[Place, str] = {}
        some = None if about is None else {account for account, _ in about}
        kept: dict[Key, Kept] = await self._database.run(
            lambda c: accounts.kept(c, self._keys, me, some, refused=refused)
        )
        await self._cannotRead(refused, kept)
        came = [
            key
            for key, one in kept.items()
            if one.place.owner == me and key in self.holdings.unsettled(())
        ]
        self.counts.moved += len(came)
        self.holdings.found(kept, about)

    async def _cannotRead(self, refused: Mapping[Place, str], kept: dict[Key, Kept]) -> None:
        """What is connected stays as it is; the rest is for members that have the key."""
        strange: list[Key] = []
        for place, words in refused.items():
            key = place.account, place.copy
            account = self.holdings.accountOf(key)
            if account is None:
                strange.append(key)
            else:
                kept[key] = Kept(place, account)
            self.unreadable.add(place.account)
            if words not in self._said:
                self._said.add(words)
                left = "is left to other members" if account is None else "stays as it was"
                self._log.error("{reason}; that account {left}", reason=words, left=left)
        if strange:
            me = self.holdings.me
            await self._database.run(lambda c: places.giveBack(c, me, strange))

    async def handOver(self, sight: Sight, *, empty: bool) -> bool:
        """
        What is under way with other members.

        @param empty: let go of what is not connected.
        @return: whether there was something to do.
        """
        holdings, run = self.holdings, self._database.run
        me = holdings.me
        acted = False
        arrived = holdings.arrived()
        if arrived:
            await run(lambda c: places.makeReady(c, me, arrived))
            holdings.told(arrived)
        hopeless = holdings.hopeless()
        if hopeless:
            given = await run(lambda c: places.giveUp(c, me, hopeless))
            for key in given:
                holdings.drop(key)
            if len(given) < len(hopeless):
                self.doubt()
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
        unused = [key for key in holdings.dark() if key not in dark] if empty else []
        if unused:
            acted = True
            await run(lambda c: places.release(c, me, unused))
            await self.fetch(unused)
        return acted

    async def _complete(self, keys: Collection[Key], *, dark: bool) -> None:
        me = self.holdings.me
        gone = await self._database.run(lambda c: places.complete(c, me, keys, dark=dark))
        self.counts.gone += len(gone)
        for key in gone:
            self.holdings.drop(key)
        kept = set(keys) - set(gone)
        if kept:
            await self.fetch(kept)
