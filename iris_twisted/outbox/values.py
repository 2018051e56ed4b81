"""
What outboxes and their stores tell each other.
"""

from __future__ import annotations

import attrs

from ..sinks.record import CallRecord

__all__ = ["EARLIEST", "Addition", "Attempt", "DeadLetter", "Due", "Look", "Place"]

# 2026-01-01 in UTC, epoch seconds: no clock that was right has shown an earlier date to a program
# that did not exist then. A machine without a clock of its own begins in 1970, for one.
EARLIEST = 1_767_225_600.0


@attrs.frozen(order=True)
class Place:
    """
    The right to be told of an account's calls, in a cluster.

    @ivar account: the routing id.
    @ivar copy: which of the account's copies, from 0.
    @ivar epoch: how many times that place has changed hands.
    """

    account: str
    copy: int
    epoch: int


@attrs.frozen
class Addition:
    """
    A call to be kept.

    @ivar sinks: who is owed it, as they are configured, each once; one may hold a secret.
    @ivar place: by which right, in a cluster: somebody else may hold it by now.
    """

    record: CallRecord
    sinks: tuple[str, ...] = attrs.field(repr=False)
    place: Place | None = None


@attrs.frozen
class Attempt:
    """
    A sink did not take a call.

    @ivar id: the call's.
    @ivar sink: as it is configured.
    @ivar due: when to try again, epoch seconds; C{None} for never.
    @ivar reason: for an operator, without a secret.
    """

    id: int
    sink: str = attrs.field(repr=False)
    due: float | None
    reason: str


@attrs.frozen
class Due:
    """
    A delivery to be made.

    @ivar id: the call's.
    @ivar attempts: how many were made before.
    @ivar revived: when it was a dead letter and is tried again since, epoch seconds.
    """

    id: int
    attempts: int
    record: CallRecord
    revived: float | None = None


@attrs.frozen
class Look:
    """
    What a sink is to be given, as a look into the store finds it.

    @ivar due: what is due now, in this order.
    @ivar next: when something else is due, epoch seconds; C{None} where nothing is.
    """

    due: list[Due]
    next: float | None


@attrs.frozen
class DeadLetter:
    """
    A delivery that was given up.

    @ivar id: the call's.
    @ivar reason: what the sink said at the last attempt, for an operator, without a secret.
    @ivar sink: as it was configured; a webhook's may hold a secret.
    """

    id: int
    sink: str = attrs.field(repr=False)
    attempts: int
    reason: str
    record: CallRecord
