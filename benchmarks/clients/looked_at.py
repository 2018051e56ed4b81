"""
A console and metrics of so many accounts, which says how much of its time the reactor's
thread needs; obeys lines on stdin.

    python -m benchmarks.clients.looked_at COUNT

It prints the C{url}. C{measure SECONDS} prints C{milliseconds}, per second, of the CPU of the
reactor's thread. Ten calls a second come, and one account a second is lost and comes back;
none has a connection, which would cost much more than what is measured.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.protocols.basic import LineOnlyReceiver

from iris_twisted import ConnectionState, IrisFleet
from iris_twisted.console import AccountHistory, CallHistory, consoleRoot
from iris_twisted.daemon.metrics import Metrics
from iris_twisted.daemon.operator_site import OperatorSite

UP, AWAY = ConnectionState.CONNECTED, ConnectionState.RECONNECTING
USERDATA = {"data": {"cname": "somebody", "cid": "+12155550100"}}


class Bench(LineOnlyReceiver):
    """Obeys stdin."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        _, seconds = line.split()
        Deferred.fromCoroutine(self.measure(float(seconds)))

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)

    async def measure(self, seconds: float) -> None:
        # Pages have come.
        await deferLater(reactor, 1.0)
        cpu, wall = time.thread_time(), time.monotonic()
        await deferLater(reactor, seconds)
        share = (time.thread_time() - cpu) / (time.monotonic() - wall)
        print(json.dumps({"milliseconds": share * 1e3}), flush=True)


def happen(histories: list[AccountHistory], number: int) -> None:
    """What happens ten times a second."""
    history = random.choice(histories)
    room = f"room-{number}"
    call = {"type": "notify", "roomid": room, "routingid": "x@y", "userdata": USERDATA}
    history.onNotification(call)
    if number % 10 == 0:
        lost = random.choice(histories)
        assert lost.connection is not None
        lost.onDisconnected()
        lost.onReconnecting()
        for state in (AWAY, UP):
            lost.connection._driver.counters.enter(state)
        lost.onConnected()


async def main(count: int) -> None:
    fleet = IrisFleet("https://evm.example.test", reactor=reactor)
    callHistory = CallHistory(reactor)
    callHistory.start()
    for number in range(count):
        routingId = f"user-{number:04}@sandbox.test"
        history = callHistory.open(routingId)
        history.connection = fleet.add(routingId, "any", history).connection
        counters = history.connection._driver.counters
        counters.enter(UP)
        history.onConnected()
        counters.stats.pingRoundTrip = random.uniform(0.001, 0.1)
        history.pings.extend(random.randint(1000, 100_000) for _ in range(60))
    root = consoleRoot(reactor, callHistory, fleet)
    root.putChild(b"metrics", Metrics(reactor, fleet).resource(reactor))
    url = await OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root).listen()
    print(json.dumps({"url": url}), flush=True)
    numbers = iter(range(sys.maxsize))
    histories = list(callHistory.accounts.values())
    happening: Any = LoopingCall(lambda: happen(histories, next(numbers)))
    happening.start(0.1)
    bench = Bench()
    StandardIO(bench)
    await bench.ended


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(int(sys.argv[1]))))
