"""
A call on its way to the sinks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import attrs

from .call_key import callKey

__all__ = ["CallRecord", "timestamp"]


def timestamp(seconds: float) -> str:
    """Epoch seconds as RFC 3339 writes them, in UTC, to the millisecond."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@attrs.frozen
class CallRecord:
    """
    One notification, with what a receiver needs to recognize it when it comes twice.

    @ivar key: the idempotency key, a UUID. It is the call's own: the same each time this
        record is delivered, and each time the platform tells of the call, on whichever
        connection.
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
        """
        The record of a call that came now.

        @raise ValueError: when it holds what JSON cannot; C{TypeError} likewise.
        """
        return cls(callKey(account, notification), account, now, notification)

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
