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

    def test_oneAtATime(self) -> None:
        """updateToken(token) ends the open question before the next is asked, and keeps none."""
        opened, most, asked = list[Deferred[str]](), 0, 0

        def provider() -> Deferred[str]:
            nonlocal most, asked
            answer: Deferred[str] = Deferred(opened.remove)
            opened.append(answer)
            most, asked = max(most, len(opened)), asked + 1
            return answer

        world = self.world(tokenProvider=provider).up()
        for n in range(100):
            world.connection.updateToken()
            world.settle()
            world.connection.updateToken(f"mine-{n}")
            if n % 2:
                world.advance(1)
        self.assertEqual((asked, most, len(opened)), (100, 1, 1))
        source = world.connection._driver.tokens._source
        assert source is not None
        self.assertEqual(len(source._stopped), 1)
        self.assertEqual(world.recorder.names(), ["onConnected"])

    def test_stoppedByItself(self) -> None:
        """A provider that gives updateToken() a token itself is cancelled by close(), if not over."""
        cancelled: list[object] = []

        def provider() -> Deferred[str]:
            world.connection.updateToken("mine")
            return Deferred(cancelled.append)

        world = self.world(tokenProvider=provider).up()
        world.connection.updateToken()
        world.advance(2)
        world.transport.lose()
        world.advance(2)
        self.assertEqual((world.discovery.tokens[-1], cancelled), ("mine", []))
        world.close()
        world.settle()
        self.assertEqual(len(cancelled), 1)

    def test_cancellingCloses(self) -> None:
        """A question whose cancelling closes the connection: the next is not asked."""
        asked: list[int] = []

        def provider() -> Deferred[str]:
            asked.append(1)
            return Deferred(lambda _: world.connection.close())

        world = self.world(tokenProvider=provider).up()
        world.connection.updateToken()
        world.settle()
        world.connection.updateToken("mine")
        world.connection.updateToken()
        world.settle()
        self.assertEqual(len(asked), 1)
        self.assertEqual(world.recorder.names(), ["onConnected", "onDisconnected"])
        self.assertEqual(world.leftovers(), [])
