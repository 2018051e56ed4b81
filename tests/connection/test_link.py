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


class Silence(ContractCase):
    """A silent peer is noticed after C{pingTimeout}, and within one C{pingInterval} more."""

    def test_noticed(self) -> None:
        """Whatever the two are, and wherever in an interval the silence begins."""
        for interval, timeout in (
            (3, 15),
            (4, 15),
            (8, 15),
            (14, 15),
            (2, 3),
            (29, 30),
            (0.7, 1.1),
        ):
            for part in (0.01, 0.5, 0.97):
                world = self.world(pingInterval=interval, pingTimeout=timeout).up()
                world.advance((2 + part) * interval, 0.1)
                world.transport.say(b"<message/>")
                world.transport.silent = True
                began = world.clock.seconds()
                world.advance(timeout - 0.01, 0.1)
                self.assertTrue(world.connection.isConnectionAlive(), (interval, timeout, part))
                while world.connection.isConnectionAlive():
                    world.advance(0.05, 0.05)
                # A beat is late by this clock's step, or a part of the interval, at most.
                late = 0.1 + interval / 30
                self.assertLessEqual(world.clock.seconds() - began, timeout + interval + late)

    def test_lastMoment(self) -> None:
        """A sign of life before the last look keeps the session, and no look is left."""
        world = self.world(pingInterval=14.0, pingTimeout=15.0, streamManagement=False).up()
        world.advance(14.1)
        world.transport.silent = True
        link = world.connection._driver._link
        assert link is not None
        while link._silence.left == 15.0:
            world.advance(0.1)
        self.assertEqual(link._silence.left, 1.0)
        world.transport.say(b" ")
        world.advance(13)
        self.assertTrue(world.connection.isConnectionAlive())
        self.assertEqual(world.recorder.names(), ["onConnected"])


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
