"""
A message that is one whole stanza of single elements, one inside the other, straight to
their attributes. Everything unusual is left to the ordinary parser.

Expat calls nothing but C here, and one of it serves all connections: to create one
costs as much as to read a stanza, and to keep one each ten kilobytes. It is given complete
tokens only, and thrown away after others: so it has nothing to defer (see C{tokens}).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.parsers import expat

__all__ = ["ChainParser"]

# A parser keeps every name that it ever saw: start afresh after so many messages.
_RECYCLE_AFTER = 1000


class ChainParser:
    """
    @param names: the elements from the outermost to the innermost, two at least and all
        different, each with its namespace.
    @param inherited: the namespace that is in force around a message, if any.
    """

    def __init__(self, names: Sequence[tuple[str, str]], inherited: str = "") -> None:
        self._names = [f"{namespace} {name}" for namespace, name in names]
        locals = [name.encode() for _, name in names]
        # With the innermost element empty.
        self._tags = 2 * len(names) - 1
        self._head = b"<" + locals[0]
        self._tail = b"/>" + b"".join(b"</" + name + b">" for name in locals[-2::-1])
        self._root = f'<root xmlns="{inherited}">' if inherited else "<root>"
        self._left = 0
        self._parser: Any = None
        self._begun: dict[str, dict[str, str]] = {}

    def read(self, message: bytes) -> list[dict[str, str]] | None:
        """
        @return: the attributes of each element, when the message is exactly that, with
            character data at most; C{None} for everything else.
        """
        # So many tags, of which the last end all elements but the innermost. So there is
        # no room for a comment, CDATA or a declaration, and none for another nesting.
        if not message.endswith(self._tail) or not message.startswith(self._head):
            return None
        # Counted by taking them out: that finds a byte many times as fast as C{count} does.
        if len(message) - len(message.replace(b"<", b"")) != self._tags:
            return None
        if not self._left:
            self._renew()
        self._left -= 1
        begun = self._begun
        begun.clear()
        try:
            self._parser.Parse(message, False)
        except expat.ExpatError:
            self._left = 0
            return None
        if list(begun) != self._names:
            # It may be left inside an element that began twice.
            self._left = 0
            return None
        return list(begun.values())

    def _renew(self) -> None:
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.Parse(self._root, False)
        parser.StartElementHandler = self._begun.__setitem__
        self._left = _RECYCLE_AFTER
