"""
A warning before a token expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ..net.jwt import claimsOf, expiryOf
from ..net.steady_time import steadyTime, wallSeconds

__all__ = ["TokenWatch", "warningDue"]

# A timer is never set further ahead: the wall clock may be set, a laptop may sleep.
_LONGEST_WAIT = 3600.0

# The part of a token's life after which it may be called about to expire.
_OLD = 0.9


def warningDue(token: str, expiry: float, now: float, warning: float) -> float:
    """
    When to warn of a token's expiry, epoch seconds: C{warning} seconds ahead, or at nine
    tenths of its life where that is later, so that short-lived tokens get theirs used.

    @param now: when the token was got: its life begins then, or at its C{iat} (RFC 7519
        section 4.1.6) where that makes sense.
    """
    begin = claimsOf(token).get("iat")
    if isinstance(begin, bool) or not isinstance(begin, (int, float)) or not begin < now:
        begin = now
    return max(expiry - warning, expiry - (1 - _OLD) * (expiry - begin))


class TokenWatch:
    """
    Calls back once, when a token is about to expire.

    @param warning: seconds ahead of the expiry; see L{warningDue}.
    @param expiring: called with the seconds left, 0 when there are none.
    """

    def __init__(self, reactor: Any, warning: float, expiring: Callable[[float], None]) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._warning = warning
        self._expiring = expiring
        self._call: IDelayedCall | None = None

    def arm(self, token: str) -> None:
        """Watch this token, and no other."""
        self.disarm()
        expiry = expiryOf(token)
        if expiry is not None:
            now = wallSeconds(self._reactor)
            self._look(expiry, warningDue(token, expiry, now, self._warning))

    def disarm(self) -> None:
        """Watch nothing."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _look(self, expiry: float, due: float) -> None:
        now = wallSeconds(self._reactor)
        if now >= due:
            self._call = None
            self._expiring(max(0.0, expiry - now))
        else:
            wait = min(due - now, _LONGEST_WAIT)
            self._call = self._time.callLater(wait, self._look, expiry, due)
