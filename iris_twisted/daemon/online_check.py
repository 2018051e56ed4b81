"""
C{twist iris --check=online}: everything up to a session, once, step by step, for each account.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from ..command_line.exit_status import statusFor
from ..command_line.terminal import printable
from ..connection.connection import IrisListener, IrisRtcConnection
from ..discovery.client import EventManagerClient
from ..discovery.event_manager_address import EventManagerAddress
from ..errors import IrisError
from ..login.auth_manager import Login
from ..login.identity_manager import IdentityManagerClient
from ..net.addresses import RoutingId, withoutPath
from ..net.jwt import claimsOf
from ..net.steady_time import steadyTime
from .account_login import authManager
from .accounts import Account
from .configuration import Configuration

__all__ = ["OnlineCheck"]

_Result = TypeVar("_Result")


class _Busy(IrisListener):
    """Takes no call: one that comes in this moment is left to whoever else is connected."""

    def onNotification(self, notificationInfo: dict[str, Any]) -> Deferred[None]:
        return Deferred()


@attrs.define
class _Failed(Exception):
    """A step went wrong, which was told already."""

    error: IrisError


class OnlineCheck:
    """
    @param configuration: which names an event manager.
    @param tokens: of its accounts; C{None} for those that log in.
    @param say: takes a line.
    """

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        tokens: Mapping[Account, str | None],
        say: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._configuration = configuration
        self._tokens = tokens
        self._say = say
        # Of many accounts only what is wrong is told.
        self._brief = len(tokens) > 10

    async def run(self) -> int:
        """
        @return: an exit status: 0 when every account would be connected.
        """
        gate = DeferredSemaphore(self._configuration["attempts"])

        def checked(account: Account) -> Deferred[IrisError | None]:
            return Deferred.fromCoroutine(self._account(account))

        accounts = self._configuration.accounts
        found = await gatherResults([gate.run(checked, account) for account in accounts])
        errors = [error for error in found if error is not None]
        self._say(f"{len(found) - len(errors)} of {len(found)} accounts can connect")
        return statusFor(errors[0]) if errors else 0

    async def _account(self, account: Account) -> IrisError | None:
        try:
            await self._steps(account)
        except _Failed as e:
            return e.error
        except IrisError as e:
            self._line("failed", account.name, "configuration", f"{e.message} ({e.code})")
            return e
        return None

    async def _steps(self, account: Account) -> None:
        configuration, reactor = self._configuration, self._reactor
        settings, url = configuration.settings, configuration["event-manager"]
        name = account.name
        auth = authManager(configuration, account, reactor)
        if auth is None:
            token = self._tokens[account] or ""
            login = Login(token, str(claimsOf(token).get("id", "")))
        else:
            login = await self._step(
                name, "login", auth.login(), lambda it: f"{configuration['auth-manager']} knows us"
            )
        routingId = account.routingId
        if routingId is None:
            manager = configuration["identity-manager"]
            identity = IdentityManagerClient(manager, reactor=reactor, settings=settings)
            asking = identity.routingId(login.token, login.id)
            routingId = await self._step(name, "identity manager", asking, lambda it: f"it is {it}")
        address = EventManagerAddress.parse(url, settings.insecure)
        discovery = settings.discovery or EventManagerClient(
            address,
            reactor,
            settings.trust,
            anonymous=settings.anonymous,
            limits=settings.limits,
            connectTimeout=settings.connectTimeout,
            proxies=settings.proxies,
        )
        await self._step(
            name,
            "event manager",
            discovery.discover(login.token, RoutingId.parse(routingId).text, str(uuid.uuid4())),
            lambda it: f"{address.origin} names {withoutPath(it.websocketServer)}",
        )
        connection = IrisRtcConnection(reactor, listener=_Busy(), settings=settings)
        try:
            await self._step(
                name,
                "session",
                connection.connect(login.token, routingId, url),
                lambda it: f"connected as {it.jid}",
            )
        finally:
            await connection.close()

    async def _step(
        self, name: str, step: str, doing: Awaitable[_Result], told: Callable[[_Result], str]
    ) -> _Result:
        begun = steadyTime(self._reactor).seconds()
        try:
            result = await doing
        except IrisError as e:
            self._line("failed", name, step, f"{e.message} ({e.code})")
            raise _Failed(e) from None
        took = steadyTime(self._reactor).seconds() - begun
        if not self._brief:
            self._line("ok", name, step, f"{told(result)} ({took:.2f} s)")
        return result

    def _line(self, outcome: str, name: str, step: str, words: str) -> None:
        self._say(printable(f"{outcome:<8}{name}  {step}: {words}"))
