"""
Asking the event manager, by HTTP(S).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from ..net.http.requests import HttpRequests
from ..net.interfaces import ITlsTrust
from ..net.limits import Limits
from ..net.proxies import Proxies
from ..net.steady_time import wallSeconds
from .answer import readAnswer
from .event_manager_address import EventManagerAddress
from .interfaces import IEventManager
from .server_info import ServerInfo

__all__ = ["EventManagerClient"]


@implementer(IEventManager)
class EventManagerClient:
    """
    An event manager reached by HTTP(S) (protocol.md section 1).

    @param address: where it is.
    @param reactor: C{IReactorTCP} and C{IReactorTime}.
    @param trust: whose certificates count.
    @param anonymous: ask as an anonymous user.
    @param connectTimeout: seconds that opening the connection may take.
    @param pool: whose connections to use; C{None} to keep none, for a request every few
        hours.
    @param proxies: what is on the way; C{None} for nothing.
    """

    def __init__(
        self,
        address: EventManagerAddress,
        reactor: Any,
        trust: ITlsTrust,
        *,
        anonymous: bool = False,
        limits: Limits = Limits(),
        connectTimeout: float = 30.0,
        pool: HTTPConnectionPool | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._address = address
        self._reactor = reactor
        self._anonymous = anonymous
        self._requests = HttpRequests(
            reactor,
            "the event manager",
            trust,
            limit=limits.discoveryBody,
            connectTimeout=connectTimeout,
            pool=pool,
            proxies=proxies,
        )

    def discover(self, irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        return Deferred.fromCoroutine(self._discover(irisToken, routingId, traceId))

    async def _discover(self, irisToken: str, routingId: str, traceId: str) -> ServerInfo:
        origin = self._address.origin
        url = self._address.discoveryUrl(routingId, self._anonymous)
        headers = {
            "Authorization": f"Bearer {irisToken}",
            "Trace-Id": traceId,
            "Accept": "application/json",
        }
        answer = await self._requests.send("GET", origin, url, headers)
        return readAnswer(origin, answer.status, answer.body, irisToken, wallSeconds(self._reactor))
