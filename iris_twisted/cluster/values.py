"""
What there is in a cluster: members, accounts, and places for their connections.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import attrs

__all__ = [
    "DOUBT",
    "LEASE",
    "RENEW",
    "ClusterAccount",
    "Kept",
    "Life",
    "Member",
    "Place",
]

# Seconds between two renewals of a lease, and after which it has expired.
RENEW = 3.0
LEASE = 10.0
# Seconds after a renewal was sent in which a member begins to give a call to a sink: the next
# one is overdue then. What was begun has the rest of the lease to be taken, and to be marked.
DOUBT = 5.0


class Life(Enum):
    """
    How a member is, as another one sees it.

    C{LATE}: its lease has expired, but whoever looks has not been able to see the database
    for long enough to know whether that member was able to renew it.
    """

    LIVE = "live"
    LATE = "late"
    DEAD = "dead"


@attrs.frozen
class Member:
    """
    A daemon that shares the accounts.

    @ivar id: of this run of it; a restart makes another.
    @ivar capacity: how many places it may hold.
    @ivar zone: what fails together with it; C{None} where nobody said.
    @ivar draining: whether it wants to hand everything over.
    @ivar held: how many places it owns.
    @ivar going: how many of those have a successor.
    @ivar coming: how many places it is the successor of.
    @ivar age: seconds since it joined.
    """

    id: int
    name: str
    capacity: int
    zone: str | None = None
    draining: bool = False
    life: Life = Life.LIVE
    held: int = 0
    going: int = 0
    coming: int = 0
    age: float = 3600.0

    @property
    def receives(self) -> bool:
        """Whether it may be given places."""
        return self.life is Life.LIVE and not self.draining

    @property
    def load(self) -> int:
        """How many places it has when all that is under way is done."""
        return self.held - self.going + self.coming

    @property
    def room(self) -> int:
        """How many more it may hold; a place that goes is held until it is gone."""
        return max(0, self.capacity - self.held - self.coming)


@attrs.frozen
class Place:
    """
    A connection of an account that somebody must keep: there is one for each of its copies.

    @ivar account: the number of the account.
    @ivar copy: which of its copies, from 0.
    @ivar owner: the member that keeps it; C{None} for nobody.
    @ivar epoch: grows with each change of the owner.
    @ivar successor: the member that connects before the owner closes. Its calls are taken
        already, in the epoch that follows.
    @ivar ready: whether the successor is connected.
    """

    account: int
    copy: int
    owner: int | None
    epoch: int
    successor: int | None = None
    ready: bool = False


@attrs.frozen
class ClusterAccount:
    """
    One account.

    @ivar routingId: who to connect as.
    @ivar token: its iris token; C{None} for one that logs in.
    @ivar email: whom to log in as, at the auth manager.
    @ivar password: for that.
    @ivar sinks: where its calls go; C{None} for where all go.
    @ivar copies: how many connections there shall be, each by another member.
    @ivar changed: when it was changed last, as the database counts its changes.
    """

    routingId: str
    token: str | None = attrs.field(default=None, repr=False)
    email: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    sinks: tuple[str, ...] | None = attrs.field(default=None, repr=False)
    copies: int = 1
    changed: int = 0

    def secrets(self) -> dict[str, Any]:
        """What nobody shall read in the database."""
        pairs = ("token", self.token), ("password", self.password), ("sinks", self.sinks)
        return {name: value for name, value in pairs if value is not None}


@attrs.frozen
class Kept:
    """A place that a member owns or is the successor of, and the account that it is for."""

    place: Place
    account: ClusterAccount
