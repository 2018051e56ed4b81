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

_encode = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


def timestamp(seconds: float) -> str:
    """Epoch seconds as RFC 3339 writes them, in UTC, to the millisecond."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The last second that RFC 3339 can write, of the year 9999.
_LAST = 253_402_300_799.0


def _written(seconds: float) -> float:
    """What can be written of it by each sink: a clock may be wrong by any time."""
    return min(max(seconds, 0.0), _LAST)


@attrs.frozen
class CallRecord:
    """
    One notification, with what a receiver needs to recognize it when it comes twice.

    @ivar key: the idempotency key, a UUID. It is the call's own: the same each time this
        record is delivered, and each time the platform tells of the call, on whichever
        connection.
    @ivar account: the routing id that was notified.
    @ivar received: epoch seconds, from 1970 to 9999.
    @ivar notification: as C{onNotification} got it; it holds the room token.
    """

    key: str
    account: str
    received: float = attrs.field(converter=_written)
    notification: dict[str, Any] = attrs.field(repr=False)

    _text: str | None = attrs.field(default=None, eq=False, repr=False, alias="text")

    @classmethod
    def of(cls, account: str, notification: dict[str, Any], now: float) -> CallRecord:
        """
        The record of a call that came now.

        @param now: epoch seconds.
        @raise ValueError: when it holds what JSON cannot; C{TypeError} likewise, and
            C{RecursionError} when it is nested too deep.
        """
        key, text = callKey(account, notification), _encode(notification)
        return cls(key, account, now, notification, text)

    @classmethod
    def stored(cls, key: str, account: str, received: float, text: str) -> CallRecord:
        """
        A record as it was kept.

        @param received: epoch seconds.
        @param text: the notification as JSON.
        """
        return cls(key, account, received, json.loads(text), text)

    @property
    def text(self) -> str:
        """The notification as one JSON object on one line."""
        return _encode(self.notification) if self._text is None else self._text

    @property
    def line(self) -> str:
        """The record as one JSON object on one line."""
        # The notification is the most of it, and was written down once already.
        return (
            f'{{"key":{_encode(self.key)},"account":{_encode(self.account)},'
            f'"received":"{timestamp(self.received)}","notification":{self.text}}}'
        )
