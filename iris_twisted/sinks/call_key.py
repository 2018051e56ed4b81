"""
The key of a call, made of what the platform says of it: whoever is told of the same call,
on whichever connection and however often, makes the same key, and no two calls share one.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["NAMESPACE", "callKey"]

# Ours, for UUIDv5 (RFC 9562 section 5.5). Another one would be other keys for every call.
NAMESPACE = uuid.UUID("5d0f33d2-a161-4d29-9cac-3cd721b1ac40")

# The names that L{PrivateIqs} adds, and what stands there already.
_ALIASES = {"roomId": "roomid", "routingId": "routingid", "traceId": "traceid"}
# Where it was sent, and over which server: one session may hear another than the next.
_ADDRESSES = frozenset(("id", "rtcserver", "to", "xmlns"))
# Parts of the names of what is made anew whenever a call is told: tokens, and times until which
# they count.
_FLEETING = ("token", "time", "expir")


_encode = json.JSONEncoder(
    allow_nan=False,
    check_circular=False,
    ensure_ascii=False,
    separators=(",", ":"),
    sort_keys=True,
).encode


# There are a dozen in use, and a stranger cannot make it many.
@lru_cache(maxsize=256)
def _tells(name: str) -> bool:
    """Whether an attribute says which call it is."""
    lower = name.lower()
    return name not in _ADDRESSES and not any(word in lower for word in _FLEETING)


def _fields(notification: Mapping[str, Any]) -> dict[str, Any]:
    """What tells two calls apart. An empty attribute says as much as none."""
    fields = {
        name: value
        for name, value in notification.items()
        if name not in _ALIASES and value != "" and _tells(name)
    }
    for alias, name in _ALIASES.items():
        value = notification.get(alias, "")
        # An alias stands for its name where that is missing, and for itself where both are there
        # and say different things.
        if value != "" and fields.setdefault(name, value) != value:
            fields[alias] = value
    return fields


def callKey(account: str, notification: Mapping[str, Any]) -> str:
    """
    @param account: the routing id that was notified.
    @param notification: as C{onNotification} got it.
    @return: a UUIDv5 of the account and all that is said of the call: its type, action,
        room, trace, caller and user data, and every other attribute but tokens, times and
        addresses. A random UUIDv4 for a notification that names neither room nor trace.
    @raise ValueError: when it holds what JSON cannot; C{TypeError} likewise.
    """
    fields = _fields(notification)
    if "roomid" not in fields and "traceid" not in fields:
        return str(uuid.uuid4())
    # JSON shows where each text ends, and what is no text; sorted, no order matters.
    text = _encode([account, fields])
    # Halves of surrogate pairs, which UTF-8 has no place for, are told apart as well.
    data = NAMESPACE.bytes + text.encode("utf-8", "surrogatepass")
    digest = bytearray(hashlib.sha1(data, usedforsecurity=False).digest()[:16])
    # As uuid.UUID does, in a tenth of the time: the version, the variant, the dashes.
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    key = digest.hex()
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
