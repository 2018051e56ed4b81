"""
An account on its way to a connection: logged in, named, subscribed; again until it works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..connection.interfaces import IIrisListener
from ..connection.retry import FullJitter
from ..errors import IrisError, TokenRefused
from ..login.auth_manager import AuthManagerClient, Login
from ..login.identity_manager import IdentityManagerClient
from ..login.notification_manager import NotificationManagerClient
from ..login.platform_login import LoggedIn, PlatformLogin
from ..net.jwt import claimsOf
from ..net.secret_files import readSecretFile, readToken
from ..net.steady_time import steadyTime
from .accounts import Account
from .configuration import Configuration

__all__ = ["AccountLogin", "authManager"]


def authManager(
    configuration: Configuration, account: Account, reactor: Any
) -> AuthManagerClient | None:
    """
    Where an account logs in, if it does.

    @raise IncorrectParameters: when a file with a secret cannot be read, or is none.
    """
    url = configuration["auth-manager"]
    if url is None or account.token is not None or account.tokenFile is not None:
        return None
    secret, password = None, account.password
    if account.email is not None:
        secret = readSecretFile("the app secret", configuration["app-secret-file"])
        if account.passwordFile is not None:
            password = readSecretFile("the password", account.passwordFile)
    return AuthManagerClient(
        url,
        configuration["app-key"],
        secret,
        email=account.email,
        password=password,
        userId=account.routingId,
        reactor=reactor,
        settings=configuration.settings,
    )


class AccountLogin:
    """
    Logs an account in, asks for its routing id, and subscribes it for its calls, as far as the
    configuration says so; with backoff until that works.

    @param token: the account's, where it does not log in.
    @param report: is told each error.
    @param waiting: called with the seconds before another attempt.
    @param room: how many may log in at the same time; C{None} for any number.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        account: Account,
        token: str | None,
        report: IIrisListener,
        waiting: Callable[[float], None],
        room: DeferredSemaphore | None = None,
    ) -> None:
        self._reactor = reactor
        self._room = room
        self._report = report
        self._waiting = waiting
        self.auth = authManager(configuration, account, reactor)
        services: list[Any] = []
        for name, client in (
            ("identity-manager", IdentityManagerClient),
            ("notification-manager", NotificationManagerClient),
        ):
            url = configuration[name]
            services.append(
                client(url, reactor=reactor, settings=configuration.settings) if url else None
            )

        self._file = account.tokenFile

        async def known() -> Login:
            # A file may have another one by now.
            found = token if self._file is None else readToken(self._file)
            assert found is not None
            return Login(found, str(claimsOf(found).get("id", "")))

        self._login = PlatformLogin(
            self.auth.login if self.auth is not None else lambda: Deferred.fromCoroutine(known()),
            account.routingId,
            identity=services[0],
            notifications=services[1],
            topics=configuration.topics,
            domain=configuration["app-domain"],
        )

    def run(self) -> Deferred[LoggedIn]:
        """
        @return: fires when all is done; fails with an L{IrisError} that no other attempt can cure.
            It may be cancelled.
        """
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> LoggedIn:
        policy, attempt = FullJitter(), 0
        while True:
            try:
                return await self._once()
            except IrisError as e:
                self._report.onConnectionError(e.code, e.message)
                attempt += 1
                delay = policy.delay(attempt)
                awaitsToken = isinstance(e, TokenRefused) and self._file is not None
                if delay is None or not (e.retryable or awaitsToken):
                    raise
                self._log.info("trying again in {delay:.1f} seconds", delay=delay)
                self._waiting(delay)
                await deferLater(steadyTime(self._reactor), delay)

    async def _once(self) -> LoggedIn:
        if self._room is None:
            return await self._login.run()
        await self._room.acquire()
        try:
            return await self._login.run()
        finally:
            self._room.release()
