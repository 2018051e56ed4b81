"""
An L{IrisFleet} of so many, which says what it costs; obeys lines on stdin.

    python -m benchmarks.clients.fleet URL COUNT [CA-FILE] [without TRICK]

It prints C{up} with the memory and CPU per connection; C{idle SECONDS} prints the CPU
that idling takes, C{wait} waits until all are lost and back, and C{latency SECONDS}
collects the delays of notifications that carry the time of their sending.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineOnlyReceiver

from iris_twisted import ConnectionState, IrisFleet, IrisListener

from ..without import IDLE_TRICKS

UP = ConnectionState.CONNECTED


def resident() -> int:
    """KiB of this process that are in memory (Linux)."""
    gc.collect()
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1])


class Listener(IrisListener):
    """Collects delays, in seconds."""

    delays: list[float]

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.delays.append((now - int(notificationInfo["roomid"][5:])) / 1e9)


class Bench(LineOnlyReceiver):
    """Obeys stdin."""

    delimiter = b"\n"

    def __init__(self, fleet: IrisFleet, count: int) -> None:
        self.fleet = fleet
        self.count = count
        self.ended: Deferred[None] = Deferred()
        Listener.delays = []

    def lineReceived(self, line: bytes) -> None:
        command, *arguments = line.decode().split()
        Deferred.fromCoroutine(getattr(self, command)(*map(float, arguments)))

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)

    def tell(self, **values: Any) -> None:
        print(json.dumps(values), flush=True)

    async def idle(self, seconds: float) -> None:
        cpu, wall = time.process_time(), time.monotonic()
        await deferLater(reactor, seconds)
        share = (time.process_time() - cpu) / (time.monotonic() - wall)
        self.tell(idlePercentPerThousand=share / self.count * 1000 * 100)

    async def wait(self) -> None:
        began, peak = time.monotonic(), 0
        while self.fleet.stats.reconnects < self.count or self.fleet.states[UP] < self.count:
            peak = max(peak, self.fleet.attemptsUnderWay)
            await deferLater(reactor, 0.05)
            if time.monotonic() - began > 120:
                break
        self.tell(seconds=time.monotonic() - began, peak=peak, up=self.fleet.states[UP])

    async def latency(self, seconds: float) -> None:
        # Like a daemon would: what exists now stays.
        gc.collect()
        gc.freeze()
        Listener.delays = []
        await deferLater(reactor, seconds)
        delays = sorted(Listener.delays)
        quantiles = {
            name: delays[int(len(delays) * share)] * 1e3 for name, share in _QUANTILES if delays
        }
        self.tell(count=len(delays), milliseconds=quantiles)


_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


async def main(url: str, count: int, caFile: str | None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fleet = IrisFleet(url, trustRoot=caFile, ramp=1e6)
    fleet.startService()
    fleet.add("warm@sandbox.test", "any")
    while fleet.states[UP] < 1:
        await deferLater(reactor, 0.01)
    before, cpu, wall = resident(), time.process_time(), time.monotonic()
    listener = Listener()
    for number in range(count):
        fleet.add(f"u{number}@sandbox.test", "any", listener)
    # To look at all of them costs too.
    while fleet.attemptsUnderWay or fleet.states[UP] < count + 1:
        await deferLater(reactor, 0.2)
    bench = Bench(fleet, count + 1)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    bench.tell(
        seconds=wall,
        kibPerConnection=(resident() - before) / count,
        cpuMillisecondsPerConnect=cpu / count * 1e3,
    )
    StandardIO(bench)
    await bench.ended


if __name__ == "__main__":
    *arguments, last = sys.argv[1:]
    if last in IDLE_TRICKS:
        arguments.remove("without")
        IDLE_TRICKS[last]()
    else:
        arguments.append(last)
    arguments.append("")
    react(
        lambda _: Deferred.fromCoroutine(
            main(arguments[0], int(arguments[1]), arguments[2] or None)
        )
    )
