"""
The client without one of its tricks each: what that trick buys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from iris_twisted.connection import call_signaling, callback_queue, ping_scheduler
from iris_twisted.rtc import private_iqs
from iris_twisted.transport import websocket_connection
from iris_twisted.transport.websocket_connection import WebSocketConnection
from iris_twisted.xmpp import fast_parser
from iris_twisted.xmpp.pings import Pings

__all__ = ["IDLE_TRICKS", "TRICKS"]


def _frames() -> None:
    """Autobahn's message events for every frame, and a write for every answer."""
    WebSocketConnection._framesReceived = WebSocketConnection._dataReceived  # type: ignore[method-assign]


def _masking() -> None:
    """Autobahn frames, masks and writes every answer."""
    websocket_connection.masked = lambda message: None  # type: ignore[attr-defined]


def _oneWrite() -> None:
    """A write for every answer."""
    ordinary = WebSocketConnection.send

    def send(self: Any, message: bytes) -> None:
        ordinary(self, message)
        self._writeAnswers()

    WebSocketConnection.send = send  # type: ignore[method-assign]


def _fastPath() -> None:
    """The ordinary parser, elements, and the queue of callbacks, for every notification."""
    call_signaling.CallSignaling.tryFastPath = lambda *_: False  # type: ignore[method-assign,assignment]


def _callNow() -> None:
    """A reactor turn between a read and its callbacks: the ordinary way from the queue on."""
    callback_queue.CallbackQueue.isIdle = False  # type: ignore[assignment,method-assign]


def _oneParser() -> None:
    """An expat for each message."""
    fast_parser._RECYCLE_AFTER = 1


def _json() -> None:
    """The decoder of the standard library, as one calls it."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    private_iqs.decodeJsonToWrite = lambda text: json.loads(text, parse_constant=refuse)  # type: ignore[attr-defined]


def _pingShape() -> None:
    """The ordinary parser for every answer to a ping."""
    Pings.recognized = lambda *_: None  # type: ignore[method-assign,assignment]


def _batches() -> None:
    """Each connection pings when its own interval is over, to a millisecond."""
    ping_scheduler._PARTS = 3000


TRICKS: dict[str, Callable[[], None]] = {
    "frames": _frames,
    "masking": _masking,
    "one-write": _oneWrite,
    "fast-path": _fastPath,
    "call-now": _callNow,
    "one-parser": _oneParser,
    "json": _json,
}

# What they buy shows when nothing happens.
IDLE_TRICKS: dict[str, Callable[[], None]] = {"ping-shape": _pingShape, "batches": _batches}
