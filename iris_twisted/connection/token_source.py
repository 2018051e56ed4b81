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

from ..errors import TokenRefused
from ..net.addresses import checkToken
from ..net.steady_time import steadyTime
from .interfaces import IRetryPolicy
from .retry import FullJitter, delayBefore

__all__ = ["TokenSource"]


class _Question:
    """One call of the provider: C{answer} is C{None} until it returned."""

    def __init__(self) -> None:
        self.answer: Deferred[Any] | None = None


class TokenSource:
    """
    The provider is called in a reactor turn of its own, never from within a call of the
    API; it may close the connection.

    @param provider: the application's C{tokenProvider}.
    @param policy: how long to wait before it is asked again; where it ends or fails, the
        default one goes on: somebody has to come up with a token.
    @param timeout: seconds after which a question without an answer counts as failed.
    @param got: called with each usable token.
    @param failed: called when it gave none, once until it gives one again.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        provider: Callable[[], Any],
        policy: IRetryPolicy,
        timeout: float,
        got: Callable[[str], None],
        failed: Callable[[TokenRefused], None],
    ) -> None:
        self._time = steadyTime(reactor)
        self._provider = provider
        self._policy = policy
        self._timeout = timeout
        self._got = got
        self._failed = failed
        self._question: _Question | None = None
        # Until the next question; while one is open, until it counts as failed.
        self._timer: IDelayedCall | None = None
        # What goes on though it was stopped, until the next question or L{cancelStopped}.
        self._stopped: list[Deferred[Any]] = []
        self._failures = 0
        self._told = False

    def ask(self) -> None:
        """Ask in the next turn, unless a question is open already."""
        if self._question is None:
            self._wait(0.0, self._ask)

    def askLater(self) -> None:
        """Ask again after a while, unless a question is open or near already."""
        self._failures += 1
        if self._question is None and self._timer is None:
            delay = delayBefore(self._policy, self._failures)
            if delay is None:
                delay = FullJitter().delay(self._failures) or 0.0
            self._wait(delay, self._ask)

    def satisfied(self) -> None:
        """Its last token is good: a later failure is a new one."""
        self._failures = 0
        self._told = False

    def stop(self) -> None:
        """Ask no more, and do not hear of the open question any more."""
        self._cancelTimer()
        question, self._question = self._question, None
        if question is not None and question.answer is not None:
            self._stopped.append(question.answer)
        self.satisfied()

    def cancelStopped(self) -> None:
        """Cancel what was under way when it was stopped, which may be what stopped it."""
        stopped, self._stopped = self._stopped, []
        for answer in stopped:
            self._cancel(answer)

    def _cancel(self, answer: Deferred[Any]) -> None:
        try:
            answer.cancel()
        except Exception:
            self._log.failure("the token provider's Deferred cannot be cancelled")

    def _wait(self, seconds: float, work: Callable[[], None]) -> None:
        self._cancelTimer()
        self._timer = self._time.callLater(seconds, work)

    def _cancelTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _ask(self) -> None:
        self._timer = None
        self._question = question = _Question()
        # One at a time: nobody wants what those say that were asked before an L{stop}.
        self.cancelStopped()
        if self._question is not question:
            return
        answer = maybeDeferred(self._provider)
        answer.addCallback(lambda token: checkToken("the token provider's token", token))
        if self._question is question:
            question.answer = answer
            self._wait(self._timeout, self._hangs)
        else:
            # The provider itself stopped it.
            self._stopped.append(answer)
        answer.addCallbacks(
            self._answered, self._refused, callbackArgs=(question,), errbackArgs=(question,)
        )

    def _hangs(self) -> None:
        self._timer = None
        question, self._question = self._question, None
        self._gaveNone(f"it did not answer within {self._timeout:g} seconds")
        if question is not None and question.answer is not None:
            self._cancel(question.answer)

    def _answered(self, token: str, question: _Question) -> None:
        if self._question is question:
            self._question = None
            self._cancelTimer()
            self._got(token)

    def _refused(self, failure: Failure, question: _Question) -> None:
        if self._question is question:
            self._question = None
            self._cancelTimer()
            self._gaveNone(type(failure.value).__name__)

    def _gaveNone(self, why: str) -> None:
        self._log.warn("the token provider gave no token: {why}", why=why)
        if not self._told:
            self._told = True
            self._failed(TokenRefused("the token provider gave no usable token; it is asked again"))
        self.askLater()
