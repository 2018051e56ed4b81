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

    @param write: takes a line.
    @param seconds: tells the epoch seconds.
    @param account: whose callbacks they are, as C{account} in each line; C{None} where
        there is only one.
    @param writeCall: takes the line of a notification instead, and may raise: then that is not
        acknowledged.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        seconds: Callable[[], float],
        account: str | None = None,
        writeCall: Callable[[str], None] | None = None,
    ) -> None:
        self._write = write
        self._writeCall = writeCall or write
        self._seconds = seconds
        self._account = account

    def _line(self, callback: str, *args: object) -> str:
        line: dict[str, Any] = {
            "time": timestamp(self._seconds()),
            "callback": callback,
            "args": args,
        }
        if self._account is not None:
            line["account"] = self._account
        return json.dumps(line, allow_nan=False)

    def onConnected(self) -> None:
        self._write(self._line("onConnected"))

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self._write(self._line("onConnectionError", errorCode, errorMessage))

    def onDisconnected(self) -> None:
        self._write(self._line("onDisconnected"))

    def onReconnecting(self) -> None:
        self._write(self._line("onReconnecting"))

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        self._writeCall(self._line("onNotification", notificationInfo))

    def onEvent(self, event: dict[str, Any]) -> None:
        self._write(self._line("onEvent", event))

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        self._write(self._line("onTokenAboutToExpire", secondsLeft))
