"""
The connections of a daemon, as its cluster wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from ..connection.connection import IrisListener
from ..connection.interfaces import IIrisListener
from ..connection.state import ConnectionState
from ..daemon.accounts import Account
from ..daemon.configuration import Configuration
from ..daemon.interfaces import IAccountSet
from ..errors import IncorrectParameters, NotHeld, NotKept
from ..net.steady_time import steadyTime
from ..outbox.outbox import Outbox
from ..outbox.values import Place
from .interfaces import IPlaceRunner
from .values import ClusterAccount, Kept

__all__ = ["Connections"]

# Seconds after which an account is tried again that was given up.
_AGAIN = 60.0
# What a login with a password needs besides.
_LOGIN = ("auth-manager", "app-key", "app-secret-file")


class _Listener(IrisListener):
    """Tells when the connection came up first."""

    def __init__(self, up: Callable[[], None]) -> None:
        self._up = up

    def onConnected(self) -> None:
        self._up()


@attrs.define(eq=False)
class _Connection:
    """
    @ivar account: as the daemon knows it.
    @ivar latest: as it is in the database by now.
    @ivar sinks: where its calls go now; C{None} where one of them cannot be used here.
    @ivar up: fires when it is up for the first time.
    @ivar offers: how many calls are being kept.
    @ivar idle: fires when none is, once it is to be stopped.
    @ivar again: until it is tried again.
    """

    account: Account
    latest: Account
    sinks: Sequence[str] | None
    up: Deferred[None] = attrs.field(factory=Deferred)
    offers: int = 0
    idle: Deferred[None] | None = None
    again: IDelayedCall | None = None

    def waitNoLonger(self) -> None:
        """It is not to be tried again after a while."""
        if self.again is not None:
            self.again.cancel()
            self.again = None


@implementer(IPlaceRunner)
class Connections:
    """
    @ivar fenced: how many calls were refused because another member has the account.
    """

    _log = Logger()

    def __init__(self, reactor: Any, configuration: Configuration) -> None:
        self._time = steadyTime(reactor)
        self._configuration = configuration
        self._accountSet: IAccountSet | None = None
        self._outbox: Outbox | None = None
        self._connections: dict[str, _Connection] = {}
        self.fenced = 0

    def use(self, accountSet: IAccountSet, outbox: Outbox | None) -> None:
        """Called before all else: where connections are kept, and where calls go."""
        self._accountSet, self._outbox = accountSet, outbox

    def __len__(self) -> int:
        return len(self._connections)

    # What the daemon asks

    def listener(self, account: Account) -> IIrisListener:
        """What hears the callbacks of an account's connection."""
        connection = self._connections[account.name.lower()]

        def up() -> None:
            if not connection.up.called:
                connection.up.callback(None)

        return _Listener(up)

    async def offer(self, place: Place, notification: dict[str, Any]) -> None:
        """
        Keep a call.

        @param place: by which right.
        @raise NotKept: when it must not, or cannot be kept.
        """
        connection = self._connections.get(place.account.lower())
        if connection is None:
            raise NotKept(f"{place.account} is being closed")
        sinks = connection.sinks
        if sinks is None:
            # Another copy may be able to keep it for all of them.
            raise NotKept(f"a sink of {place.account} cannot be used here")
        if self._outbox is None or not sinks:
            return
        connection.offers += 1
        try:
            await self._outbox.offer(place.account, notification, sinks, place)
        except NotHeld:
            self.fenced += 1
            raise
        finally:
            connection.offers -= 1
            if not connection.offers and connection.idle is not None:
                connection.idle.callback(None)

    def ended(self, account: Account) -> None:
        """An account was given up: it is tried again after a while."""
        connection = self._connections.get(account.name.lower())
        if connection is not None and connection.account is account:
            words = "{name} was given up; trying again in {seconds:.0f} seconds"
            self._log.error(words, name=account.name, seconds=_AGAIN)
            connection.waitNoLonger()
            connection.again = self._time.callLater(_AGAIN, self._tryAgain, connection)

    # IPlaceRunner

    def start(self, kept: Kept) -> Deferred[None]:
        account = _accountOf(kept.account)
        connection = _Connection(account, account, self._sinksOf(kept.account))
        self._connections[kept.account.routingId.lower()] = connection
        self._connect(connection)
        return connection.up

    def change(self, kept: Kept) -> None:
        connection = self._connections[kept.account.routingId.lower()]
        connection.sinks = self._sinksOf(kept.account)
        before, account = connection.account, _accountOf(kept.account)
        connection.latest = account
        service = self._known.serviceOf(account.routingId or "")
        login = before.email, before.password
        givenUp = connection.again is not None
        if givenUp or login != (account.email, account.password) or service is None:
            self._reconnect(connection)
        elif account.token is not None:
            try:
                service.updateToken(account.token)
            except IncorrectParameters as e:
                self._log.error("{name}: {reason}", name=account.name, reason=e.message)

    def stop(self, kept: Kept) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop(kept))

    async def _stop(self, kept: Kept) -> None:
        connection = self._connections.pop(kept.account.routingId.lower())
        connection.waitNoLonger()
        await self._known.remove(connection.account)
        if connection.offers:
            # They are ours still.
            connection.idle = Deferred()
            await connection.idle

    def isUp(self, kept: Kept) -> bool:
        service = self._known.serviceOf(kept.account.routingId)
        return service is not None and service.connection.state is ConnectionState.CONNECTED

    # How

    @property
    def _known(self) -> IAccountSet:
        assert self._accountSet is not None
        return self._accountSet

    def _sinksOf(self, account: ClusterAccount) -> Sequence[str] | None:
        """All of them; C{None} where one cannot be used, which is logged."""
        usable: list[str] | None = []
        for spec in self._configuration["sink"] if account.sinks is None else account.sinks:
            try:
                if self._outbox is not None:
                    self._outbox.use([spec])
            except IncorrectParameters as e:
                name = account.routingId
                self._log.error("a sink of {name}: {reason}", name=name, reason=e.message)
                usable = None
            else:
                if usable is not None:
                    usable.append(spec)
        return usable

    def _connect(self, connection: _Connection) -> None:
        account = connection.account
        if account.email is not None:
            for name in _LOGIN:
                if self._configuration[name] is None:
                    words = "{account} logs in, and that needs --{name}"
                    self._log.error(words, account=account.name, name=name)
                    return
        self._known.add(account, account.token)

    def _tryAgain(self, connection: _Connection) -> None:
        connection.again = None
        self._reconnect(connection)

    def _reconnect(self, connection: _Connection) -> None:
        connection.waitNoLonger()
        self._known.remove(connection.account)
        connection.account = connection.latest
        self._connect(connection)


def _accountOf(one: ClusterAccount) -> Account:
    return Account(
        one.routingId, None, one.sinks, one.email, token=one.token, password=one.password
    )
