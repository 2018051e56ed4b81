"""
How a server ends a stream (RFC 6120 section 4.9, RFC 7395 section 3.6).
"""

from __future__ import annotations

from ..errors import BackendError, Conflict, IrisError, SeeOther, ServerLeaving
from .elements import FRAMING, STREAM, STREAM_ERRORS, Element
from .stanzas import condition

__all__ = ["streamEndError"]


def streamEndError(element: Element) -> IrisError | None:
    """The error that an element ends the session with; C{None} when it is no end."""
    if element.namespace == STREAM and element.name == "error":
        reason = condition(element, STREAM_ERRORS)
        message = f"the server ended the stream: {reason}"
        if reason in ("system-shutdown", "reset"):
            return ServerLeaving(message)
        if reason == "conflict":
            return Conflict(f"{message} (the same resource logged in elsewhere)")
        return BackendError(message)
    if element.namespace == FRAMING and element.name == "close":
        uri = element.get("see-other-uri")
        if uri is not None:
            return SeeOther("the server sends its clients to another address", uri)
        return ServerLeaving("the server closed the XMPP stream")
    return None
