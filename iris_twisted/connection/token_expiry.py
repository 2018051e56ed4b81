"""
A warning before a token expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ..net.jwt import expiryOf, issuedOf
from ..net.steady_time import steadyTime, wallSeconds

__all__ = ["TokenWatch", "warningDue"]

# A timer is never set further ahead: the wall clock may be set slowly, which nobody notices.
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
    begin = issuedOf(token)
    if begin is None or begin > now:
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
        self._await(None)

    def _look(self, expiry: float, due: float) -> None:
        now = wallSeconds(self._reactor)
        if now >= due:
            self._await(None)
            self._expiring(max(0.0, expiry - now))
        else:
            wait = min(due - now, _LONGEST_WAIT)
            self._await(self._time.callLater(wait, self._look, expiry, due))

    def _await(self, call: IDelayedCall | None) -> None:
        """Look again then, or when the wall clock is set: the expiry is a date."""
        self._call = call
        if call is None:
            self._time.unwatchDates(self._wallWasSet)
        else:
            self._time.watchDates(self._wallWasSet)

    def _wallWasSet(self) -> None:
        # In a turn of its own: it may have been noticed anywhere.
        if self._call is not None and self._call.active():
            self._call.reset(0.0)
