"""
From bytes cut anywhere to whole stanzas: the stream dialect.

All messages of one direction are one endless document, and servers open it with
their own header, with C{<open/>} or with nothing: so the parser is given a root of ours
first, and a header of theirs becomes a second one inside it.
"""

from __future__ import annotations

import re

from ..errors import ProtocolViolation
from ..values import Limits
from .elements import CLIENT, STREAM, Element, escape
from .parser import Closed, Item, Tree, Violation

__all__ = ["StreamParser"]

_DECLARATION = re.compile(rb"<\?xml[\s].{0,120}?\?>", re.DOTALL)


class StreamParser(Tree):
    """
    The stream dialect: one document without end, cut anywhere.

    @ivar atRest: whether everything that came is whole stanzas, and C{jabber:client} is
        in force.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, roots=1)
        self._data = self._lastByte = b""
        self._dataStart = 0
        self._stanzaEnd = 0
        self._held = b""
        self._begun = False
        self._spent = False
        self.atRest = False

    def feed(self, data: bytes) -> list[Item]:
        """Parse what came. After a L{Violation} or L{Closed}, nothing is read any more."""
        if self._spent:
            return []
        try:
            self._feed(data)
        except ProtocolViolation as e:
            self.items.append(Violation(e))
        self.atRest = (
            self._begun
            and not self._held
            and self._stanzaEnd == self._dataStart
            and (not self.headerSeen or self.declarations.get(None, CLIENT) == CLIENT)
        )
        items = self.take()
        for count, item in enumerate(items):
            if isinstance(item, (Violation, Closed)):
                self._spent = True
                self.atRest = False
                return items[: count + 1]
        return items

    def _feed(self, data: bytes) -> None:
        self._held += data
        # Nothing of interest ends without '>': do not let expat rescan half a tag for each byte.
        if b">" in data and (self._begun or self._open()):
            if self.expat is None:
                self._goOn()
            held, self._held = self._held, b""
            self._put(held)
            if self._stanzaEnd == self._dataStart:
                # Whole stanzas: what expat has seen is not needed any more.
                self.expat = None
        begin = self.stanzaStart if self.open else self._stanzaEnd
        self._bound(self._dataStart + len(self._held) - begin)

    def _put(self, data: bytes) -> None:
        self._lastByte, self._data = self._data[-1:], data
        self.parse(data)
        self._dataStart += len(data)

    def _end(self, name: str) -> None:
        super()._end(name)
        if not self.open:
            self._stanzaEnd = self._dataStart + self._endOfTag()
            try:
                self._bound(self._stanzaEnd - self.stanzaStart)
            except ProtocolViolation:
                del self.items[-1]
                raise

    def _endOfTag(self) -> int:
        """Where the tag that ended the last element ends, in what is being parsed."""
        # Expat points to the beginning of an end tag, but behind an empty element's only one.
        at: int = max(0, self.expat.CurrentByteIndex - self._dataStart)
        last = self.items[-1]
        before = self._data[at - 2 : at] if at > 1 else (self._lastByte + self._data[:at])
        if before == b"/>" and isinstance(last, Element) and not last.children and not last.text:
            return at
        return self._data.find(b">", at) + 1

    def _bound(self, size: int) -> None:
        if size > self._limits.frame:
            raise ProtocolViolation(
                f"the server sent a stanza of more than {self._limits.frame} bytes"
            )

    def _open(self) -> bool:
        """Let a declaration pass at the very start, then begin our root."""
        if self._held.startswith(b"<?xml") and b"?>" not in self._held:
            return False
        self._begin()
        declaration = _DECLARATION.match(self._held)
        if declaration:
            self._held = self._held[declaration.end() :]
            self._put(declaration[0])
        self._root({None: CLIENT, "stream": STREAM})
        self._begun = True
        return True

    def _root(self, context: dict[str | None, str]) -> None:
        self._put(
            (
                "<stream:stream"
                + "".join(
                    f' xmlns{":" + prefix if prefix else ""}="{escape("xmlns", uri)}"'
                    for prefix, uri in context.items()
                )
                + ">"
            ).encode()
        )
        self.stanzaStart = self._stanzaEnd = self._dataStart

    def _goOn(self) -> None:
        """Begin a new expat between stanzas, in the namespaces that the header declared."""
        context = {None: CLIENT, "stream": STREAM}
        if self.headerSeen:
            context |= self.declarations
        self._begin()
        self._dataStart = 0
        self._root(context)
