"""
A bridge from calls to a webhook, in an application of one's own: what
C{twist iris --spool FILE --sink webhook:URL} does, in thirty lines.

    python webhook_bridge.py EVENT-MANAGER ROUTING-ID WEBHOOK SPOOL

A call is on the disk before it is acknowledged, and posted until somebody takes it. The
iris token is taken from the environment variable IRIS_TOKEN.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from iris_twisted import IrisListener, IrisRtcService
from iris_twisted.outbox import Outbox
from iris_twisted.sinks import SinkContext, makeSink


class Bridge(IrisListener):
    """Puts each call into the outbox."""

    def __init__(self, outbox: Outbox, account: str, sink: str) -> None:
        self._offer = partial(outbox.offer, account, specs=[sink])

    def onNotification(self, notificationInfo: dict[str, Any]) -> Deferred[None]:
        # Acknowledged when this fires: the call is on the disk.
        return self._offer(notificationInfo)

    def onConnected(self) -> None:
        print("connected", flush=True)


async def main(reactor: Any, eventManager: str, routingId: str, hook: str, spool: str) -> None:
    sink = f"webhook:{hook}"
    context = SinkContext(reactor=reactor, write=print)
    outbox = Outbox(reactor, spool, partial(makeSink, context=context))
    outbox.use([sink])
    token = os.environ.get("IRIS_TOKEN", "")
    bridge = Bridge(outbox, routingId, sink)
    service = IrisRtcService(token, routingId, eventManager, reactor=reactor, listener=bridge)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.addSystemEventTrigger(
        "during", "shutdown", lambda: Deferred.fromCoroutine(outbox.stop())
    )
    service.startService()
    error = await service.ended
    if error is not None:
        sys.exit(f"error {error.code}: {error.message}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
