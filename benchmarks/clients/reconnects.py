"""
Memory over reconnects: the resident KiB after each of some numbers of them, in one
process with the sandbox.

    python -m benchmarks.clients.reconnects COUNT ...
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from iris_twisted import FullJitter, IrisRtcConnection
from iris_twisted.sandbox import startSandbox

from .fleet import resident

RID = "alice@sandbox.test"


async def main(counts: list[int]) -> None:
    sandbox = await startSandbox(reactor)
    connection = IrisRtcConnection(
        reactor, retryPolicy=FullJitter(base=1e-6, cap=1e-6), stableAfter=0
    )
    await connection.connect(sandbox.token(RID), RID, sandbox.url)
    sizes: dict[int, int] = {}
    for count in range(1, max(counts) + 1):
        back: Deferred[Any] = Deferred()
        connection.onConnected = lambda back=back: back.callback(None)  # type: ignore[misc]
        sandbox.drop()
        await back
        if count in counts:
            sizes[count] = resident()
    await connection.close()
    await sandbox.stop()
    print(json.dumps(sizes), flush=True)


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main([int(count) for count in sys.argv[1:]])))
