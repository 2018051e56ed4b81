"""
An asyncio program that looks at each call, and rejects those whose number is withheld.

    python asyncio_calls.py EVENT-MANAGER ROUTING-ID

The iris token is taken from the environment variable IRIS_TOKEN. Ctrl-C closes the connection.
"""

from __future__ import annotations

import asyncio
import os
import sys

from iris_twisted import IrisError, aio


async def main(eventManager: str, routingId: str) -> None:
    token = os.environ.get("IRIS_TOKEN", "")
    async with aio.connect(token, routingId, eventManager) as connection:
        print(f"connected as {connection.jid}", flush=True)
        async for call in connection.calls():
            # What is in hand is acknowledged when the loop asks for the next.
            print(f"{call.type} {call.room} from {call.caller}, {call.number}", flush=True)
            if call.type == "notify" and call.number == "anonymous":
                try:
                    await call.reject()
                    print(f"rejected {call.room}", flush=True)
                except IrisError as e:
                    print(f"cannot reject {call.room}: {e.message}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except IrisError as e:
        sys.exit(f"error {e.code}: {e.message}")
    except KeyboardInterrupt:
        sys.exit(130)
