"""
Who is told of calls: a webhook's receiver, which remembers what came, and when.
"""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

__all__ = ["QuietSite", "Receiver", "now"]


def now() -> float:
    """Epoch seconds, of this process's reactor."""
    return float(reactor.seconds())  # type: ignore[attr-defined]


class Receiver(Resource):
    """
    Takes every call, and counts it by its key.

    @ivar held: those that wait for an answer; C{None} where each is answered at once.
    @ivar refused: the traces of those that it does not take now.
    @ivar tried: the traces of all that came, again and again.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, list[float]] = {}
        self.traces: set[str] = set()
        self.closed = False
        self.held: list[Request] | None = None
        self.refused: set[str] = set()
        self.tried: list[str] = []

    def answer(self) -> None:
        """Those that wait, and all from now on."""
        held, self.held = self.held, None
        for request in held or ():
            request.finish()

    def render_POST(self, request: Request) -> bytes | int:
        record = json.loads(request.content.read())
        trace = record["notification"]["traceid"]
        self.tried.append(trace)
        if self.closed or trace in self.refused:
            request.setResponseCode(503)
            return b""
        self.keys.setdefault(record["key"], []).append(now())
        self.traces.add(trace)
        if self.held is not None:
            self.held.append(request)
            return NOT_DONE_YET
        return b""


class QuietSite(Site):
    """One that does not log each request."""

    noisy = False

    def log(self, request: Request) -> None:
        """Thousands, which say nothing."""
