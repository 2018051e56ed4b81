"""
A probe for monitoring: connects, waits for a ping to come back, and ends with 0 when the
platform is healthy, 1 when it is slow, 2 when it is not there.

    python probe.py EVENT-MANAGER ROUTING-ID [SECONDS]

SECONDS is how long connecting may take without being slow (2). The iris token is taken from
the environment variable IRIS_TOKEN.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from iris_twisted import IrisError, IrisRtcConnection


async def main(reactor: Any, eventManager: str, routingId: str, limit: float) -> None:
    connection = IrisRtcConnection(reactor, connectTimeout=10.0, pingInterval=0.5, pingTimeout=5.0)
    began = reactor.seconds()
    try:
        token = os.environ.get("IRIS_TOKEN", "")
        await connection.connect(token, routingId, eventManager)
        took = reactor.seconds() - began
        while connection.stats.pingRoundTrip is None and connection.isConnectionAlive():
            await deferLater(reactor, 0.1)
        trip = connection.stats.pingRoundTrip
    except IrisError as e:
        print(f"CRITICAL: {e.message} ({e.code})")
        sys.exit(2)
    await connection.close()
    if trip is None:
        print("CRITICAL: the session was lost before a ping came back")
        sys.exit(2)
    words = f"connected in {took:.3f} s, ping {1000 * trip:.1f} ms"
    print(f"{'OK' if took <= limit else 'WARNING'}: {words}")
    sys.exit(0 if took <= limit else 1)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    seconds = float(sys.argv[3]) if len(sys.argv) == 4 else 2.0
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:3], seconds)))
