"""
What the log says of calls that are refused, since there is no room for them or nobody takes them.
"""

from __future__ import annotations

from twisted.logger import Logger

from ..net.repeated_reasons import RepeatedReasons

__all__ = ["RefusedCalls"]


class RefusedCalls(RepeatedReasons):
    """Of all connections that share it."""

    _log = Logger()

    def tellFirst(self, words: str) -> None:
        self._log.error("{callback} failed: {reason}", callback="onNotification", reason=words)

    def tellMore(self, words: str, count: int, seconds: float, others: bool) -> None:
        line = "{count} more calls were refused in the last {seconds:.0f} s: {reason}"
        if others:
            line = (
                "{count} more calls were refused in the last {seconds:.0f} s, for other reasons; "
                "the last one: {reason}"
            )
        self._log.error(line, count=count, seconds=seconds, reason=words)

    def tellOver(self, words: str, count: int, others: bool) -> None:
        line = "calls are taken again; {count} were refused: {reason}"
        if others:
            line = (
                "calls are taken again; {count} were refused for other reasons; "
                "the last one: {reason}"
            )
        self._log.warn(line, count=count, reason=words)
