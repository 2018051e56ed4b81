"""
What the scripts of the console ask for once: an answer in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from ..errors import IrisError
from ..net.steady_time import steadyTime
from .entrance import ForThisMachine

__all__ = ["Asked", "argumentOf", "numberOf"]

# Seconds for which one look does for all who ask the same.
_SHARED = 1.0


def argumentOf(request: Request, name: bytes) -> str:
    """What stands behind that name in the address; nothing where it does not."""
    value: bytes = request.args.get(name, [b""])[0]
    return value.decode("utf-8", "replace")


def numberOf(request: Request, name: bytes) -> int:
    """The same as a number from 0 on; 0 where it is none."""
    text = argumentOf(request, name)
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


class _Answer:
    """
    What those get who ask the same at about the same time.

    @ivar at: when somebody began to look.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._waiting: list[Request] = []
        self._found: tuple[int, bytes] | None = None

    @property
    def isThere(self) -> bool:
        """Whether the look is done."""
        return self._found is not None

    def give(self, request: Request) -> None:
        """To this one, as soon as it is there."""
        if self._found is None:
            self._waiting.append(request)
        else:
            self._write(request, *self._found)

    def came(self, found: tuple[int, bytes]) -> None:
        """Status and text."""
        self._found = found
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self._write(request, *found)

    @staticmethod
    def _write(request: Request, status: int, text: bytes) -> None:
        if not request._disconnected:
            request.setResponseCode(status)
            request.setHeader("content-type", "application/json")
            request.write(text)
            request.finish()


class Asked(ForThisMachine):
    """
    All who ask the same within a second share one look, and its text.

    @param keyOf: gives, for a request, what is asked.
    @param look: gives what is answered to that. What it fails with is told with 503 when it is
        an L{IrisError}.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        keyOf: Callable[[Request], tuple[Any, ...]],
        look: Callable[..., Deferred[dict[str, Any]]],
    ) -> None:
        super().__init__()
        self._seconds = steadyTime(reactor).seconds
        self._keyOf = keyOf
        self._look = look
        self._answers: dict[tuple[Any, ...], _Answer] = {}

    def forget(self) -> None:
        """Something has changed: whoever asks from now on is told that."""
        self._answers.clear()

    def render_GET(self, request: Request) -> int:
        now = self._seconds()
        for key, answer in list(self._answers.items()):
            if answer.isThere and now >= answer.at + _SHARED:
                del self._answers[key]
        key = self._keyOf(request)
        known = self._answers.get(key)
        if known is None:
            known = self._answers[key] = _Answer(now)
            looking: Deferred[Any] = self._look(*key)
            looking.addCallback(lambda found: (200, found))
            looking.addErrback(self._failed, key, known)
            looking.addCallback(self._encoded).addCallback(known.came)
        known.give(request)
        return NOT_DONE_YET

    def _failed(
        self, failure: Failure, key: tuple[Any, ...], answer: _Answer
    ) -> tuple[int, dict[str, Any]]:
        # Only for those who wait already: it may be over soon.
        if self._answers.get(key) is answer:
            del self._answers[key]
        error: Any = failure.value
        if isinstance(error, IrisError):
            return 503, {"message": error.message}
        self._log.failure("a bug in the console", failure)
        return 500, {"message": "a bug in the console: see the log"}

    @staticmethod
    def _encoded(answer: tuple[int, dict[str, Any]]) -> tuple[int, bytes]:
        status, value = answer
        return status, json.dumps(value, allow_nan=False).encode() + b"\n"
