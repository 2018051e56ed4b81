"""
Memory over reconnects: the resident size after 100 and after 2,000 of them, in
one process with the sandbox.

    python -m benchmarks.reconnect_memory
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from iris_twisted import FullJitter, IrisRtcConnection
from iris_twisted.sandbox import startSandbox

RID = "alice@sandbox.test"


def resident() -> int:
    """KiB of this process that are in memory (Linux)."""
    gc.collect()
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1])


async def main(reactor: Any) -> None:
    """Reconnect 2,000 times, and print."""
    sandbox = await startSandbox(reactor)
    connection = IrisRtcConnection(
        reactor, retryPolicy=FullJitter(base=1e-6, cap=1e-6), stableAfter=0
    )
    await connection.connect(sandbox.token(RID), RID, sandbox.url)
    sizes: dict[int, int] = {}
    for count in range(1, 2001):
        back: Deferred[None] = Deferred()
        connection.onConnected = lambda back=back: back.callback(None)  # type: ignore[misc]
        sandbox.drop()
        await back
        if count in (100, 2000):
            sizes[count] = resident()
    await connection.close()
    await sandbox.stop()
    print(f"Python {sys.version.split()[0]}")
    for count, size in sizes.items():
        print(f"{count:5d} reconnects: {size:7d} KiB resident")
    print(f"ratio: {sizes[2000] / sizes[100]:.3f}")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
