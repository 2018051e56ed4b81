"""
The baseline: Autobahn, counting frames and nothing else.
"""

from __future__ import annotations

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import react

from .measure import Meter


class Counting(WebSocketClientProtocol):  # type: ignore[misc]
    meter: Meter

    def onOpen(self) -> None:
        print("up", flush=True)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.meter.tick()


async def main(url: str, count: int) -> None:
    ended: Deferred[Any] = Deferred()
    Counting.meter = Meter(count, lambda: ended.callback(None))
    factory = WebSocketClientFactory(
        url.replace("http", "ws") + "/xmpp-websocket", protocols=["xmpp"]
    )
    factory.protocol = Counting
    host, _, port = url.partition("//")[2].partition(":")
    await HostnameEndpoint(reactor, host, int(port)).connect(factory)
    await ended


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(sys.argv[1], int(sys.argv[2]))))
