"""
The timers of reconnecting: how many attempts since it was last stable, when the
next one is due, and when it is time to give up (contract promises 5 and 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ..errors import ConnectionFailed, IrisError, ProtocolViolation
from ..net.steady_time import steadyTime
from .retry import delayBefore
from .settings import Settings

__all__ = ["RetrySchedule"]

_VIOLATIONS = 3


def _stop(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()


class RetrySchedule:
    """
    @param due: called when it is time for the next attempt.
    @param gaveUp: called with the error when it has taken too long.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        due: Callable[[], None],
        gaveUp: Callable[[IrisError], None],
    ) -> None:
        self._time = steadyTime(reactor)
        self._settings = settings
        self._due = due
        self._gaveUp = gaveUp
        self._attempts = 0
        # While a session is up.
        self._upSince: float | None = None
        self._lastError: IrisError | None = None
        self._retry: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._giveUpLeft: float | None = None
        self._wanted = False
        self._violations = 0

    def begin(self) -> None:
        """A connection starts, with its first attempt."""
        self._violations = 0

    def isHopeless(self, error: IrisError) -> bool:
        """
        Whether no further attempt can help (contract promise 7): a fault that stays,
        or the third protocol violation with no session up in between.
        """
        if isinstance(error, ProtocolViolation):
            self._violations += 1
            return self._violations >= _VIOLATIONS
        return not error.retryable

    def sessionUp(self) -> None:
        """Remember since when it is up."""
        self._violations = 0
        self._upSince = self._time.seconds()

    def sessionEnded(self) -> None:
        """The session that was up, if any, was lost or closed; if it was stable, count anew."""
        since, self._upSince = self._upSince, None
        if since is not None and self._time.seconds() - since >= self._settings.stableAfter:
            self._attempts = 0

    def sessionLost(self) -> None:
        """The session ended, and the clock of C{giveUpAfter} starts."""
        self.sessionEnded()
        self._giveUpLeft = self._settings.giveUpAfter
        self.startGiveUpTimer()

    def next(self, error: IrisError) -> tuple[int, float] | None:
        """
        @param error: why the last attempt, or the session, ended.
        @return: the number of the next attempt and the seconds until it; C{None}
            when there shall be none.
        """
        self._lastError = error
        self._attempts += 1
        # The policy may close the connection, which stops this.
        self._wanted = True
        attempt = self._attempts
        delay = delayBefore(self._settings.retryPolicy, attempt)
        return None if delay is None else (attempt, delay)

    @property
    def isWanted(self) -> bool:
        """Whether it was not stopped since L{next}."""
        return self._wanted

    def wait(self, delay: float) -> None:
        """Call C{due} after so many seconds, unless stopped since L{next}."""
        if self._wanted:
            self._retry = self._time.callLater(delay, self._due)

    def pauseGiveUpTimer(self) -> None:
        """C{giveUpAfter} does not run while a token is awaited."""
        if self._deadline is not None and self._deadline.active():
            # What is late by now is due at once.
            self._giveUpLeft = max(0.0, self._deadline.getTime() - self._time.seconds())
            self._deadline.cancel()
        self._deadline = None

    def startGiveUpTimer(self) -> None:
        """C{giveUpAfter} runs on."""
        if self._giveUpLeft is not None and self._deadline is None:
            self._deadline = self._time.callLater(self._giveUpLeft, self._expired)

    def stop(self) -> None:
        """No more attempts are wanted."""
        _stop(self._retry)
        _stop(self._deadline)
        # An error keeps, by its traceback, all that the attempt was made with.
        self._retry = self._deadline = self._giveUpLeft = self._lastError = None
        self._wanted = False

    def giveUp(self, why: str) -> ConnectionFailed:
        """The error that reconnecting ends with."""
        last = "" if self._lastError is None else f"; the last error was: {self._lastError.message}"
        return ConnectionFailed(f"reconnecting was given up {why}{last}", cause=self._lastError)

    def _expired(self) -> None:
        self._gaveUp(self.giveUp(f"{self._settings.giveUpAfter:g} seconds after the loss"))
