"""
Whether somebody is who they say: C{ICredentialsChecker} over a file of operators.

Verifying a password is slow on purpose, so it is done in a thread, two at a time, once for
all who give the same meanwhile, and remembered for some minutes. Neither the answer nor the
time that it takes says whether there is an operator of that name.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..net.steady_time import steadyTime
from .file import Operator
from .hashes import hashOf, isPassword
from .limit import FailureLimit

__all__ = ["Attempt", "OperatorChecker"]

# Passwords that are verified at a time: each takes a core, and 19 MiB.
_AT_A_TIME = 2
# Other passwords that may wait for that, and seconds after which to try again where these are
# too many. Those whose addresses have failed too often meanwhile end one from within the
# other: so it may not be many, or the stack ends first.
_WAITING = 32
_SOON = 2.0
# Seconds for which a password that was right counts without being verified again.
_REMEMBERED = 300.0


class Attempt(UsernamePassword):
    """
    Name and password as somebody gave them.

    @ivar network: where they came from, see L{networkOf}.
    @ivar retryAfter: when this is set, nobody looked at them: after so many seconds they
        may be given again.
    """

    username: bytes
    password: bytes
    retryAfter: float | None = None

    def __init__(self, username: bytes, password: bytes, network: str) -> None:
        super().__init__(username, password)
        self.network = network


@attrs.frozen
class _Known:
    """
    A password that was right.

    @ivar digest: of it and what else it depends on, under a key of this process.
    @ivar until: when it has to be verified again.
    """

    digest: bytes = attrs.field(repr=False)
    until: float


@implementer(ICredentialsChecker)
class OperatorChecker:
    """
    @param limit: of failures.
    @ivar operators: by their names; may be replaced.
    """

    credentialInterfaces = (IUsernamePassword,)
    _log = Logger()

    def __init__(
        self, reactor: Any, operators: Mapping[str, Operator], limit: FailureLimit
    ) -> None:
        self.operators = operators
        self._reactor = reactor
        self._limit = limit
        self._seconds = steadyTime(reactor).seconds
        self._turns = DeferredSemaphore(_AT_A_TIME)
        self._key = secrets.token_bytes(32)
        # One for each operator at most: nobody has two passwords.
        self._known: dict[str, _Known] = {}
        # Who waits for a password to be verified, by its digest.
        self._verifying: dict[bytes, dict[Attempt, Deferred[None]]] = {}
        self._nobody = hashOf(secrets.token_urlsafe())

    def requestAvatarId(self, credentials: Attempt) -> Deferred[bytes | tuple[()]]:
        """
        @return: fires with the operator's name; fails with C{UnauthorizedLogin}.
        """
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, attempt: Attempt) -> bytes | tuple[()]:
        self._mayTry(attempt)
        name = normalize("NFC", attempt.username.decode("utf-8", "replace"))
        password = attempt.password.decode("utf-8", "surrogateescape")
        operator = self.operators.get(name)
        standIn = self._standIn(name)
        hash = standIn if operator is None else operator.hash
        digest = hmac.digest(
            self._key, b"\0".join((hash.encode(), attempt.username, attempt.password)), "sha256"
        )
        known = self._known.get(name)
        if (
            known is not None
            and operator is not None
            and hmac.compare_digest(known.digest, digest)
            and self._seconds() < known.until
        ):
            return name.encode()
        answer: Deferred[None] = Deferred()
        waiting = self._verifying.get(digest)
        if waiting is not None:
            # All pages of one operator come at once, after SIGHUP for example.
            waiting[attempt] = answer
        else:
            if len(self._turns.waiting) >= _WAITING:
                self._putOff(attempt, _SOON)
            waiting = self._verifying[digest] = {attempt: answer}
            Deferred.fromCoroutine(self._verify(digest, name, hash, password, waiting))
        await answer
        return name.encode()

    async def _verify(
        self,
        digest: bytes,
        name: str,
        hash: str,
        password: str,
        waiting: dict[Attempt, Deferred[None]],
    ) -> None:
        """
        @param waiting: for it; others may come while it is under way.
        """
        await self._turns.acquire()
        right, broken = False, None
        # Whoever came with many at once may have failed too often meanwhile.
        for attempt in waiting:
            attempt.retryAfter = self._limit.wait(attempt.network) or None
        if any(attempt.retryAfter is None for attempt in waiting):
            try:
                right = await deferToThreadPool(
                    self._reactor, self._reactor.getThreadPool(), isPassword, hash, password
                )
            except Exception:
                broken = Failure()
        operator = self.operators.get(name)
        # It may have been removed, or got another password, in that time.
        if operator is None or operator.hash != hash:
            right = False
        looked = [attempt for attempt in waiting if attempt.retryAfter is None]
        if right:
            self._known[name] = _Known(digest, self._seconds() + _REMEMBERED)
        elif broken is None:
            # Counted before the next one has its turn; one guess is one, however often.
            for network in dict.fromkeys(attempt.network for attempt in looked):
                self._failed(network, operator)
        del self._verifying[digest]
        self._turns.release()
        for attempt, answer in waiting.items():
            if right and attempt.retryAfter is None:
                answer.callback(None)
            else:
                answer.errback(broken or UnauthorizedLogin())

    def _standIn(self, name: str) -> str:
        """
        What to verify for who does not exist: the hash of one who does, so that it takes as
        long; for one name always the same, which nobody can foretell.
        """
        hashes = [operator.hash for operator in self.operators.values()]
        if not hashes:
            return self._nobody
        number = int.from_bytes(hmac.digest(self._key, name.encode("utf-8"), "sha256"), "big")
        return hashes[number % len(hashes)]

    def forget(self) -> None:
        """Verify every password again."""
        self._known.clear()

    def _mayTry(self, attempt: Attempt) -> None:
        wait = self._limit.wait(attempt.network)
        if wait > 0:
            self._putOff(attempt, wait)

    @staticmethod
    def _putOff(attempt: Attempt, seconds: float) -> None:
        attempt.retryAfter = seconds
        raise UnauthorizedLogin

    def _failed(self, network: str, operator: Operator | None) -> None:
        # The name of nobody is not told: it may be a password in the wrong field.
        who = "an unknown operator" if operator is None else f"operator {operator.name}"
        self._log.info("{address} failed to log in as {who}", address=network, who=who)
        if self._limit.failed(network):
            self._log.warn(
                "{address} has failed to log in too often, and has to wait; the last was {who}",
                address=network,
                who=who,
            )
