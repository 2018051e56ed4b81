"""
L{iris_twisted.connection.pending_deferreds}: whose Deferreds are left when some are cancelled.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import InvalidState

from ..contract.test_contract import ContractCase
from ..contract.test_corners import outcomeOf
from ..doubles import RID, TOKEN, URL


class Cancelled(ContractCase):
    """Cancelling the last connect() that is waited for closes the connection."""

    def test_afterClose(self) -> None:
        """connect(); close(); connect().cancel() in one turn: nobody waits, and nothing comes up."""
        for alsoFirst in (False, True):
            world = self.world()
            first = world.connection.connect(TOKEN, RID, URL)
            closed = outcomeOf(world.connection.close())
            second = world.connection.connect(TOKEN, RID, URL)
            outcomes = outcomeOf(first), outcomeOf(second)
            if alsoFirst:
                first.cancel()
            second.cancel()
            world.advance(5)
            (one,), (two,) = outcomes
            self.assertIsInstance(one, CancelledError if alsoFirst else InvalidState)
            self.assertIsInstance(two, CancelledError)
            self.assertEqual(closed, [None])
            self.assertEqual(world.recorder.names(), [])
            self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)

    def test_oneStays(self) -> None:
        """Whoever still waits gets the connection, beside those withdrawn and those cancelled."""
        world = self.world()
        outcomeOf(world.connection.connect(TOKEN, RID, URL))
        world.connection.close()
        second = world.connection.connect(TOKEN, RID, URL)
        third = outcomeOf(world.connection.connect(TOKEN, RID, URL))
        second.addErrback(lambda _: None).cancel()
        world.advance(5)
        self.assertEqual(third, [world.connection])

    def test_cancelledByItsNeighbour(self) -> None:
        """One whose success is told may cancel the other: the connection stays up."""
        world = self.world()
        first = world.connection.connect(TOKEN, RID, URL)
        second = world.connection.connect(TOKEN, RID, URL)
        first.addCallback(lambda _: second.cancel())
        outcomes = outcomeOf(first), outcomeOf(second)
        world.advance(5)
        self.assertIsInstance(outcomes[1][0], CancelledError)
        self.assertIs(world.connection.state, ConnectionState.CONNECTED)
