"""
Work that may take so long and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ..errors import IrisError, NoAnswer
from .steady_time import steadyTime

__all__ = ["Deadlines", "deadlined"]

_T = TypeVar("_T")


async def deadlined(
    reactor: Any, seconds: float, work: Deferred[_T], words: Callable[[], str]
) -> _T:
    """
    Wait so long and no longer.

    @param words: what to say when it took too long.
    @raise NoAnswer: when it did; what was cancelled is cleaned up before.
    """
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        work.cancel()

    call = steadyTime(reactor).callLater(seconds, expire)
    try:
        return await work
    except (CancelledError, IrisError):
        if expired:
            raise NoAnswer(words()) from None
        raise
    finally:
        if call.active():
            call.cancel()


class Deadlines:
    """
    The same for much that may take as long each: who began first is late first, so one timer
    is enough for all.

    @param seconds: that each may take.
    """

    def __init__(self, reactor: Any, seconds: float) -> None:
        self._time = steadyTime(reactor)
        self._seconds = seconds
        # What is under way, in the order of its ends.
        self._ends: dict[Deferred[Any], float] = {}
        self._late: set[Deferred[Any]] = set()
        self._timer: IDelayedCall | None = None

    def bound(self, work: Deferred[_T], words: Callable[[], str]) -> Deferred[_T]:
        """
        @param words: what to say when it took too long.
        @return: the same Deferred; then it fails with L{NoAnswer}.
        """
        self._ends[work] = self._time.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._time.callLater(self._seconds, self._expire)
        return work.addBoth(self._ended, work, words)

    def _expire(self) -> None:
        now = self._time.seconds()
        late = [work for work, end in self._ends.items() if end <= now]
        for work in late:
            del self._ends[work]
        self._late.update(late)
        self._timer = None
        if self._ends:
            self._timer = self._time.callLater(next(iter(self._ends.values())) - now, self._expire)
        for work in late:
            work.cancel()

    def _ended(self, result: Any, work: Deferred[Any], words: Callable[[], str]) -> Any:
        if work in self._late:
            self._late.discard(work)
            if isinstance(result, Failure) and result.check(CancelledError, IrisError):
                return Failure(NoAnswer(words()))
            return result
        del self._ends[work]
        if not self._ends and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return result
