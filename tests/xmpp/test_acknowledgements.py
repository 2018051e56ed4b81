"""
L{iris_twisted.xmpp.acknowledgements}: how soon the peer is told how far we are.
"""

from __future__ import annotations

from typing import Any

from ..contract.test_contract import ContractCase
from ..contract.test_corners import outcomeOf

ASK = b"<r xmlns='urn:xmpp:sm:3'/>"


class Asked(ContractCase):
    """A peer that asks when the count has changed is told at once."""

    def test_afterAnAnswer(self) -> None:
        """The server's answer to a reject counts: asked after it, we tell without a beat."""
        for interval in (3.0, 10.0):
            world = self.world(pingInterval=interval, pingTimeout=60.0).up()
            calls: list[Any] = []
            world.recorder.react["onNotification"] = calls.append
            world.notify()
            world.transport.sent.clear()
            rejected = outcomeOf(world.connection.rejectSession(calls[0]))
            world.settle()
            self.assertEqual(rejected, [None])
            # The sandbox asks after each stanza of its own: the call, and the answer.
            told = [message for message in world.transport.sent if message.startswith(b"<a ")]
            self.assertEqual(told, [b'<a xmlns="urn:xmpp:sm:3" h="2"/>'])

    def test_afterAPing(self) -> None:
        """The answer to a ping does not: that is told with the next beat."""
        world = self.world().up()
        world.transport.say(ASK)
        world.advance(4)
        world.transport.sent.clear()
        world.transport.say(ASK)
        self.assertEqual(world.transport.sent, [])
        world.advance(3)
        self.assertEqual(sum(m.startswith(b"<a ") for m in world.transport.sent), 1)
