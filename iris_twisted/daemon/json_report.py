"""
Callbacks written down as JSON lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..connection.connection import IrisListener
from ..sinks.record import timestamp

__all__ = ["JsonReport"]


class JsonReport(IrisListener):
    """
    One JSON object per line and callback: C{time} (RFC 3339), C{callback}, C{args}.

    @param write: takes a line; it may raise, and then a notification is not acknowledged.
    @param seconds: tells the epoch seconds.
    @param account: whose callbacks they are, as C{account} in each line; C{None} where
        there is only one.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        seconds: Callable[[], float],
        account: str | None = None,
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._account = account

    def _line(self, callback: str, *args: object) -> None:
        line: dict[str, Any] = {
            "time": timestamp(self._seconds()),
            "callback": callback,
            "args": args,
        }
        if self._account is not None:
            line["account"] = self._account
        self._write(json.dumps(line, allow_nan=False))

    def onConnected(self) -> None:
        self._line("onConnected")

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self._line("onConnectionError", errorCode, errorMessage)

    def onDisconnected(self) -> None:
        self._line("onDisconnected")

    def onReconnecting(self) -> None:
        self._line("onReconnecting")

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        self._line("onNotification", notificationInfo)

    def onEvent(self, event: dict[str, Any]) -> None:
        self._line("onEvent", event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        self._line("onTokenAboutToExpire", secondsLeft)
