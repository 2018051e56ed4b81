"""
What a call costs the daemon: from the websockets of many accounts through the spool to a
sink, the CPU of this process alone.

    python -m benchmarks.clients.calls URL ACCOUNTS CALLS [SPOOL SINK]
    python -m benchmarks.clients.calls bare HOOK CALLS

The first prints C{up} when all are connected, and the CPU when the sink has all calls; without a
sink, when all came. The second posts as many with treq alone, eight at a time.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater, react
from twisted.web.client import Agent, HTTPConnectionPool

from iris_twisted import ConnectionState, IrisFleet
from iris_twisted.connection import IrisListener
from iris_twisted.daemon.callback_fan_out import CallbackFanOut
from iris_twisted.outbox import Outbox, OutboxObserver
from iris_twisted.sinks import SinkContext, makeSink

from ..firehose import USERDATA

UP = ConnectionState.CONNECTED


class Meter(OutboxObserver):
    """CPU from the first call's arrival to the last one's delivery, and acknowledgement."""

    def __init__(self, count: int) -> None:
        self.ended_: Deferred[None] = Deferred()
        self._count = count
        self._left = count
        self._began: float | None = None
        self._clock = 0.0

    def came(self) -> None:
        """A call came."""
        if self._began is None:
            self._began = time.process_time()
            self._clock = time.monotonic()

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        assert outcome == "taken", outcome
        self._left -= 1
        if not self._left:
            self.ended_.callback(None)

    def tell(self) -> None:
        """Print it."""
        assert self._began is not None
        cpu, seconds = time.process_time() - self._began, time.monotonic() - self._clock
        print(json.dumps({"cpu": cpu, "seconds": seconds, "count": self._count}), flush=True)


async def main(url: str, accounts: int, count: int, spool: str | None, sink: str | None) -> None:
    meter = Meter(count)
    outbox = None
    if sink is not None:
        context = SinkContext(reactor=reactor, write=print)
        outbox = Outbox(reactor, spool, partial(makeSink, context=context), observer=meter)
        outbox.use([sink])
    fleet = IrisFleet(url, reactor=reactor, ramp=1000.0)

    def offer(account: str, notification: dict[str, Any]) -> Deferred[None]:
        meter.came()
        if outbox is not None:
            assert sink is not None
            return outbox.offer(account, notification, (sink,))
        meter.ended("none", "taken", 0.0)
        return succeed(None)

    for number in range(accounts):
        account = f"user{number}@sandbox.test"
        fleet.add(account, "any", CallbackFanOut([IrisListener()], partial(offer, account)))
    fleet.startService()
    while fleet.states[UP] < accounts:
        await deferLater(reactor, 0.05)
    gc.collect()
    gc.freeze()
    print("up", flush=True)
    await meter.ended_
    meter.tell()
    await fleet.stopService()
    if outbox is not None:
        await outbox.stop()


async def bare(hook: str, count: int) -> None:
    """As many posts of about the same bytes."""
    agent = Agent(reactor, pool=(pool := HTTPConnectionPool(reactor)))
    pool.maxPersistentPerHost = 8
    client = treq.client.HTTPClient(agent)
    body = json.dumps(
        {
            "key": "0" * 36,
            "account": "user1@sandbox.test",
            "received": "2026-11-26T00:00:00.000Z",
            "notification": {
                "type": "notify",
                "roomid": "room-1",
                "routingid": "caller@xmpp.sandbox.test",
                "traceid": "tr-1",
                "userdata": USERDATA,
                "padding": "x" * 300,
            },
        }
    ).encode()
    meter = Meter(count)
    left = count

    async def post() -> None:
        nonlocal left
        while left:
            left -= 1
            meter.came()
            headers = {"Content-Type": "application/json", "Idempotency-Key": "0" * 36}
            response = await client.post(hook, data=body, headers=headers)
            await response.content()
            meter.ended("bare", "taken", 0.0)

    await gatherResults([Deferred.fromCoroutine(post()) for _ in range(8)])
    meter.tell()


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        react(lambda _: Deferred.fromCoroutine(bare(sys.argv[2], int(sys.argv[3]))))
    else:
        spool, sink = sys.argv[4:] or (None, None)
        if spool is not None:
            Path(spool).unlink(missing_ok=True)
        react(
            lambda _: Deferred.fromCoroutine(
                main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), spool, sink)
            )
        )
