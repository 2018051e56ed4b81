"""
HTTP Basic (RFC 7617) before what only operators may see, by L{twisted.web.guard}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.iweb import ICredentialFactory
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer

from ..net.steady_time import steadyTime
from .checker import Attempt, OperatorChecker
from .file import Operator, readOperators
from .limit import FailureLimit, networkOf

__all__ = ["Access"]

_REALM = b"iris"


class Access:
    """
    The operators of a file, let in wherever a guard stands. What an address fails at one
    guard counts at all.

    @param path: of the file.
    @raise IncorrectParameters: naming the file, the line and what is wrong there.
    @ivar limit: of failures.
    """

    def __init__(self, reactor: Any, path: str) -> None:
        self._path = path
        self.limit = FailureLimit(steadyTime(reactor).seconds)
        self._checker = OperatorChecker(reactor, readOperators(path), self.limit)

    def reload(self) -> bool:
        """
        Read the file again.

        @return: whether somebody has left, has got another password, or may do something
            else now: what is open for them should be closed.
        @raise IncorrectParameters: naming what is wrong; then all stays as it is.
        """
        before = self._checker.operators
        now = readOperators(self._path)
        self._checker.operators = now
        self._checker.forget()
        return any(now.get(name) != operator for name, operator in before.items())

    def guard(self, resourceFor: Callable[[Operator], IResource]) -> Resource:
        """
        @param resourceFor: gives what an operator may see.
        @return: a resource for the root of a site, or for a place below it.
        """
        realm = _Realm(self._checker, resourceFor)
        return _Guard(realm, self._checker, self.limit)


@attrs.frozen
class _PutOff:
    """
    Instead of an avatar: nobody looked at the password. As a failure it would be answered
    401, and the browser would ask its user for another one.

    @ivar seconds: after which it may be given again.
    """

    seconds: float


@implementer(IRealm)
@attrs.frozen
class _Realm:
    checker: OperatorChecker
    resourceFor: Callable[[Operator], IResource]

    def requestAvatar(
        self, avatarId: bytes | tuple[()] | _PutOff, mind: object, *interfaces: Any
    ) -> tuple[Any, IResource, Callable[[], None]]:
        """See C{IRealm}."""
        if isinstance(avatarId, _PutOff):
            return IResource, _TooOften(avatarId.seconds), lambda: None
        assert isinstance(avatarId, bytes)
        operator = self.checker.operators[avatarId.decode()]
        return IResource, self.resourceFor(operator), lambda: None


@implementer(ICredentialsChecker)
@attrs.frozen
class _ForRequest:
    """
    Checks, for whoever is still there. It gives no answer to who has gone:
    L{HTTPAuthSessionWrapper} would write it to a connection that is lost.
    """

    checker: OperatorChecker
    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: _RequestAttempt) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, attempt: _RequestAttempt) -> bytes | tuple[()] | _PutOff:
        try:
            return await self.checker.requestAvatarId(attempt)
        except UnauthorizedLogin:
            if attempt.retryAfter is None:
                raise
            return _PutOff(attempt.retryAfter)
        finally:
            if attempt.gone:
                # Never: nobody holds it, so it is forgotten with everything that waits for it.
                await Deferred()


class _RequestAttempt(Attempt):
    """
    @ivar gone: whether who asked has hung up.
    """

    gone = False

    def __init__(self, username: bytes, password: bytes, request: Request) -> None:
        super().__init__(username, password, networkOf(request.getClientAddress()))
        self.request = request
        request.notifyFinish().addErrback(self._lost)

    def _lost(self, _: object) -> None:
        self.gone = True


@implementer(ICredentialFactory)
class _Basic(BasicCredentialFactory):
    def getChallenge(self, request: Request) -> dict[str, bytes]:
        # RFC 7617 section 2.1.
        return {**super().getChallenge(request), "charset": b"UTF-8"}

    def decode(self, response: bytes, request: Request) -> _RequestAttempt:
        given = super().decode(response, request)
        return _RequestAttempt(given.username, given.password, request)


class _Guard(Resource):
    """
    Asks who somebody is, unless their address has failed too often: those are told at once,
    so that no browser asks its user for another password.
    """

    def __init__(self, realm: _Realm, checker: OperatorChecker, limit: FailureLimit) -> None:
        super().__init__()
        self._limit = limit
        portal = Portal(realm, [_ForRequest(checker)])
        self._inner = HTTPAuthSessionWrapper(portal, [_Basic(_REALM)])

    def render(self, request: Request) -> Any:
        return self._choose(request).render(request)

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        # Whoever comes next sees the same path.
        assert request.prepath is not None and request.postpath is not None
        request.postpath.insert(0, request.prepath.pop())
        return self._choose(request)

    def _choose(self, request: Request) -> Any:
        # The answer depends on who asks: nobody on the way may keep it.
        request.setHeader("cache-control", "no-store")
        if request.getHeader(b"authorization"):
            wait = self._limit.wait(networkOf(request.getClientAddress()))
            if wait > 0:
                return _TooOften(wait)
        return self._inner


class _TooOften(Resource):
    """429 (RFC 6585 section 4)."""

    isLeaf = True

    def __init__(self, wait: float) -> None:
        super().__init__()
        self._wait = wait

    def render(self, request: Request) -> bytes:
        request.setResponseCode(429, b"Too Many Requests")
        request.setHeader("content-type", "text/plain; charset=utf-8")
        request.setHeader("retry-after", str(math.ceil(self._wait)))
        return b"Passwords were tried too often: try again later.\n"
