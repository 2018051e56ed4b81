"""
L{iris_twisted.fleet.service}: when a service ends, and what its stopping leaves.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import TimeoutError

from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import TokenRefused
from iris_twisted.fleet.service import IrisRtcService

from ..contract.test_corners import ServiceCase, outcomeOf
from ..doubles import World, jwt

REFUSED = TokenRefused("refused")


class NotWaiting(ServiceCase):
    """C{waitForToken=False}: it ends when trying on cannot help, and not before."""

    def started(self, world: World, **options: Any) -> tuple[IrisRtcService, list[Any]]:
        service = self.service(world, waitForToken=False, **options)
        ended = outcomeOf(service.ended)
        service.startService()
        return service, ended

    def test_providerGoesOn(self) -> None:
        """With a provider whose tokens are refused at first, it comes up and has not ended."""
        for refusals in (1, 2, 4):
            world = self.world()
            world.discovery.outcomes = [REFUSED] * refusals
            tokens = iter(f"token-{n}" for n in range(99))
            service, ended = self.started(world, tokenProvider=lambda: next(tokens))  # noqa: B023
            world.advance(30)
            self.assertEqual(ended, [])
            self.assertIs(service.connection.state, ConnectionState.CONNECTED)

    def test_providerGoesOnAfterALoss(self) -> None:
        """The same when the session was lost."""
        world = self.world()
        tokens = iter(f"token-{n}" for n in range(99))
        service, ended = self.started(world, tokenProvider=lambda: next(tokens))
        world.settle()
        world.discovery.outcomes = [REFUSED] * 3
        world.transport.lose()
        world.advance(30)
        self.assertEqual(ended, [])
        self.assertIs(service.connection.state, ConnectionState.CONNECTED)
        self.assertIn("onConnectionError", world.recorder.names())

    def test_providerFailsBeforeTheExpiry(self) -> None:
        """A provider that fails while the session is up ends nothing."""
        world = self.world()
        token = jwt({"exp": world.clock.seconds() + 400})
        service, ended = self.started(world, token=token, tokenProvider=lambda: 1 // 0)
        world.advance(390)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertEqual(ended, [])
        self.assertIs(service.connection.state, ConnectionState.CONNECTED)

    def test_nobodyHasAnother(self) -> None:
        """Without a provider it ends when the token is refused, and the connection is closed."""
        for lostFirst in (False, True):
            world = self.world()
            if not lostFirst:
                world.discovery.outcomes = [REFUSED]
            service, ended = self.started(world)
            world.settle()
            if lostFirst:
                world.discovery.outcomes = [REFUSED]
                world.transport.lose()
                world.advance(20)
            self.assertEqual(ended, [REFUSED])
            self.assertIs(service.connection.state, ConnectionState.DISCONNECTED)
            self.assertEqual(world.recorder.of("onConnectionError"), [(-116, "refused")])
            self.assertEqual(world.leftovers(), [])


class Stopping(ServiceCase):
    """What stopService() promises."""

    def test_cancelled(self) -> None:
        """Who waits for it may give up: C{ended} fires all the same, when the socket is closed."""
        world = self.world()
        service = self.service(world)
        service.startService()
        world.settle()
        ended = outcomeOf(service.ended)
        world.transport.polite = False
        stopped = outcomeOf(service.stopService().addTimeout(1, world.clock))
        world.advance(2)
        self.assertIsInstance(stopped[0], TimeoutError)
        self.assertEqual(ended, [])
        world.advance(5)
        self.assertEqual(ended, [None])
        self.assertEqual(world.leftovers(), [])
