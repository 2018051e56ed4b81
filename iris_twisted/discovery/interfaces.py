"""
The interface of floor 1.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from .server_info import ServerInfo

__all__ = ["IEventManager"]


class IEventManager(Interface):
    """Floor 1: finds a websocket server."""

    def discover(irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        """
        Called once per attempt (and once more when SASL refuses the websocket token).

        @param traceId: the same for every retry of one connection.
        @return: fires with the answer; fails with L{TokenRefused
            <iris_twisted.errors.TokenRefused>}, L{ApiParameters
            <iris_twisted.errors.ApiParameters>} or L{ConnectionFailed
            <iris_twisted.errors.ConnectionFailed>}. Cancelling it leaves no
            request, socket or timer behind.
        """
