"""
All of it in order: a token, the routing id, the subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred

from ..errors import IncorrectParameters
from ..net.jwt import claimsOf
from .auth_manager import Login
from .identity_manager import IdentityManagerClient
from .notification_manager import NotificationManagerClient

__all__ = ["LoggedIn", "PlatformLogin"]


@attrs.frozen
class LoggedIn:
    """Who one is, and the token to show for it."""

    token: str = attrs.field(repr=False)
    routingId: str


class PlatformLogin:
    """
    @param login: gives a token, and whose it is: an L{AuthManagerClient}'s C{login}, for
        one, whose C{token} serves as C{tokenProvider} afterwards.
    @param identity: who knows the routing id, when C{routingId} is C{None}.
    @param notifications: where to subscribe for C{topics}, if anywhere.
    @param domain: of the application; C{None} for that in the token, or else of the routing id.
    @raise IncorrectParameters: when nobody can say what the routing id is.
    """

    def __init__(
        self,
        login: Callable[[], Deferred[Login]],
        routingId: str | None = None,
        *,
        identity: IdentityManagerClient | None = None,
        notifications: NotificationManagerClient | None = None,
        topics: Sequence[str] = (),
        domain: str | None = None,
    ) -> None:
        if routingId is None and identity is None:
            raise IncorrectParameters("routingId is missing, or an identity manager to ask for it")
        self._login = login
        self._routingId = routingId
        self._identity = identity
        self._notifications = notifications
        self._topics = tuple(topics)
        self._domain = domain

    def run(self) -> Deferred[LoggedIn]:
        """
        @return: fires when the platform would notify the user; fails with what went
            wrong first, an L{IrisError<iris_twisted.errors.IrisError>}. It may be repeated.
        """
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> LoggedIn:
        login = await self._login()
        routingId = self._routingId
        if routingId is None:
            assert self._identity is not None
            routingId = await self._identity.routingId(login.token, login.id)
        if self._notifications is not None and self._topics:
            named = claimsOf(login.token).get("domain")
            domain = self._domain or (named if isinstance(named, str) and named else None)
            await self._notifications.subscribe(login.token, routingId, self._topics, domain)
        return LoggedIn(login.token, routingId)
