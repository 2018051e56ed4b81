"""
The identity manager: which routing id a user has.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..connection.settings import Settings
from ..errors import ApiParameters, IncorrectParameters
from ..net.addresses import RoutingId, segment
from .platform_service import PlatformService

__all__ = ["IdentityManagerClient"]


class IdentityManagerClient:
    """
    An identity manager (protocol.md section 8).

    @param url: C{host}, C{host:port} or an C{https://} URL.
    @raise IncorrectParameters: naming what is wrong with the URL.
    """

    def __init__(self, url: str, *, reactor: Any = None, settings: Settings | None = None) -> None:
        self._service = PlatformService("the identity manager", url, reactor, settings)

    def routingId(self, irisToken: str, userId: str) -> Deferred[str]:
        """
        @param userId: the C{id} of a L{Login<iris_twisted.login.Login>}.
        @return: fires with the routing id; fails with L{TokenRefused
            <iris_twisted.errors.TokenRefused>}, L{ApiParameters} or L{ConnectionFailed
            <iris_twisted.errors.ConnectionFailed>}.
        """
        return Deferred.fromCoroutine(self._routingId(irisToken, userId))

    async def _routingId(self, irisToken: str, userId: str) -> str:
        path = f"v1/routingid/user/{segment('userId', userId)}"
        answer = await self._service.ask("GET", path, {"Authorization": f"Bearer {irisToken}"})
        found = self._service.text(self._service.json(answer), "routing_id")
        try:
            return RoutingId.parse(found).text
        except IncorrectParameters as e:
            raise ApiParameters(f"in the answer of {self._service.name}, {e.message}") from None
