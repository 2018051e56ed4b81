"""
Where new iris tokens come from: the application's token provider, asked one
question at a time, and again with backoff when it has no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from .addresses import checkToken
from .errors import TokenRefused
from .interfaces import IRetryPolicy

__all__ = ["TokenSource"]


class TokenSource:
    """
    @param provider: the application's C{tokenProvider}.
    @param policy: how long to wait before it is asked again.
    @param got: called with each usable token.
    @param failed: called when it gave none, once until it gives one again.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        provider: Callable[[], Any],
        policy: IRetryPolicy,
        got: Callable[[str], None],
        failed: Callable[[TokenRefused], None],
    ) -> None:
        self._reactor = reactor
        self._provider = provider
        self._policy = policy
        self._got = got
        self._failed = failed
        self._asking: Deferred[Any] | None = None
        self._again: IDelayedCall | None = None
        self._failures = 0
        self._told = False

    def ask(self) -> None:
        """Ask, unless a question is open already."""
        if self._asking is None:
            self._cancelAgain()
            self._asking = asking = maybeDeferred(self._provider)
            asking.addCallback(lambda token: checkToken("the token provider's token", token))
            asking.addCallbacks(
                self._answered, self._refused, callbackArgs=(asking,), errbackArgs=(asking,)
            )

    def askLater(self) -> None:
        """Ask again after a while."""
        self._failures += 1
        delay = self._policy.delay(self._failures)
        if delay is not None and self._again is None:
            self._again = self._reactor.callLater(delay, self._askAgain)

    def satisfied(self) -> None:
        """Its last token is good: a later failure is a new one."""
        self._failures = 0
        self._told = False

    def stop(self) -> None:
        """Ask no more, and forget the open question."""
        self._cancelAgain()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
        self.satisfied()

    def _askAgain(self) -> None:
        self._again = None
        self.ask()

    def _cancelAgain(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _answered(self, token: str, asking: Deferred[Any]) -> None:
        if self._asking is asking:
            self._asking = None
            self._got(token)

    def _refused(self, failure: Failure, asking: Deferred[Any]) -> None:
        if self._asking is not asking:
            return
        self._asking = None
        kind = type(failure.value).__name__
        self._log.warn("the token provider gave no token: {kind}", kind=kind)
        if not self._told:
            self._told = True
            self._failed(TokenRefused("the token provider gave no usable token; it is asked again"))
        self.askLater()
