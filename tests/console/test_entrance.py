"""
Whom the console answers at all.
"""

from __future__ import annotations

import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.console import entrance
from iris_twisted.console.entrance import isOurs


class FullName(SynchronousTestCase):
    """What the machine is called in full, which may take DNS a while to say."""

    def test_asksOnce(self) -> None:
        """Nobody waits for DNS: the name counts once it is known, and is asked for once."""
        answered, asked = threading.Event(), list[str]()

        def slowly() -> str:
            asked.append("getfqdn")
            # Whoever waited for it would have to wait for this test.
            return "Console.Example.Test" if answered.wait(10.0) else "late"

        self.patch(socket, "getfqdn", slowly)
        self.patch(entrance, "_fullNames", set())
        learning = entrance.learnFullName()
        self.assertFalse(isOurs("console.example.test:8088"))
        self.assertTrue(isOurs(socket.gethostname()))
        self.assertTrue(isOurs("127.0.0.1"))
        answered.set()
        learning.join(10.0)
        for _ in range(3):
            self.assertTrue(isOurs("console.example.test:8088"))
            self.assertFalse(isOurs("other.example.test"))
        self.assertEqual(asked, ["getfqdn"])
        self.assertTrue(learning.daemon)
