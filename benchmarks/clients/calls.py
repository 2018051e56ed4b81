"""
What a call costs the daemon: from the websockets of many accounts through the store to a
sink, the CPU of this process alone.

    python -m benchmarks.clients.calls URL ACCOUNTS CALLS [STORE SINK]

It prints C{up} when all are connected, and the CPU when the sink has all calls; without a
sink, when all came. STORE is a file, or C{postgresql:CONNINFO} for a member of a cluster. SINK is
one of the daemon's, or C{nothing}, which takes each call at once.
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater, react
from zope.interface import implementer

from iris_twisted import ConnectionState, IrisFleet
from iris_twisted.connection import IrisListener
from iris_twisted.daemon.callback_fan_out import CallbackFanOut
from iris_twisted.interfaces import INotificationSink
from iris_twisted.outbox import IOutboxStore, Outbox
from iris_twisted.sinks import CallRecord, SinkContext, makeSink

from .meter import Meter

UP = ConnectionState.CONNECTED
POSTGRESQL = "postgresql:"
# Instead of stdout, which is for the results; it costs as much.
NULL = open(os.devnull, "w")  # noqa: SIM115


@implementer(INotificationSink)
class Nothing:
    """What it costs until a sink has a call, and from there on."""

    name = "nothing"
    durable = True
    concurrency = 256

    def take(self, record: CallRecord) -> Deferred[None]:
        return succeed(None)

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        return succeed(None)


async def main(url: str, accounts: int, count: int, where: str | None, sink: str | None) -> None:
    meter = Meter(count)
    outbox, member = None, None
    names = [f"user{number}@sandbox.test" for number in range(accounts)]
    if sink is not None:
        assert where is not None
        store: IOutboxStore | str = where
        if where.startswith(POSTGRESQL):
            # Only where somebody has PostgreSQL.
            from .member import memberOf

            member, store = await memberOf(reactor, where.removeprefix(POSTGRESQL), names)
        context = SinkContext(reactor=reactor, write=partial(print, file=NULL, flush=True))
        make = partial(makeSink, context=context) if sink != "nothing" else lambda _: Nothing()
        outbox = Outbox(reactor, store, make, observer=meter)
        outbox.use([sink])
    fleet = IrisFleet(url, reactor=reactor, ramp=1000.0)

    def offer(account: str, notification: dict[str, Any]) -> Deferred[None]:
        meter.came()
        if outbox is not None:
            assert sink is not None
            right = None if member is None else member.right(account)
            return outbox.offer(account, notification, (sink,), right)
        meter.ended("none", "taken", 0.0)
        return succeed(None)

    for account in names:
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
    if member is not None:
        await member.stopService()
        await member.close()


if __name__ == "__main__":
    store, sink = sys.argv[4:] or (None, None)
    if store is not None and not store.startswith(POSTGRESQL):
        Path(store).unlink(missing_ok=True)
    react(
        lambda _: Deferred.fromCoroutine(
            main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), store, sink)
        )
    )
