"""
L{iris_twisted.connection.retry_schedule}: when the count of attempts begins anew.
"""

from __future__ import annotations

from iris_twisted.errors import ConnectionFailed

from ..contract.test_contract import ContractCase
from ..doubles import World


class Counting(ContractCase):
    """Promise 5: it does when a session stayed up for C{stableAfter}, however that ended."""

    def troubled(self) -> World:
        """A connection that is up at its eighth attempt."""
        world = self.world().up()
        world.discovery.outcomes = [ConnectionFailed("down")] * 7
        world.transport.lose()
        world.advance(20)
        self.assertEqual(world.policy.attempts, list(range(1, 9)))
        world.policy.attempts.clear()
        return world

    def reopened(self, world: World) -> list[int]:
        """Close, wait, connect, be up for 2 seconds, and lose that: which attempt follows."""
        world.close()
        world.advance(3600, step=600)
        world.connect()
        world.advance(2)
        world.transport.lose()
        world.advance(2)
        return world.policy.attempts

    def test_closedWhenStable(self) -> None:
        """A session that was up for an hour, and closed: the next connection counts anew."""
        world = self.troubled()
        world.advance(3600, step=60)
        self.assertEqual(self.reopened(world), [1])

    def test_closedTooSoon(self) -> None:
        """One that was not stable does not, however long the connection was closed."""
        world = self.world().up()
        world.discovery.outcomes = [ConnectionFailed("down")] * 7
        world.transport.lose()
        world.advance(12)
        self.assertTrue(world.connection.isConnectionAlive())
        world.policy.attempts.clear()
        self.assertEqual(self.reopened(world), [9])
