"""
Contract promise 16 where it meets rejectSession(): reading pauses because nobody can take
more, and whoever would make room waits for an answer that nobody reads.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from iris_twisted.errors import NoAnswer
from iris_twisted.net.limits import Limits
from iris_twisted.sandbox.platform import Platform

from ..doubles import RID, World
from .test_contract import ContractCase


class RejectWhilePaused(ContractCase):
    """An answer that is needed is read, whatever waits."""

    def flooded(self, room: int, **settings: Any) -> tuple[World, list[dict[str, Any]]]:
        """A world where as many calls as there is room for are unanswered."""
        world = self.world(limits=Limits(unanswered=room), **settings).up()
        calls: list[dict[str, Any]] = []

        def ring(info: dict[str, Any]) -> Deferred[None]:
            calls.append(info)
            return Deferred()

        world.recorder.react["onNotification"] = ring
        world.notify(room)
        self.assertTrue(world.transport.paused)
        return world, calls

    def test_answered(self) -> None:
        """A reject is answered while nobody can take more, and reading pauses again."""
        world, calls = self.flooded(2)
        outcome: list[Any] = []
        world.connection.rejectSession(calls[0]).addBoth(outcome.append)
        world.settle()
        self.assertEqual(outcome, [None])
        self.assertTrue(world.transport.paused)

    def test_bounded(self) -> None:
        """Meanwhile as many calls are held as there is room for; the sender hears of the rest."""
        world, calls = self.flooded(3)
        self.patch(Platform, "_callControl", lambda *_: None)
        outcome: list[Any] = []
        world.connection.rejectSession(calls[0]).addErrback(lambda f: outcome.append(f.value))
        world.settle()
        self.assertFalse(world.transport.paused)
        sent = len(world.transport.sent)
        world.notify(10)
        refused = [m for m in world.transport.sent[sent:] if b"resource-constraint" in m]
        self.assertEqual((len(calls), len(refused)), (3, 7))
        world.advance(11)
        self.assertIsInstance(outcome[0], NoAnswer)
        self.assertTrue(world.transport.paused)

    def test_telemetry(self) -> None:
        """Nobody waits for what statistics are answered: they keep nothing open."""
        world = self.world(limits=Limits(unanswered=1), telemetry=True).up()
        self.patch(Platform, "_callControl", lambda *_: None)
        world.recorder.react["onNotification"] = lambda info: Deferred()
        world.notify()
        self.assertTrue(world.transport.paused)

    def test_resumed(self) -> None:
        """A session that is resumed reads on for the answer that was needed before."""
        world, calls = self.flooded(2)
        world.transport.silent = True
        outcome: list[Any] = []
        world.connection.rejectSession(calls[0]).addBoth(outcome.append)
        world.transport.lose()
        world.advance(3)
        self.assertEqual(len(world.transports), 2)
        self.assertEqual(outcome, [None])
        self.assertEqual(world.connection.stats.reconnects, 1)
        world.platform.placeCall(RID)
        world.settle()
        self.assertTrue(world.transport.paused)
