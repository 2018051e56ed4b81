"""
What idling costs at least on Twisted: bare sockets, a write and a read of the size of a ping
every three seconds, and nothing else.

    python -m benchmarks.clients.bare_sockets serve
    python -m benchmarks.clients.bare_sockets idle PORT COUNT SECONDS
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater, react

_PING = b"x" * 130
_INTERVAL = 3.0
# So many batches per interval, as the client's own scheduler has.
_BATCHES = 30


class Echo(Protocol):
    """The peer."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


async def serve(reactor: Any) -> None:
    """Until it is killed."""
    endpoint = TCP4ServerEndpoint(reactor, 0, backlog=5000, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(Echo))
    print(json.dumps({"port": port.getHost().port}), flush=True)
    await Deferred()


async def idle(reactor: Any, port: str, count: str, seconds: str) -> None:
    """Prints the CPU, as a share of a core per 1,000 sockets."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
    sockets = [await endpoint.connect(Factory.forProtocol(Protocol)) for _ in range(int(count))]
    step, together, position = _INTERVAL / _BATCHES, len(sockets) / _BATCHES, 0.0

    def beat(due: float) -> None:
        nonlocal position
        for number in range(int(position), int(position + together)):
            sockets[number % len(sockets)].transport.write(_PING)
        position += together
        reactor.callLater(max(0.0, due + step - reactor.seconds()), beat, due + step)

    beat(reactor.seconds())
    await deferLater(reactor, _INTERVAL)
    cpu, wall = time.process_time(), time.monotonic()
    await deferLater(reactor, float(seconds))
    share = (time.process_time() - cpu) / (time.monotonic() - wall)
    print(json.dumps({"idlePercentPerThousand": share / len(sockets) * 1e5}), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = {"serve": serve, "idle": idle}[sys.argv[1]]
    react(lambda reactor: Deferred.fromCoroutine(work(reactor, *sys.argv[2:])))  # type: ignore[operator]
