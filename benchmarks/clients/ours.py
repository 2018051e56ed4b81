"""
L{IrisRtcConnection} with everything on. Further arguments: its settings as JSON, and the
name of a trick of L{benchmarks.without} to go without.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from iris_twisted import IrisRtcConnection

from ..without import TRICKS
from .measure import Meter

RID = "alice@sandbox.test"


async def main(url: str, count: int, settings: dict[str, Any]) -> None:
    predicate = LogLevelFilterPredicate(LogLevel.info)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [predicate])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    ended: Deferred[Any] = Deferred()
    meter = Meter(count, lambda: ended.callback(None))
    connection = IrisRtcConnection(reactor, **settings)
    connection.onNotification = lambda info: meter.tick()  # type: ignore[method-assign]
    await connection.connect("any", RID, url)
    print("up", flush=True)
    await ended


if __name__ == "__main__":
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    if len(sys.argv) > 4:
        TRICKS[sys.argv[4]]()
    react(lambda _: Deferred.fromCoroutine(main(sys.argv[1], int(sys.argv[2]), options)))
