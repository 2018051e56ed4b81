"""
What the log says of attempts to give a sink calls, and of calls that are given up.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from ..errors import IrisError
from ..net.repeated_reasons import RepeatedReasons
from .values import Due

__all__ = ["FailedAttempts"]


class FailedAttempts(RepeatedReasons):
    """
    Of one sink. What is tried again may be all that it is owed, again and again: that is told
    together. Each dead letter has a line of its own: somebody has to decide about it.

    @param name: the sink's.
    """

    _log = Logger()

    def __init__(self, reactor: Any, name: str) -> None:
        super().__init__()
        self._name = name
        self._delay = 0.0
        self.join(self, reactor)

    def failed(self, due: Due, error: IrisError, delay: float | None) -> None:
        """
        An attempt failed, and the store knows it.

        @param delay: seconds until the next one; C{None} when there is none.
        """
        if delay is not None:
            self._delay = delay
            self.refused(error.message)
            return
        self._log.error(
            "{reason}: the call {key} for {account} is a dead letter",
            reason=error.message,
            key=due.record.key,
            account=due.record.account,
        )

    def stop(self) -> None:
        """There are no more attempts."""
        self.leave(self)

    def tellFirst(self, words: str) -> None:
        self._log.warn(
            "{reason}: trying again in {wait:.1f} seconds", reason=words, wait=self._delay
        )

    def tellMore(self, words: str, count: int, seconds: float, others: bool) -> None:
        line = "{count} more attempts failed in the last {seconds:.0f} s: {reason}"
        if others:
            line = (
                "{count} more attempts failed in the last {seconds:.0f} s, for other reasons; "
                "the last one: {reason}"
            )
        self._log.warn(line, count=count, seconds=seconds, reason=words)

    def tellOver(self, words: str, count: int, others: bool) -> None:
        line = "{sink} takes calls again; {count} attempts had failed: {reason}"
        if others:
            line = (
                "{sink} takes calls again; {count} attempts had failed for other reasons; "
                "the last one: {reason}"
            )
        self._log.warn(line, sink=self._name, count=count, reason=words)
