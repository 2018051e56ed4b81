"""
The notification manager: nothing is notified before it was subscribed for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred

from ..connection.settings import Settings
from ..errors import ApiParameters, IncorrectParameters
from ..net.addresses import RoutingId, segment
from ..net.json_text import decodeJson
from .platform_service import PlatformService

__all__ = ["TOPICS", "NotificationManagerClient"]

TOPICS = ("audio", "chat", "pstn", "video")


class NotificationManagerClient:
    """
    A notification manager (protocol.md section 8). Both its calls may be repeated.

    @param url: C{host}, C{host:port} or an C{https://} URL.
    @raise IncorrectParameters: naming what is wrong with the URL.
    """

    def __init__(self, url: str, *, reactor: Any = None, settings: Settings | None = None) -> None:
        self._service = PlatformService("the notification manager", url, reactor, settings)

    def subscribe(
        self, irisToken: str, routingId: str, topics: Iterable[str], domain: str | None = None
    ) -> Deferred[None]:
        """
        Let the platform notify a user.

        @param topics: of L{TOPICS}.
        @param domain: of the application; C{None} for that of the routing id.
        @return: fires when all are subscribed for; fails with L{IncorrectParameters},
            L{TokenRefused<iris_twisted.errors.TokenRefused>}, L{ApiParameters} or
            L{ConnectionFailed<iris_twisted.errors.ConnectionFailed>}.
        """
        return Deferred.fromCoroutine(
            self._each("POST", irisToken, routingId, topics, domain, frozenset({409}))
        )

    def unsubscribe(
        self, irisToken: str, routingId: str, topics: Iterable[str], domain: str | None = None
    ) -> Deferred[None]:
        """
        The same undone; see L{subscribe}.
        """
        return Deferred.fromCoroutine(
            self._each("DELETE", irisToken, routingId, topics, domain, frozenset({404}))
        )

    async def _each(
        self,
        method: str,
        irisToken: str,
        routingId: str,
        topics: Iterable[str],
        domain: str | None,
        accepts: frozenset[int],
    ) -> None:
        domain = domain or RoutingId.parse(routingId).domain
        paths = [_path(topic, domain, routingId) for topic in topics]
        headers = {"Authorization": f"Bearer {irisToken}"}
        subscriber = {"proto": "xmpp", "token": routingId, "app_domain": domain}
        answer = await self._service.ask(
            "POST", "v1/subscriber", headers, subscriber, frozenset({409})
        )
        id = self._id(self._service.json(answer))
        for path in paths:
            url = f"v1/subscription/subscriber/{id}/topic/{path}"
            await self._service.ask(method, url, headers, accepts=accepts)

    def _id(self, value: Any) -> str:
        """The subscriber's id, which some versions wrap in JSON once more."""
        for _ in range(2):
            if isinstance(value, str) and value[:1] in ('"', "{"):
                try:
                    value = decodeJson(value)
                except ValueError:
                    break
        id = value if isinstance(value, str) else self._service.text(value, "id")
        try:
            return segment("id", id)
        except IncorrectParameters as e:
            raise ApiParameters(f"in the answer of {self._service.name}, {e.message}") from None


def _path(topic: str, domain: str, routingId: str) -> str:
    """The topic's name, as one segment."""
    if topic not in TOPICS:
        raise IncorrectParameters(f"topics must be of {', '.join(TOPICS)}, and {topic!r} is not")
    where = "federation" if topic == "pstn" else domain
    return quote(f"{where}/{topic}/{routingId}", safe="")
