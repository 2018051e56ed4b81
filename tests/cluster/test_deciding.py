"""
What a member remembers from look to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.cluster.deciding import Decisions
from iris_twisted.cluster.membership import Sight
from iris_twisted.cluster.values import Life, Member, Place

CLAIMED = Place(7, 1, 1, 3)


class Claims:
    """A database in which one place can be claimed."""

    def run(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        return succeed([CLAIMED])


class Waiting(SynchronousTestCase):
    """What nobody may claim within its share is claimed beyond it, after a moment."""

    def decided(self, *said: Member, **counted: int) -> list[Any]:
        """What comes of two looks, between which nothing changes for a while."""
        clock = Clock()
        sight = Sight(said, False, 1, 0, (), 0, 10.0)
        members = tuple(attrs.evolve(m, held=counted.get(m.name, m.held)) for m in said)
        exact = attrs.evolve(sight, members=members)
        decisions = Decisions(clock, Claims(), lambda: succeed(exact))  # type: ignore[arg-type]
        found = []
        for _ in range(2):
            found.append(self.successResultOf(Deferred.fromCoroutine(decisions.decide(1, sight))))
            clock.advance(1.5)
        return found

    def test_dead(self) -> None:
        """What a dead member said of itself before others claimed from it is no change."""
        dead = Member(3, "dead", 100, held=2, life=Life.DEAD)
        members = Member(1, "me", 100, held=2), Member(2, "other", 100, held=1), dead
        self.assertEqual(self.decided(*members, dead=1), [None, ([CLAIMED], [])])

    def test_leftOut(self) -> None:
        """Nor is it that a member does not count the places that it cannot decrypt."""
        members = Member(1, "me", 100, held=3), Member(2, "other", 100, held=1)
        self.assertEqual(self.decided(*members, other=2), [None, ([CLAIMED], [])])
