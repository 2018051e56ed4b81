"""
The elements that a client says: openings, IQs and their answers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache

from .elements import (
    BIND,
    CLIENT,
    FRAMING,
    PING,
    SASL,
    SESSION,
    STANZA_ERRORS,
    STREAM,
    Element,
    escape,
    serialize,
)

__all__ = [
    "bind",
    "condition",
    "encoded",
    "error",
    "iq",
    "iqCondition",
    "isEndless",
    "isUnusual",
    "opening",
    "ping",
    "result",
    "saslElement",
    "sessionPayload",
]

# RFC 7622 section 3.1 bounds a JID, in bytes; an id should be no longer than a part of one.
_LONGEST_JID = 3071
_LONGEST_ID = 1023

# RFC 6120 section 8.3.3: the type that goes with each condition used here.
_ERROR_TYPES = {
    "bad-request": "modify",
    "forbidden": "auth",
    "internal-server-error": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
}


def encoded(element: Element) -> bytes:
    """
    An element as it is sent. It says its namespace in both dialects, as the official
    client's stanzas do.
    """
    return serialize(element).encode()


def opening(dialect: str, domain: str) -> bytes:
    """
    How a stream begins: RFC 7395 section 3.4 in the framed dialect; the unclosed header
    in the stream dialect, to the byte as the official client's.
    """
    if dialect == "framed":
        return encoded(Element("open", FRAMING, {"to": domain, "version": "1.0"}))
    return (
        f'<stream:stream xmlns="{CLIENT}" xmlns:stream="{STREAM}" '
        f'to="{escape("domain", domain)}" version="1.0">'
    ).encode()


def iq(kind: str, id: str, payload: Iterable[Element], to: str | None = None) -> Element:
    """An IQ stanza (RFC 6120 section 8.2.3)."""
    attributes = {"id": id, "type": kind}
    if to is not None:
        attributes["to"] = to
    return Element("iq", CLIENT, attributes, list(payload))


def bind() -> Element:
    """RFC 6120 section 7.6."""
    return Element("bind", BIND)


def sessionPayload() -> Element:
    """The legacy session of RFC 3921 section 3."""
    return Element("session", SESSION)


def ping(id: str) -> bytes:
    """XEP-0199 section 4.2, as it is sent; the id is our own and needs no escaping."""
    return f'<iq xmlns="{CLIENT}" id="{id}" type="get"><ping xmlns="{PING}"/></iq>'.encode()


def result(id: str, sender: str | None) -> bytes:
    """The empty result of an IQ request with that id from there, as it is sent."""
    return f'<iq xmlns="{CLIENT}" type="result" id="{escape("id", id)}"{_to(sender)}/>'.encode()


@lru_cache(maxsize=256)
def _to(sender: str | None) -> str:
    return "" if sender is None else f' to="{escape("from", sender)}"'


def error(request: Element, condition: str) -> Element:
    """The answer to an IQ request that could not be done, for that reason."""
    attributes = {"type": "error"}
    for theirs, ours in (("id", "id"), ("from", "to")):
        value = request.get(theirs)
        if value is not None:
            attributes[ours] = value
    reason = Element(condition, STANZA_ERRORS)
    child = Element("error", CLIENT, {"type": _ERROR_TYPES[condition]}, [reason])
    return Element("iq", CLIENT, attributes, [child])


def saslElement(name: str, data: bytes, mechanism: str | None = None) -> Element:
    """
    C{<auth/>} or C{<response/>}; nothing to say is C{=} in the former
    (RFC 6120 section 6.4.2).
    """
    text = base64.b64encode(data).decode() or ("=" if mechanism else "")
    return Element(name, SASL, {"mechanism": mechanism} if mechanism else {}, text=text)


def isEndless(request: Element) -> bool:
    """Whether an IQ's id or sender, which its answer repeats, is longer than can be."""
    id, sender = request.get("id") or "", request.get("from") or ""
    return len(id) > _LONGEST_ID or len(sender) > _LONGEST_JID


def isUnusual(attributes: dict[str, str]) -> bool:
    """Whether an IQ with these attributes is no request that can be answered simply."""
    id = attributes.get("id")
    return attributes.get("type") not in ("get", "set") or id is None or len(id) > _LONGEST_ID


def condition(error: Element, namespace: str) -> str:
    """The defined condition inside an error element, fit to be shown."""
    for child in error.children:
        if child.namespace == namespace and child.name != "text":
            return child.name[:60]
    return "undefined-condition"


def iqCondition(iq: Element) -> str:
    """The defined condition of an IQ of the type error (RFC 6120 section 8.3.3)."""
    error = iq.child("error", CLIENT)
    return "undefined-condition" if error is None else condition(error, STANZA_ERRORS)
