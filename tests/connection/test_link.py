"""
L{iris_twisted.connection.link}: what spares a ping (contract promise 10).
"""

from __future__ import annotations

from ..contract.test_contract import ContractCase
from ..doubles import World

ASK = b"<r xmlns='urn:xmpp:sm:3'/>"


def pings(world: World) -> int:
    """How many were sent."""
    return sum(b"urn:xmpp:ping" in message for message in world.transport.sent)


class Sparing(ContractCase):
    """A ping goes out only while nothing comes but what our pings bring."""

    def test_asked(self) -> None:
        """Somebody who asks again and again how far we are is not pinged."""
        world = self.world().up()
        world.advance(4)
        world.transport.sent.clear()
        for _ in range(60):
            world.transport.say(ASK)
            world.advance(0.5)
        self.assertLessEqual(pings(world), 1)

    def test_bytes(self) -> None:
        """Neither is one whose data makes no message: websocket pings, a stanza in small parts."""
        world = self.world().up()
        world.advance(4)
        world.transport.sent.clear()
        for _ in range(60):
            world.transport.bytesReceived += 2
            world.advance(0.5)
        self.assertLessEqual(pings(world), 1)
        # And then nothing at all comes.
        world.transport.silent = True
        world.advance(9)
        self.assertIn(pings(world), (2, 3, 4))

    def test_askedAfterEachAnswer(self) -> None:
        """Who asks after each answer to a ping of ours is pinged at the interval, as ever."""
        world = self.world().up()
        world.advance(1)
        world.transport.sent.clear()
        world.advance(30)
        self.assertIn(pings(world), (9, 10))
        # The sandbox does ask.
        self.assertGreater(sum(m.startswith(b"<a ") for m in world.transport.sent), 7)
