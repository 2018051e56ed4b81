"""
Many connections in one process, from one configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.client import HTTPConnectionPool

from ..connection.interfaces import IIrisListener
from ..connection.ping_histogram import PingHistogram
from ..connection.settings import Settings
from ..connection.state import ConnectionState
from ..connection.stats import Stats
from ..connection.totals import Totals
from ..discovery.client import EventManagerClient
from ..discovery.event_manager_address import EventManagerAddress
from ..errors import IncorrectParameters
from ..net.addresses import RoutingId, checkToken
from ..net.durations import checkSeconds
from ..net.steady_time import steadyTime, wallSeconds
from .service import IrisRtcService

__all__ = ["IrisFleet"]

_TICK = 0.1


class IrisFleet(Service):
    """
    Keeps a connection up for each account, from start to stop; each is an
    L{IrisRtcService<iris_twisted.fleet.service.IrisRtcService>}.

    What can be shared is shared: the settings, the TLS context, the connections to the
    event manager, the timer of the pings.

    @param eventManagerUrl: where all accounts ask.
    @param reactor: C{None} for the global one.
    @param attempts: how many attempts to connect may be under way at a time; the
        others wait for their turn, which does not count as time of theirs.
    @param ramp: how many accounts are started per second.
    @param settings: the same for all; C{None} to make them of the C{keywords}.
    @param keywords: see L{Settings<iris_twisted.connection.settings.Settings>}.
    @raise IncorrectParameters: naming the argument of the wrong type or value.
    """

    _log = Logger()

    def __init__(
        self,
        eventManagerUrl: str,
        *,
        reactor: Any = None,
        attempts: int = 50,
        ramp: float = 200.0,
        settings: Settings | None = None,
        **keywords: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise IncorrectParameters(f"attempts must be a whole number above 0, not {attempts!r}")
        self._reactor = reactor
        self._url = eventManagerUrl
        self._ramp = checkSeconds("ramp", ramp)
        self._gate = DeferredSemaphore(attempts)
        self._pool: HTTPConnectionPool | None = None
        if settings is not None and keywords:
            raise IncorrectParameters("settings and keywords exclude each other")
        one = settings or Settings(**keywords)
        self._totals = Totals()
        one = attrs.evolve(one, gate=self._gate, totals=self._totals)
        address = EventManagerAddress.parse(eventManagerUrl, one.insecure)
        if one.discovery is None:
            self._pool = HTTPConnectionPool(reactor)
            self._pool.maxPersistentPerHost = attempts
            one = attrs.evolve(one, discovery=self._discovery(address, one, self._pool))
        self._settings = one
        self._services: dict[str, IrisRtcService] = {}
        self._waiting: dict[str, IrisRtcService] = {}
        # Those removed whose connections are not closed yet.
        self._leaving: dict[IrisRtcService, None] = {}
        self._time = steadyTime(reactor)
        # How many may be started now; it grows by C{ramp} a second.
        self._most = max(1.0, self._ramp * _TICK)
        self._credit = self._most
        self._credited = self._time.seconds()
        self._starting: IDelayedCall | None = None

    def _discovery(
        self, address: EventManagerAddress, settings: Settings, pool: HTTPConnectionPool
    ) -> EventManagerClient:
        return EventManagerClient(
            address,
            self._reactor,
            settings.trust,
            anonymous=settings.anonymous,
            limits=settings.limits,
            connectTimeout=settings.connectTimeout,
            pool=pool,
            proxies=settings.proxies,
        )

    # Accounts

    @property
    def accounts(self) -> Mapping[str, IrisRtcService]:
        """The services of all accounts, by routing id as it was given."""
        return MappingProxyType(self._services)

    def add(
        self,
        routingId: str,
        irisToken: str,
        listener: IIrisListener | None = None,
        tokenProvider: Callable[[], Any] | None = None,
        **options: Any,
    ) -> IrisRtcService:
        """
        Keep a connection for this account too, from now on if the fleet is running.

        @param listener: gets its callbacks.
        @param tokenProvider: is asked for its tokens; see C{Settings.tokenProvider}.
        @param options: C{waitForToken} and C{waiting} of L{IrisRtcService}.
        @return: its service.
        @raise IncorrectParameters: when the account is unusable, or there already.
        """
        RoutingId.parse(routingId)
        checkToken("irisToken", irisToken)
        if routingId in self._services:
            raise IncorrectParameters(f"{routingId!r} is in the fleet already")
        service = IrisRtcService(
            irisToken,
            routingId,
            self._url,
            reactor=self._reactor,
            listener=listener,
            settings=self._settings,
            tokenProvider=tokenProvider,
            **options,
        )
        self._services[routingId] = service
        if self.running:
            self._waiting[routingId] = service
            self._start()
        return service

    def remove(self, routingId: str) -> Deferred[None]:
        """
        Close the connection of an account, and forget it.

        @return: fires when nothing is left of it.
        @raise KeyError: when there is no such account.
        """
        service = self._services.pop(routingId)
        self._waiting.pop(routingId, None)
        service.connection._driver.counters.leave()
        stopped = service.stopService()
        self._leaving[service] = None
        service.connection.close().addCallback(lambda _: self._leaving.pop(service))
        return stopped

    # All of them

    @property
    def states(self) -> Counter[ConnectionState]:
        """How many connections are in each state."""
        return +self._totals.states

    @property
    def attemptsUnderWay(self) -> int:
        """How many attempts to connect are under way now."""
        return self._gate.limit - self._gate.tokens

    @property
    def stats(self) -> Stats:
        """The counters of all accounts, of those that were removed too, added up."""
        return attrs.evolve(self._totals.stats)

    @property
    def roundTrips(self) -> PingHistogram:
        """How long the pings of all accounts took."""
        return self._totals.roundTrips

    @property
    def sinceNotification(self) -> float | None:
        """Seconds since the last notification came to any account; C{None} before the first."""
        last = self._totals.lastNotification
        return None if last is None else self._time.seconds() - last

    def tokensExpiringWithin(self, seconds: float) -> int:
        """How many tokens in use expire within that time, or have expired."""
        latest = wallSeconds(self._reactor) + seconds
        expiries = (service.connection.tokenExpiry for service in self._services.values())
        return sum(expiry is not None and expiry <= latest for expiry in expiries)

    def startService(self) -> None:
        super().startService()
        self._waiting = dict(self._services)
        self._start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        self._waiting.clear()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # Those first that wait for their turn: it shall not come to them now.
        services = reversed(self._services.values())
        stopping = [service.stopService() for service in services]
        await gatherResults([*stopping, *(service.connection.close() for service in self._leaving)])
        if self._pool is not None:
            await self._pool.closeCachedConnections()

    def _start(self) -> None:
        """Start the accounts that wait for it, so many per second."""
        if self._starting is None and self._waiting:
            self._startSome()

    def _startSome(self) -> None:
        self._starting = None
        now = self._time.seconds()
        grown = self._credit + (now - self._credited) * self._ramp
        self._credit, self._credited = min(grown, self._most), now
        # Whatever binary fractions make of the passing of time.
        while self._waiting and self._credit >= 0.999:
            self._credit -= 1
            routingId = next(iter(self._waiting))
            self._waiting.pop(routingId).startService()
        if self._waiting:
            self._starting = self._time.callLater(_TICK, self._startSome)
