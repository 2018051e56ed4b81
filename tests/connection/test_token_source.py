"""
L{iris_twisted.connection.token_source}: one question at a time, and none kept when it is over.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iris_twisted.errors import TokenRefused

from ..contract.test_contract import ContractCase
from ..contract.test_corners import outcomeOf

REFUSED = TokenRefused("refused")


def cannot(_: object) -> None:
    raise RuntimeError("cannot be cancelled")


class Cancelling(ContractCase):
    """Questions that nobody waits for any more."""

    def test_cannotBeCancelled(self) -> None:
        """A provider whose Deferred cannot be cancelled is told as -116, and asked again."""
        asked: list[float] = []

        def provider() -> Deferred[str]:
            asked.append(world.clock.seconds())
            return Deferred(cannot)

        world = self.world(tokenProvider=provider).up()
        world.discovery.outcomes = [REFUSED]
        world.transport.lose()
        world.advance(40)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertGreater(len(asked), 2)
        closed = outcomeOf(world.connection.close())
        world.settle()
        self.assertEqual(closed, [None])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), len(asked))
