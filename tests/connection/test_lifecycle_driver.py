"""
L{iris_twisted.connection.lifecycle_driver}: an application's own parts, an event manager or a retry
policy, that call the API while they are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from iris_twisted.connection.state import ConnectionState
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import ConnectionFailed, InvalidState
from iris_twisted.interfaces import IEventManager, IRetryPolicy

from ..contract.test_contract import ContractCase
from ..contract.test_corners import outcomeOf
from ..doubles import RID, TOKEN, URL, World

Act = Callable[[], object]


def raising() -> Any:
    raise ConnectionFailed("logged out")


@implementer(IEventManager)
class Acting:
    """An event manager that does something first, once, when it is armed."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.act: Act | None = None
        self.world: World | None = None

    def discover(self, irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        assert self.world is not None
        act, self.act = self.act, None
        if act is None:
            return self.world.discovery.discover(irisToken, routingId, traceId)
        act()
        answer: Deferred[ServerInfo] = self.answer()
        return answer


@implementer(IRetryPolicy)
class ActingPolicy:
    """A policy that does something first, once."""

    def __init__(self, answer: Callable[[], float | None]) -> None:
        self.answer = answer
        self.act: Act | None = None

    def delay(self, attempt: int) -> float | None:
        act, self.act = self.act, None
        if act is not None:
            act()
        return self.answer()


ANSWERS: tuple[Callable[[], Any], ...] = (
    lambda: fail(ConnectionFailed("logged out")),
    raising,
    Deferred,
)


class EventManagers(ContractCase):
    """An event manager that calls close() or connect() while it is asked."""

    def acting(self, answer: Callable[[], Any]) -> tuple[World, Acting]:
        manager = Acting(answer)
        world = manager.world = self.world(discovery=manager)
        return world, manager

    def test_closes(self) -> None:
        """close() fires, and nothing is told, at the first attempt and at a later one."""
        for answer in ANSWERS:
            for later in (False, True):
                world, manager = self.acting(answer)
                closed: list[list[Any]] = []
                act = lambda: closed.append(outcomeOf(world.connection.close()))  # noqa: B023, E731
                if later:
                    world.up()
                    world.recorder.calls.clear()
                    manager.act = act
                    world.transport.lose()
                    world.advance(3)
                    expected = ["onDisconnected", "onReconnecting"]
                else:
                    manager.act, expected = act, []
                    outcome = world.connect()
                    world.settle()
                    self.assertIsInstance(outcome[0], InvalidState)
                world.advance(3)
                self.assertEqual((closed, world.recorder.names()), ([[None]], expected))
                self.assertEqual(world.leftovers(), [])
                # It is as good as new.
                world.up()

    def test_closesAndConnects(self) -> None:
        """close() and connect() in one turn: the second attempt comes up, and only that."""
        for answer in ANSWERS:
            world, manager = self.acting(answer)
            outcomes: list[list[Any]] = []

            def again(world: World = world, outcomes: list[list[Any]] = outcomes) -> None:
                outcomes.append(outcomeOf(world.connection.close()))
                outcomes.append(outcomeOf(world.connection.connect("second", RID, URL)))

            manager.act = again
            first = world.connect()
            world.advance(3)
            self.assertIsInstance(first[0], InvalidState)
            self.assertEqual(outcomes, [[None], [world.connection]])
            self.assertEqual(world.recorder.names(), ["onConnected"])
            self.assertEqual(world.discovery.tokens, ["second"])


class RetryPolicies(ContractCase):
    """A retry policy that calls close() or connect() while it is asked."""

    def lost(self, answer: Callable[[], Any], act: Callable[[World], object]) -> World:
        policy = ActingPolicy(answer)
        world = self.world(retryPolicy=policy).up()
        world.recorder.calls.clear()
        policy.act = lambda: act(world)
        world.transport.lose()
        world.advance(5)
        return world

    def test_closes(self) -> None:
        """It ends there, whatever the policy answers: a number, None, or an exception."""
        for answer in (lambda: 1.0, lambda: None, raising):
            closed: list[list[Any]] = []
            world = self.lost(answer, lambda w: closed.append(outcomeOf(w.connection.close())))  # noqa: B023
            self.assertEqual(closed, [[None]])
            self.assertEqual(world.recorder.names(), ["onDisconnected"])
            self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
            self.assertEqual(world.leftovers(), [])
            self.flushLoggedErrors(ConnectionFailed)

    def test_closesAndConnects(self) -> None:
        """The new connection comes up, whatever the policy answers for the old."""
        for answer in (lambda: 1.0, lambda: None, raising):

            def again(world: World) -> None:
                world.connection.close()
                world.connection.connect(TOKEN, RID, URL)

            world = self.lost(answer, again)
            self.assertEqual(world.recorder.names(), ["onDisconnected", "onConnected"])
            self.assertEqual(len(world.transports), 2)
            self.flushLoggedErrors(ConnectionFailed)
