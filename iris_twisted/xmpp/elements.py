"""
XML elements as values, and how they are written.

The representation is this floor's own business: other floors go through
L{Element}'s methods, so that it can change for speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from ..errors import IncorrectParameters

__all__ = [
    "BIND",
    "CLIENT",
    "FRAMING",
    "PING",
    "SASL",
    "SESSION",
    "STANZA_ERRORS",
    "STREAM",
    "STREAM_ERRORS",
    "Element",
    "escape",
    "serialize",
]

CLIENT = "jabber:client"
STREAM = "http://etherx.jabber.org/streams"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
PING = "urn:xmpp:ping"
_XML = "http://www.w3.org/XML/1998/namespace"

# XML 1.0 section 2.2: what no document may hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Printable ASCII but the five special characters: as it is.
_UNUSUAL = re.compile("[^ !#-%(-;=?-~]")
_SPECIAL = re.compile("[&<>\"'\t\n\r]")
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


@attrs.define
class Element:
    """
    One element.

    @ivar attributes: by name; a name with a namespace is C{"namespace name"}.
    @ivar text: all character data directly inside, joined.
    """

    name: str
    namespace: str = ""
    attributes: dict[str, str] = attrs.field(factory=dict)
    children: list[Element] = attrs.field(factory=list)
    text: str = ""

    def named(self, name: str, namespace: str) -> Iterator[Element]:
        """The direct children of that exact name."""
        return (c for c in self.children if c.name == name and c.namespace == namespace)

    def child(self, name: str, namespace: str) -> Element | None:
        """The first direct child of that exact name."""
        return next(self.named(name, namespace), None)

    def get(self, attribute: str) -> str | None:
        """An attribute's value, or C{None}."""
        return self.attributes.get(attribute)


def escape(field: str, value: str) -> str:
    """
    Character data or an attribute's value as XML; line breaks survive as references.

    @param field: what the value is called in the error.
    @raise IncorrectParameters: for a character that XML 1.0 section 2.2 forbids.
    """
    if _UNUSUAL.search(value) is None:
        return value
    bad = _FORBIDDEN.search(value)
    if bad:
        raise IncorrectParameters(
            f"{field} holds U+{ord(bad[0]):04X}, a character that XML does not allow"
        )
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)


def serialize(element: Element, inherited: str = "") -> str:
    """
    An element as XML text, without recursion.

    @param inherited: the default namespace that is in force where it will stand.
    @raise IncorrectParameters: see L{escape}.
    """
    out: list[str] = []
    todo: list[tuple[Element, str] | str] = [(element, inherited)]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        node, outer = item
        # The stream's own elements keep the prefix that RFC 6120 section 4.8.5 recommends.
        prefixed = node.namespace == STREAM
        tag = f"stream:{node.name}" if prefixed else node.name
        out.append(f"<{tag}")
        inner = outer if prefixed else node.namespace
        if prefixed:
            out.append(f' xmlns:stream="{STREAM}"')
        elif node.namespace != outer:
            out.append(f' xmlns="{escape("xmlns", node.namespace)}"')
        for count, (name, value) in enumerate(node.attributes.items()):
            namespace, _, local = name.rpartition(" ")
            if namespace == _XML:
                local = f"xml:{local}"
            elif namespace:
                out.append(f' xmlns:n{count}="{escape("xmlns", namespace)}"')
                local = f"n{count}:{local}"
            out.append(f' {local}="{escape(name, value)}"')
        if node.children or node.text:
            out.append(f">{escape(node.name, node.text)}")
            todo.append(f"</{tag}>")
            todo.extend((child, inner) for child in reversed(node.children))
        else:
            out.append("/>")
    return "".join(out)
