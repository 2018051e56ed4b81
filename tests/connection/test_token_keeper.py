"""
L{iris_twisted.connection.token_keeper}: contract promise 6.
"""

from __future__ import annotations

from iris_twisted.errors import TokenRefused

from ..contract.test_contract import ContractCase
from ..doubles import World


class Refusals(ContractCase):
    """Tokens that are refused later than they were accepted."""

    def refuse(self, world: World, times: int = 1) -> list[str]:
        """Lose the session, and refuse the token; the callbacks that follow."""
        world.advance(100)
        world.recorder.calls.clear()
        world.discovery.outcomes = [TokenRefused("refused")] * times
        world.transport.lose()
        world.advance(5)
        return world.recorder.names()

    def test_providerIsAskedFirstAgain(self) -> None:
        """At each refusal the provider is asked first, though the token came from it."""
        tokens = iter(f"token-{n}" for n in range(99))
        world = self.world(tokenProvider=lambda: next(tokens)).up()
        for _ in range(4):
            self.assertEqual(
                self.refuse(world), ["onDisconnected", "onReconnecting", "onConnected"]
            )
        self.assertEqual(next(tokens), "token-4")

    def test_toldWhenTheNewOneIsRefused(self) -> None:
        """Where its new token is refused as well, -116 is told once, the second time too."""
        tokens = iter(f"token-{n}" for n in range(99))
        world = self.world(tokenProvider=lambda: next(tokens)).up()
        for _ in range(2):
            self.assertEqual(self.refuse(world, times=2).count("onConnectionError"), 1)
