"""
A call on its way to the sinks.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import attrs

__all__ = ["CallRecord", "timestamp"]


def timestamp(seconds: float) -> str:
    """Epoch seconds as RFC 3339 writes them, in UTC, to the millisecond."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@attrs.frozen
class CallRecord:
    """
    One notification, with what a receiver needs to recognize it when it comes twice.

    @ivar key: the idempotency key, a UUID: the same each time this record is delivered.
    @ivar account: the routing id that was notified.
    @ivar received: epoch seconds.
    @ivar notification: as C{onNotification} got it; it holds the room token.
    """

    key: str
    account: str
    received: float
    notification: dict[str, Any] = attrs.field(repr=False)

    @classmethod
    def of(cls, account: str, notification: dict[str, Any], now: float) -> CallRecord:
        """A new record, with a key of its own."""
        return cls(str(uuid.uuid4()), account, now, notification)

    @property
    def line(self) -> str:
        """The record as one JSON object on one line."""
        return json.dumps(
            {
                "key": self.key,
                "account": self.account,
                "received": timestamp(self.received),
                "notification": self.notification,
            },
            separators=(",", ":"),
            allow_nan=False,
        )
