"""
Refusals that may come by the thousand, in few lines of a log: an operator wants to know why, how
many, and when it is over.
"""

from __future__ import annotations

from typing import Any

import attrs

from .earliest_call import EarliestCall
from .steady_time import SteadyTime, steadyTime

__all__ = ["RepeatedReasons"]

# Seconds between two lines with the same reason.
_INTERVAL = 60.0
# Seconds without a refusal after which it is over, if something was taken meanwhile.
_QUIET = 10.0
# How many reasons have lines of their own; one may name an account, and there may be thousands.
_MOST = 10


@attrs.define
class _Reason:
    """
    @ivar words: of the last refusal.
    @ivar told: when the last line of it was written, in steady seconds.
    @ivar refused: when the last one was.
    @ivar more: how many were since the last line; C{all}: since the first one.
    @ivar taken: whether something was taken since then.
    """

    words: str
    told: float
    refused: float
    more: int = 0
    all: int = 1
    taken: bool = False


class RepeatedReasons:
    """
    The first refusal for a reason is told at once, the next ones together in a line a minute, and
    it is told once when it is over. Whoever shares this is told of together. It has a timer only
    while one of them L{join}ed.

    A subclass has the words: L{tellFirst}, L{tellMore} and L{tellOver}. Of reasons that are too
    many to have lines of their own the last one is told, with C{others}.

    @ivar areTold: whether there are refusals, so that L{taken} says something new.
    """

    def __init__(self) -> None:
        self.areTold = False
        self._time: SteadyTime | None = None
        self._timer: EarliestCall | None = None
        self._sharing = set[object]()
        # By their words; what is beyond C{_MOST} is together under C{None}.
        self._reasons: dict[str | None, _Reason] = {}

    def join(self, who: object, reactor: Any) -> None:
        """Somebody begins, who may refuse."""
        self._sharing.add(who)
        if self._timer is None:
            self._time = steadyTime(reactor)
            self._timer = EarliestCall(reactor, self._look)
        self._waitForAll()

    def leave(self, who: object) -> None:
        """It has ended. With the last one what was not told yet is."""
        self._sharing.discard(who)
        if self._timer is None or self._sharing:
            return
        self._timer.cancel()
        for key, reason in self._reasons.items():
            if reason.more:
                self._tellMore(key, reason)
        self._reasons.clear()
        self.areTold = False

    def refused(self, words: str) -> None:
        """Something was refused: C{words} say why, without a secret."""
        now = self._now()
        key = words if words in self._reasons or len(self._reasons) < _MOST else None
        reason = self._reasons.get(key)
        if reason is None:
            self._reasons[key] = _Reason(words, now, now)
            self.areTold = True
            self.tellFirst(words)
            return
        reason.words, reason.refused, reason.taken = words, now, False
        reason.more += 1
        reason.all += 1
        self._wait(reason.told + _INTERVAL)

    def taken(self) -> None:
        """Something was taken; nobody need say so unless refusals L{areTold}."""
        for reason in self._reasons.values():
            if not reason.taken:
                reason.taken = True
                self._wait(reason.refused + _QUIET)

    def _now(self) -> float:
        return 0.0 if self._time is None else self._time.seconds()

    def _wait(self, until: float) -> None:
        if self._timer is not None and self._sharing:
            self._timer.within(max(0.0, until - self._now()))

    def _waitForAll(self) -> None:
        for reason in self._reasons.values():
            if reason.taken:
                self._wait(reason.refused + _QUIET)
            if reason.more:
                self._wait(reason.told + _INTERVAL)

    def _look(self) -> None:
        now = self._now()
        for key, reason in list(self._reasons.items()):
            if reason.taken and now >= reason.refused + _QUIET:
                del self._reasons[key]
                self.tellOver(reason.words, reason.all, others=key is None)
            elif reason.more and now >= reason.told + _INTERVAL:
                self._tellMore(key, reason)
                reason.told, reason.more = now, 0
        self.areTold = bool(self._reasons)
        self._waitForAll()

    def _tellMore(self, key: str | None, reason: _Reason) -> None:
        seconds = self._now() - reason.told
        self.tellMore(reason.words, reason.more, seconds, others=key is None)

    def tellFirst(self, words: str) -> None:
        """There is a refusal for a new reason."""
        raise NotImplementedError("tellFirst")

    def tellMore(self, words: str, count: int, seconds: float, others: bool) -> None:
        """So many more came in the last seconds."""
        raise NotImplementedError("tellMore")

    def tellOver(self, words: str, count: int, others: bool) -> None:
        """There were so many, and they are over."""
        raise NotImplementedError("tellOver")
