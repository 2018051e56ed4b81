"""
What the scripts of the console ask for once: an answer in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from ..errors import IrisError
from .entrance import ForThisMachine

__all__ = ["Asked", "argumentOf", "numberOf"]


def argumentOf(request: Request, name: bytes) -> str:
    """What stands behind that name in the address; nothing where it does not."""
    value: bytes = request.args.get(name, [b""])[0]
    return value.decode("utf-8", "replace")


def numberOf(request: Request, name: bytes) -> int:
    """The same as a number from 0 on; 0 where it is none."""
    text = argumentOf(request, name)
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


class Asked(ForThisMachine):
    """
    @param look: gives, for a request, what is answered. What it fails with is told with 503
        when it is an L{IrisError}.
    """

    isLeaf = True

    def __init__(self, look: Callable[[Request], Deferred[dict[str, Any]]]) -> None:
        super().__init__()
        self._look = look

    def render_GET(self, request: Request) -> int:
        looking: Deferred[Any] = self._look(request)
        looking.addCallbacks(self._seen, self._failed)
        looking.addCallback(self._finish, request)
        return NOT_DONE_YET

    @staticmethod
    def _seen(found: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, found

    @staticmethod
    def _failed(failure: Failure) -> tuple[int, dict[str, Any]]:
        failure.trap(IrisError)
        error: Any = failure.value
        return 503, {"message": error.message}

    @staticmethod
    def _finish(answer: tuple[int, dict[str, Any]], request: Request) -> None:
        if not request._disconnected:
            status, value = answer
            request.setResponseCode(status)
            request.setHeader("content-type", "application/json")
            request.write(json.dumps(value, allow_nan=False).encode() + b"\n")
            request.finish()
