"""
L{iris_twisted.connection.callback_queue}: turns that wait when the wall clock is set.
"""

from __future__ import annotations

from twisted.internet.defer import DeferredSemaphore

from iris_twisted.connection.state import ConnectionState

from ..contract.test_contract import ContractCase
from ..doubles import DriftingClock


class ClockSetInTheTurn(ContractCase):
    """What waits for the next turn does not wait for the wall clock."""

    def test_callbacks(self) -> None:
        """Callbacks come, and the retry after them, though the clock is set while they wait."""
        for jump in (-3600, 3600):
            clock = DriftingClock()
            world = self.world(clock=clock).up()
            world.recorder.calls.clear()
            world.transport.lose()
            clock.jump(jump)
            world.advance(5)
            self.assertEqual(
                world.recorder.names(), ["onDisconnected", "onReconnecting", "onConnected"]
            )

    def test_close(self) -> None:
        """close() fires, though the clock is set while its Deferred waits."""
        clock = DriftingClock()
        world = self.world(clock=clock).up()
        world.transport.lose()
        closed = world.close()
        clock.jump(-3600)
        world.advance(5)
        self.assertEqual(closed, [None])

    def test_gate(self) -> None:
        """So does an attempt that waited for its turn among others."""
        clock = DriftingClock()
        gate = DeferredSemaphore(1)
        self.successResultOf(gate.acquire())
        world = self.world(clock=clock, gate=gate)
        world.connect()
        world.settle()
        gate.release()
        clock.jump(-3600)
        world.advance(5)
        self.assertIs(world.connection.state, ConnectionState.CONNECTED)
