"""
security.md, "Exhaustion": floods, and what they leave in memory.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ..doubles import World

STANZA = (
    '<iq type="set" id="x{0}" from="example.test"><query xmlns="jabber:iq:private">'
    '<data xmlns="urn:xmpp:comcast:info" type="notify" roomid="{0}"/></query></iq>'
)


def memory() -> int:
    """How many blocks of memory Python holds now: each small object is one."""
    gc.collect()
    return sys.getallocatedblocks()


class Exhaustion(SynchronousTestCase):
    """More than the application can take."""

    def test_slowCallback(self) -> None:
        """100,000 notifications against a slow callback: memory is flat."""
        world = World()
        pending: deque[Deferred[None]] = deque()
        rang = [0]

        def onNotification(info: dict[str, Any]) -> Deferred[None]:
            self.assertEqual(info["roomid"], str(rang[0]))
            rang[0] += 1
            pending.append(Deferred())
            return pending[-1]

        world.recorder.react["onNotification"] = onNotification
        world.up()
        held = []
        for number in range(100_000):
            # The peer sends as much as it can; the callback ends when nothing more is read.
            if world.transport.paused:
                self.assertEqual(len(pending), 1000)
                while world.transport.paused:
                    pending.popleft().callback(None)
                    world.clock.advance(0)
                world.recorder.calls.clear()
                world.transport.sent.clear()
                if number > 20_000 and not held:
                    held.append(memory())
            world.transport.say(STANZA.format(number).encode())
            world.clock.advance(0)
        while pending:
            pending.popleft().callback(None)
        world.settle()
        world.recorder.calls.clear()
        world.transport.sent.clear()
        self.assertEqual(rang, [100_000])
        # What 80,000 more have left: not a tenth of an object for each.
        self.assertLess(memory(), held[0] + 8_000)
        world.close()
        world.settle()
        self.assertEqual(world.leftovers(), [])
