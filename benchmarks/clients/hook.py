"""
A web server that takes everything: the other end of a webhook, for who posts to it. It prints
its port.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Taker(Protocol):
    """Answers each request when its body is complete."""

    transport: Any

    def __init__(self) -> None:
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            _, _, length = head.lower().partition(b"content-length:")
            size = int(length.split(b"\r\n")[0] or 0)
            if len(rest) < size:
                return
            self._data = rest[size:]
            self.transport.write(ANSWER)


async def main() -> None:
    factory = Factory.forProtocol(Taker)
    factory.noisy = False
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    print(json.dumps({"port": port.getHost().port}), flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main()))
