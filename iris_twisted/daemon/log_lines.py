"""
Logs for machines: one JSON object per line, with the message as people read it.

Twisted's own JSON is made to be read back by Twisted: a record separator before each line, no
message, and every object that an event refers to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.logger import FileLogObserver, LogEvent, eventAsText

from ..sinks.record import timestamp

__all__ = ["jsonLines"]


def _line(event: LogEvent) -> str:
    level = event.get("log_level")
    message = eventAsText(
        event, includeTraceback=False, includeTimestamp=False, includeSystem=False
    )
    line: dict[str, Any] = {
        "time": timestamp(event["log_time"]),
        "level": "info" if level is None else level.name,
        "logger": event.get("log_namespace", ""),
        "message": message.rstrip("\n"),
    }
    failure = event.get("log_failure")
    if failure is not None:
        line["error"] = failure.type.__name__
        line["traceback"] = failure.getTraceback()
    return json.dumps(line, ensure_ascii=False) + "\n"


def jsonLines(outFile: Any) -> Callable[[LogEvent], None]:
    """
    An observer that writes such lines: C{time} (RFC 3339), C{level}, C{logger}, C{message}; and
    C{error} and C{traceback}, where there is one.
    """
    return FileLogObserver(outFile, _line)
