"""
Doing the same again and again: soon when there is something to do, later when there is not,
with backoff while the database is away. Never twice at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection.retry import FullJitter
from ..errors import DatabaseFailed
from ..net.earliest_call import EarliestCall
from .values import RENEW

__all__ = ["AT_ONCE", "Rounds"]

# Seconds in which what wakes it comes together.
AT_ONCE = 0.02


class Rounds:
    """
    @param look: does it; gives the seconds until the next time.
    @param failed: called when the database failed: whether to go on.
    @ivar failures: how many times in a row it did.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        look: Callable[[], Coroutine[Deferred[Any], Any, float]],
        failed: Callable[[DatabaseFailed], bool],
    ) -> None:
        self._look = look
        self._tellFailed = failed
        self._policy = FullJitter(base=0.3, cap=2.0)
        self._next = EarliestCall(reactor, self._begin)
        self._working: Deferred[None] | None = None
        self._again = False
        self._stopped = False
        self.failures = 0

    def wake(self) -> None:
        """Look as soon as possible."""
        if self._working is not None:
            self._again = True
        elif not self._stopped:
            self._next.within(AT_ONCE)

    async def stop(self) -> None:
        """Look no more; done when the last look is over."""
        self._stopped = True
        self._next.cancel()
        if self._working is not None:
            await self._working

    def _begin(self) -> None:
        self._again = False
        self._working = Deferred()
        looking = Deferred.fromCoroutine(self._look())
        looking.addCallbacks(self._looked, self._failed).addBoth(self._done)

    def _looked(self, wait: float) -> float:
        if self.failures:
            self._log.warn("the database of the cluster is back")
        self.failures = 0
        return AT_ONCE if self._again else wait

    def _failed(self, failure: Failure) -> float:
        error = failure.value
        if not isinstance(error, DatabaseFailed):
            self._log.failure("a bug in the cluster", failure)
            return RENEW
        self.failures += 1
        if not self._tellFailed(error):
            self._stopped = True
        elif self.failures == 1:
            self._log.error("{reason}; trying again", reason=error.message)
        return self._policy.delay(self.failures) or 0.0

    def _done(self, wait: Any) -> None:
        working, self._working = self._working, None
        assert working is not None
        if not self._stopped:
            self._next.within(wait)
        working.callback(None)
