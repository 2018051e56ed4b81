"""
The auth manager: from an app key to iris tokens.
"""

from __future__ import annotations

import base64
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..connection.settings import Settings
from ..errors import ApiParameters, ConnectionFailed, IncorrectParameters, TokenRefused
from ..net.addresses import checkToken, segment
from ..net.jwt import expiryOf
from .platform_service import PlatformService

__all__ = ["AuthManagerClient", "Login"]


@attrs.frozen
class Login:
    """
    What a login gave.

    @ivar token: the iris token; a secret.
    @ivar id: the user's id; of an anonymous one its routing id.
    @ivar expiresAt: epoch seconds, or C{None} when nothing says so.
    @ivar refreshToken: for L{AuthManagerClient.refresh}, where the server gave one; a secret.
    """

    token: str = attrs.field(repr=False)
    id: str
    expiresAt: float | None = None
    refreshToken: str | None = attrs.field(default=None, repr=False)


def _credential(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise IncorrectParameters(f"{name} must be text, and not empty")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise IncorrectParameters(f"{name} must not hold control characters")
    return value


class AuthManagerClient:
    """
    An auth manager (protocol.md section 8). Its L{token} is a C{tokenProvider}: it
    refreshes or logs in again, as the same user.

    @param url: C{host}, C{host:port} or an C{https://} URL.
    @param appKey: of the application.
    @param appSecret: the same; not needed to be anonymous.
    @param email: of the user; C{None} to be anonymous.
    @param password: the user's.
    @param userId: to be anonymous as, C{user@domain}.
    @param offline: ask for a refresh token too (C{access_type} offline).
    @param refreshPath: where refresh tokens are taken. That the platform takes them
        where it takes passwords is an assumption: when it does not, L{refresh} logs in.
    @raise IncorrectParameters: naming what is missing or unusable, without its value.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        appKey: str,
        appSecret: str | None = None,
        *,
        email: str | None = None,
        password: str | None = None,
        userId: str | None = None,
        offline: bool = False,
        refreshPath: str = "v1.1/login",
        reactor: Any = None,
        settings: Settings | None = None,
    ) -> None:
        self._service = PlatformService("the auth manager", url, reactor, settings)
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._appKey = _credential("appKey", appKey)
        if ":" in appKey:
            raise IncorrectParameters("appKey must not hold a colon (RFC 7617 section 2)")
        self._appSecret = appSecret
        self._email, self._password, self._userId = email, password, userId
        if email is not None:
            _credential("appSecret", appSecret)
            _credential("email", email)
            _credential("password", password)
        elif userId is not None:
            segment("userId", userId)
        else:
            raise IncorrectParameters("email is missing, or userId to be anonymous")
        self._offline = offline
        self._refreshPath = refreshPath
        self._last: Login | None = None

    def login(self) -> Deferred[Login]:
        """
        Log in with email and password, or anonymously where there is none.

        @return: fires with a L{Login}; fails with L{TokenRefused} when they are refused,
            with L{ApiParameters} when the answer lacks what is needed, and with
            L{ConnectionFailed}.
        """
        return Deferred.fromCoroutine(self._login() if self._email else self._anonymous())

    def refresh(self) -> Deferred[Login]:
        """
        Get another token: by the refresh token of the last login where there is one
        and it is taken, otherwise by logging in again.

        @return: as L{login}.
        """
        return Deferred.fromCoroutine(self._refresh())

    def token(self) -> Deferred[str]:
        """
        A new token: what C{tokenProvider} wants.

        @return: fires with it; fails as L{login} does.
        """
        return self.refresh().addCallback(lambda login: login.token)

    async def _login(self) -> Login:
        value = {"type": "email", "email": self._email, "password": self._password}
        if self._offline:
            value["access_type"] = "offline"
        return await self._ask("v1.1/login", value)

    async def _anonymous(self) -> Login:
        headers = {"X-App-Key": self._appKey}
        path, value = "v1/login/anonymous/", {"UserID": self._userId}
        answer = self._service.json(await self._service.ask("POST", path, headers, value))
        return self._read({**answer, "id": self._userId} if isinstance(answer, dict) else answer)

    async def _refresh(self) -> Login:
        last = self._last
        if last is not None and last.refreshToken is not None:
            value = {"type": "refresh_token", "refresh_token": last.refreshToken}
            try:
                found = await self._ask(self._refreshPath, value)
            except (TokenRefused, ApiParameters, ConnectionFailed) as e:
                self._log.info("the refresh token was of no use: {reason}", reason=e.message)
            else:
                if found.refreshToken is None:
                    self._last = found = attrs.evolve(found, refreshToken=last.refreshToken)
                return found
        return await self.login()

    async def _ask(self, path: str, value: dict[str, Any]) -> Login:
        pair = f"{self._appKey}:{self._appSecret}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        try:
            answer = await self._service.ask("POST", path, headers, value)
        except TokenRefused:
            # Its own words might repeat what was sent.
            raise TokenRefused(
                f"{self._service.name} refused the login: check app key, app secret, email "
                f"and password"
            ) from None
        return self._read(self._service.json(answer))

    def _read(self, answer: Any) -> Login:
        try:
            token = checkToken("its token", self._service.text(answer, "token", "Token"))
        except IncorrectParameters as e:
            raise ApiParameters(f"in the answer of {self._service.name}, {e.message}") from None
        refresh = answer.get("refresh_token")
        self._last = Login(
            token,
            self._service.text(answer, "id"),
            self._expiry(token, answer.get("expires_in")),
            refresh if isinstance(refresh, str) and refresh else None,
        )
        return self._last

    def _expiry(self, token: str, minutes: Any) -> float | None:
        expiry = expiryOf(token)
        if expiry is None and isinstance(minutes, (str, int)) and not isinstance(minutes, bool):
            text = str(minutes)
            if text.isascii() and text.isdigit() and len(text) < 9:
                expiry = self._reactor.seconds() + 60.0 * int(text)
        return expiry
