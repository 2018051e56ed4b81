"""
Call statistics, in the shape that the official client sends for each of its
events (protocol.md section 5). Off unless asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..net.addresses import RoutingId
from ..xmpp.elements import Element
from .namespaces import IRIS, PRIVATE

__all__ = ["statistics"]

# What may be told of an event; its other details may be secrets.
_HARMLESS = ("roomid", "traceid", "type", "action", "attempt", "delay", "code")


def statistics(event: dict[str, Any], routingId: RoutingId) -> tuple[str, str, Sequence[Element]]:
    """
    @param event: as C{onEvent} gets it.
    @return: the IQ's addressee, the end of its id, and its payload.
    """
    details = event["details"]
    told = {name: details[name] for name in _HARMLESS if name in details}
    room, trace = str(details.get("roomid", "")), str(details.get("traceid", ""))
    server = str(details.get("rtcserver", ""))
    to = routingId.domain
    if room and server and not set(room + server) & set("/@"):
        to = f"{room}@{server.replace('xmpp', 'callcontrol', 1)}/{routingId.text}"
    data = Element(
        "data",
        IRIS,
        {
            "event": "callstats",
            "action": "log",
            "roomid": room,
            "traceid": trace,
            "stats": json.dumps(
                {"type": event["type"], "state": event["state"], **told}, allow_nan=False
            ),
        },
    )
    suffix = f":sendStatsIQ:{event['state']}"
    return to, suffix, [Element("query", PRIVATE, {"strict": "false"}), data]
