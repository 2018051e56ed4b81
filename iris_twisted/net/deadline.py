"""
Work that may take so long and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from ..errors import IrisError, NoAnswer
from .steady_time import steadyTime

__all__ = ["deadlined"]

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
