"""
A bot that rejects calls by who makes them.

    python call_screening.py EVENT-MANAGER ROUTING-ID PATTERN ...

A call whose number or sender matches one of the patterns (as file names are matched, e.g.
"+1900*") is rejected; the others are left to ring elsewhere. The iris token is taken from
the environment variable IRIS_TOKEN.
"""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatchcase
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from iris_twisted import IrisError, IrisRtcConnection


class TerminalOutput(IrisRtcConnection):
    """A connection that looks at each call first."""

    patterns: list[str]

    def names(self, call: dict[str, Any]) -> list[str]:
        """What a caller may be known by."""
        userdata = call.get("userdata")
        data = userdata.get("data") if isinstance(userdata, dict) else None
        numbers = [data.get(key) for key in ("cid", "cname")] if isinstance(data, dict) else []
        return [str(name) for name in (call.get("routingid"), *numbers) if name]

    async def onNotification(self, call: dict[str, Any]) -> None:
        if call.get("type") != "notify":
            return
        names = self.names(call)
        if any(fnmatchcase(name, pattern) for name in names for pattern in self.patterns):
            try:
                await self.rejectSession(call)
            except IrisError as e:
                print(f"cannot reject {names}: {e.message}", flush=True)
            else:
                print(f"rejected {names}", flush=True)
        else:
            print(f"let through {names}", flush=True)

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        print(f"error {errorCode}: {errorMessage}", file=sys.stderr, flush=True)


async def main(reactor: Any, eventManager: str, routingId: str, *patterns: str) -> None:
    screen = TerminalOutput(reactor)
    screen.patterns = list(patterns)
    await screen.connect(os.environ.get("IRIS_TOKEN", ""), routingId, eventManager)
    print(f"screening as {screen.jid}", flush=True)
    await Deferred()  # Until Ctrl-C.


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
