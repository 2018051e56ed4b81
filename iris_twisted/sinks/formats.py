"""
How a call is written for a sink: as a record of ours, or as a CloudEvent
(https://github.com/cloudevents/spec, version 1.0.2).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

import attrs

from ..errors import IncorrectParameters
from .record import CallRecord, timestamp

__all__ = ["FORMATS", "CallFormat", "Encoded", "formatNamed", "withoutHeaders"]

_KIND = "com.comcast.iris.call"
# What stays as it is in the type of an event, which the platform names.
_UNUSUAL = re.compile(r"[^A-Za-z0-9_.-]")
# RFC 9562 section 4.
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@attrs.frozen
class Encoded:
    """
    A call as it goes to a sink.

    @ivar contentType: of the body.
    @ivar body: UTF-8, on one line.
    @ivar attributes: what goes into headers, under names that the binding to a protocol
        makes of these; none where everything is in the body.
    """

    contentType: str
    body: bytes = attrs.field(repr=False)
    attributes: Mapping[str, str] = attrs.field(factory=dict, repr=False)


class CallFormat(Protocol):
    """
    One way to write calls.

    @ivar name: as options call it.
    @ivar binary: whether it needs headers beside the body.
    """

    name: str
    binary: bool

    def encode(self, record: CallRecord) -> Encoded:
        """The same bytes each time that this record is given."""


class JsonFormat:
    """C{{"key", "account", "received", "notification"}}."""

    name = "json"
    binary = False

    def encode(self, record: CallRecord) -> Encoded:
        return Encoded("application/json", record.line.encode())


class CloudEventsFormat:
    """
    CloudEvents in JSON.

    @param binary: with the attributes beside the body, which is the notification alone.
    """

    def __init__(self, binary: bool) -> None:
        self.name = "cloudevents-binary" if binary else "cloudevents"
        self.binary = binary

    def encode(self, record: CallRecord) -> Encoded:
        attributes = eventAttributes(record)
        if self.binary:
            return Encoded("application/json", record.text.encode(), attributes)
        event = {
            **attributes,
            "datacontenttype": "application/json",
            "data": record.notification,
        }
        return Encoded("application/cloudevents+json; charset=utf-8", _json(event))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def eventAttributes(record: CallRecord) -> dict[str, str]:
    """
    The context attributes of a call, without C{datacontenttype}. C{source} is the domain of
    the account, as RFC 5122 writes it.
    """
    domain = record.account.rpartition("@")[2]
    kind = _UNUSUAL.sub("-", str(record.notification.get("type") or ""))
    attributes = {
        "specversion": "1.0",
        "id": record.key,
        "source": f"xmpp:{quote(domain, safe='')}",
        "type": f"{_KIND}.{kind}" if kind else _KIND,
        "subject": record.account,
        "time": timestamp(record.received),
    }
    parent = traceparent(record)
    if parent is not None:
        attributes["traceparent"] = parent
    return attributes


def traceparent(record: CallRecord) -> str | None:
    """
    The platform's trace id as W3C Trace Context writes it (section 3.2.2): the 32 digits of a
    UUID as RFC 9562 writes it; of any other text the digest, which is the same wherever it is
    computed. The parent id is made of the call's key, so that it is the same when the call comes
    twice.

    @return: C{None} when the platform named none.
    """
    trace = record.notification.get("traceid")
    if not isinstance(trace, str) or not trace:
        return None
    if _UUID.fullmatch(trace):
        traceId = trace.replace("-", "").lower()
    else:
        traceId = hashlib.sha256(trace.encode("utf-8", "replace")).hexdigest()[:32]
    if not traceId.strip("0"):
        return None  # Which the specification forbids.
    parentId = hashlib.sha256(record.key.encode()).hexdigest()[:16]
    # 01: who traces further may record it; whether the platform did nobody knows.
    return f"00-{traceId}-{parentId}-01"


FORMATS: Mapping[str, CallFormat] = {
    format.name: format
    for format in (JsonFormat(), CloudEventsFormat(False), CloudEventsFormat(True))
}


def formatNamed(name: str) -> CallFormat:
    """
    @raise IncorrectParameters: when there is none of that name.
    """
    found = FORMATS.get(name)
    if found is None:
        close = difflib.get_close_matches(name, FORMATS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise IncorrectParameters(f"format {name[:40]!r} is none of {', '.join(FORMATS)}{hint}")
    return found


def withoutHeaders(kind: str, format: CallFormat) -> CallFormat:
    """
    The format of a sink that has nothing but a body.

    @param kind: what the sink is called.
    @raise IncorrectParameters: when this one needs more.
    """
    if format.binary:
        raise IncorrectParameters(
            f"sink {kind} has no headers, which {format.name} needs: use {kind}+cloudevents"
        )
    return format
