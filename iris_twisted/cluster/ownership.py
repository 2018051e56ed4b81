"""
Who keeps which connection: the rules, without I/O.

Each member decides for itself, from what it sees in the database; nobody decides for all.
It I{claims} places that nobody keeps, and I{pulls} places from members that drain or have
more than their share: of these it is the successor first, and connects before the owner
closes. Claims and pulls are bounded by the member's fair share, so that members which
decide at the same time do not take from each other what they give back later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from .values import RENEW, Life, Member, Place

__all__ = ["Plan", "Pull", "Share", "View", "choose", "missing", "plan", "promoted", "shares"]

# Seconds for which those who start together wait for each other before the first claims.
_SETTLE = 1.0
# Seconds after which places that nobody claims within its share are claimed beyond it.
_PATIENCE = 1.0
# The same for places that somebody hands over, who keeps them until then: by then each member has
# looked. What one takes for another that is only slow is moved a second time.
_UNHURRIED = RENEW + _PATIENCE
# Seconds after which places that nobody can claim do not count as a failover any more: they
# wait for a change.
_STUCK = 10.0
# How many places a member is the successor of at a time, when another one drains, and when
# it is only for the balance.
_DRAINED = 200
_MOVED = 20
# The part of its share by which a member may be off before anything is moved for that.
_TOLERANCE = 0.05
# How many places are claimed by one statement.
_CLAIMED = 1000


@attrs.frozen
class Share:
    """How many places a member shall have: C{low}, or C{high}, one more, when it is not even."""

    low: int
    high: int


@attrs.frozen
class View:
    """
    What a member sees.

    @ivar me: its id.
    @ivar members: all, with itself.
    @ivar waiting: how many places nobody keeps: they have no owner, or a dead one.
    @ivar fresh: how many of those never had an owner.
    @ivar waited: seconds since anything else of this changed.
    @ivar fruitless: the members from which nothing could be pulled of late.
    """

    me: int
    members: tuple[Member, ...]
    waiting: int = 0
    fresh: int = 0
    waited: float = 0.0
    fruitless: frozenset[int] = frozenset()

    @property
    def places(self) -> int:
        """How many places there are."""
        held = sum(member.held for member in self.members if member.life is not Life.DEAD)
        return held + self.waiting


@attrs.frozen
class Pull:
    """
    To become the successor of some of another member's places.

    @ivar least: how many it shall keep.
    @ivar repair: only of those that share a zone with another copy of their account.
    """

    source: int
    most: int
    least: int = 0
    repair: bool = False


@attrs.frozen
class Plan:
    """
    What a member does next.

    @ivar claim: how many places that wait it takes at most.
    @ivar pulls: what it asks of others.
    """

    claim: int = 0
    pulls: tuple[Pull, ...] = ()


def _expected(members: Iterable[Member]) -> list[Member]:
    """Those among whom the places are shared. A late one is likely to come back."""
    return [m for m in members if m.life is not Life.DEAD and not m.draining]


def shares(members: Iterable[Member], places: int) -> dict[int, Share]:
    """
    The fair share of each member that counts: the same for all, but where that is more than
    the capacity of some the others have more.
    """
    # Those with the least capacity first: what they cannot hold is for the others.
    rest = sorted(_expected(members), key=lambda member: member.capacity)
    found: dict[int, Share] = {}
    while rest and rest[0].capacity <= places // len(rest):
        member = rest.pop(0)
        found[member.id] = Share(member.capacity, member.capacity)
        places -= member.capacity
    if rest:
        even, over = divmod(places, len(rest))
        found |= dict.fromkeys((m.id for m in rest), Share(even, even + bool(over)))
    return found


def missing(members: Iterable[Member], places: int) -> int:
    """For how many places all members together have too little capacity."""
    return max(0, places - sum(member.capacity for member in _expected(members)))


def plan(view: View) -> Plan:
    """What the member does next."""
    members = {member.id: member for member in view.members}
    me = members[view.me]
    if not me.receives:
        return Plan()
    share = shares(view.members, view.places)
    mine = share[me.id]
    impatient = view.waited >= _PATIENCE
    bound = me.room if impatient else min(me.room, max(0, mine.high - me.load))
    if view.waiting and view.waited < _STUCK:
        # A failover is under way: moves have time.
        return Plan(claim=0 if _pauses(view) else min(bound, view.waiting, _CLAIMED))
    if any(member.life is Life.LATE for member in view.members):
        return Plan()
    drained = [m for m in view.members if m.life is Life.LIVE and m.draining and m.held]
    if drained:
        return Plan(pulls=_drain(view, me, mine, drained))
    return Plan(pulls=_balance(view, me, mine, share) or _repair(view, me))


def _pauses(view: View) -> bool:
    """
    Whether those who start at the same time shall first see each other: otherwise the first
    one takes everything. New accounts alone can wait so long, and not for ever.
    """
    if view.fresh < view.waiting or view.waited >= 3 * _SETTLE:
        return False
    return min(member.age for member in view.members if member.receives) < _SETTLE


def _drain(view: View, me: Member, mine: Share, drained: Sequence[Member]) -> tuple[Pull, ...]:
    """Take over from those who leave: at first up to the share."""
    most = min(me.room, _DRAINED - me.coming)
    if view.waited < _UNHURRIED:
        most = min(most, mine.high - me.load)
    pulls = []
    # The members begin at different ones, not all at the first.
    for source in sorted(drained, key=lambda m: ((m.id * 31 + me.id) % 7, m.id)):
        number = min(most, source.held - source.going)
        if number > 0 and source.id not in view.fruitless:
            pulls.append(Pull(source.id, number))
            most -= number
    return tuple(pulls)


def _balance(view: View, me: Member, mine: Share, share: Mapping[int, Share]) -> tuple[Pull, ...]:
    """
    Take a few from whoever has most above its share. The other way round nobody takes them
    back: a source is left with its share, and nobody takes more than its own. Nor takes anybody
    more than it needs while another one, who has just joined, will need it.
    """
    most = min(me.room, _MOVED - me.coming)
    others = [member for member in view.members if member.receives and member.id != me.id]
    waits = view.waited < _UNHURRIED and any(_needs(other, share[other.id]) for other in others)
    found = []
    for source in others:
        if source.id in view.fruitless:
            continue
        theirs = share[source.id]
        number = 0
        if _needs(me, mine):
            number = min(source.load - theirs.low, mine.low - me.load)
        if source.load > theirs.high + int(theirs.high * _TOLERANCE) and not waits:
            number = max(number, min(source.load - theirs.high, mine.high - me.load))
        if number > 0:
            # Of equals each takes another one.
            order = source.load - theirs.low, (source.id * 31 + me.id) % 7, source.id
            found.append((order, Pull(source.id, min(number, most), theirs.low)))
    if not found or most <= 0:
        return ()
    return (max(found, key=lambda pair: pair[0])[1],)


def _needs(member: Member, share: Share) -> bool:
    return member.load < share.low - int(share.low * _TOLERANCE)


def _repair(view: View, me: Member) -> tuple[Pull, ...]:
    """Take what shares a zone with another copy, when a zone has come back."""
    most = min(_MOVED - me.coming, me.room)
    if me.zone is None or most <= 0:
        return ()
    zones = Counter(m.zone for m in view.members if m.receives and m.zone is not None)
    for source in view.members:
        crowded = source.receives and zones[source.zone or ""] > 1 and source.zone != me.zone
        if crowded and source.id not in view.fruitless:
            return (Pull(source.id, most, repair=True),)
    return ()


def choose(
    me: int,
    members: Iterable[Member],
    places: Iterable[Place],
    most: int,
    source: int | None = None,
    *,
    repair: bool = False,
) -> list[Place]:
    """
    Which places to take: of an account no two copies are ever on the same member, nor in
    the same zone while another one has room for it.

    @param places: those to choose from, and all others of the same accounts.
    @param most: how many.
    @param source: whose; C{None} for those that wait.
    @param repair: see L{Pull}.
    """
    known = {member.id: member for member in members}
    byAccount: dict[int, list[Place]] = {}
    for place in places:
        byAccount.setdefault(place.account, []).append(place)
    rooms = {m.zone for m in known.values() if m.receives and m.room > 0 and m.zone is not None}
    # Where it is, it can stay.
    stays = source is not None and known[source].receives
    misplaced: list[Place] = []
    others: list[Place] = []
    for siblings in byAccount.values():
        for place in siblings:
            if not (_waits(place, known) if source is None else _isOf(place, source)):
                continue
            copies = [p for p in siblings if p is not place]
            rest = _keepers(copies, known)
            taken, settled = _zones(rest, known), _zones(_settled(copies, known), known)
            wrong = source is not None and known[source].zone in settled
            # A zone that another copy is just leaving has room for this one.
            elsewhere = repair or rooms - settled or (stays and not wrong)
            if me not in rest and (known[me].zone not in taken or not elsewhere):
                (misplaced if wrong else others).append(place)
                # One member has one copy of an account.
                break
    found = misplaced if repair else misplaced + others
    return found[:most]


def promoted(me: int, members: Iterable[Member], places: Iterable[Place]) -> list[Place]:
    """Those whose owner is gone while this member is the successor: they are its own now."""
    dead = {member.id for member in members if member.life is Life.DEAD}
    return [p for p in places if p.successor == me and (p.owner is None or p.owner in dead)]


def _isOf(place: Place, source: int) -> bool:
    return place.owner == source and place.successor is None


def _isAlive(id: int | None, known: Mapping[int, Member]) -> bool:
    return id is not None and id in known and known[id].life is not Life.DEAD


def _waits(place: Place, known: Mapping[int, Member]) -> bool:
    return not _isAlive(place.owner, known) and not _isAlive(place.successor, known)


def _keepers(places: Iterable[Place], known: Mapping[int, Member]) -> set[int]:
    """Who keeps these, or will."""
    ids = {id for place in places for id in (place.owner, place.successor)}
    return {id for id in ids if id is not None and _isAlive(id, known)}


def _settled(places: Iterable[Place], known: Mapping[int, Member]) -> set[int]:
    """Who keeps these when all that is under way is done."""
    last = [p.successor if _isAlive(p.successor, known) else p.owner for p in places]
    return {id for id in last if id is not None and _isAlive(id, known)}


def _zones(ids: Iterable[int], known: Mapping[int, Member]) -> set[str]:
    return {zone for id in ids if (zone := known[id].zone) is not None}
