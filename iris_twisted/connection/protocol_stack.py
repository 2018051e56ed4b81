"""
The composition root: the default floors, wired in one place.
"""

from __future__ import annotations

import uuid
from typing import Any

from ..discovery.client import EventManagerClient
from ..discovery.event_manager_address import EventManagerAddress
from ..discovery.interfaces import IEventManager
from ..discovery.server_info import ServerInfo
from ..net.addresses import RoutingId
from ..rtc.interfaces import INotificationSyntax
from ..rtc.private_iqs import PrivateIqs
from ..rtc.senders import TrustedSenders
from ..transport.registry import TransportRegistry
from ..xmpp.events import Resumption
from ..xmpp.interfaces import IXmppSession
from .attempt import Attempt, Target
from .link import Link, LinkOwner
from .settings import Settings

__all__ = ["ProtocolStack"]


class ProtocolStack:
    """
    Everything below the connection, for one routing id at one event manager.

    @param dialects: which dialect each server spoke last time, by its name.
    @raise IncorrectParameters: naming what is wrong with the routing id or the URL.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        dialects: dict[str, str],
        routingId: Any,
        eventManagerUrl: Any,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self.routingId = RoutingId.parse(routingId)
        self._address = EventManagerAddress.parse(eventManagerUrl, settings.insecure)
        self._dialects = dialects
        self._traceId = str(uuid.uuid4())

    def syntax(self, host: str) -> INotificationSyntax:
        """The language of a session with this websocket server."""
        senders = TrustedSenders(self.routingId, host, self._settings.trustedSenders)
        return PrivateIqs(self.routingId, senders)

    def attempt(
        self,
        token: str,
        owner: LinkOwner,
        resumption: Resumption | None = None,
        redirect: tuple[str, ServerInfo, str] | None = None,
    ) -> Attempt:
        """One attempt with this token; C{resumption} and C{redirect} as in L{Target}."""
        settings = self._settings
        target = Target(
            token,
            self.routingId,
            self._address.secure,
            self._traceId,
            self._discovery(),
            TransportRegistry(None if settings.transport is None else [settings.transport]),
            self._dialects,
            resumption,
            redirect,
        )

        def newLink(session: IXmppSession) -> Link:
            return Link(self._reactor, session, owner, self._settings)

        return Attempt(self._reactor, settings, target, newLink)

    def _discovery(self) -> IEventManager:
        settings = self._settings
        # Made for each attempt: what it keeps would be idle for hours.
        return settings.discovery or EventManagerClient(
            self._address,
            self._reactor,
            settings.trust,
            anonymous=settings.anonymous,
            limits=settings.limits,
            connectTimeout=settings.connectTimeout,
            proxies=settings.proxies,
        )
