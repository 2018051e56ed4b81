"""
From bytes cut anywhere to whole stanzas, within limits.

Expat parses; DOCTYPE, processing instructions and comments are refused in its
own callbacks, before anything is expanded (RFC 6120 section 11.1). In the stream
dialect all messages of one direction are one endless document, and servers open
it with their own header, with C{<open/>} or with nothing: so the parser is given
a root of ours first, and a header of theirs becomes a second one inside it.
"""

from __future__ import annotations

import re
from xml.parsers import expat

import attrs

from ..errors import ProtocolViolation
from ..values import Limits
from .elements import CLIENT, STREAM, Element, escape

__all__ = ["Closed", "FrameParser", "Header", "Item", "StreamParser", "Violation"]

_DECLARATION = re.compile(rb"<\?xml[\s].{0,120}?\?>", re.DOTALL)
# A persistent parser keeps every name that it ever saw: start afresh after so many bytes.
_RECYCLE_AFTER = 1024 * 1024


@attrs.frozen
class Header:
    """The peer opened its stream."""

    attributes: dict[str, str]


@attrs.frozen
class Closed:
    """The peer closed its stream: C{</stream:stream>}."""


@attrs.frozen
class Violation:
    """What came cannot be accepted; nothing after it is read."""

    error: ProtocolViolation


Item = Element | Header | Closed | Violation


class _Tree:
    """Builds elements from expat's callbacks, and refuses what is over the limits."""

    def __init__(self, limits: Limits, roots: int) -> None:
        self._limits = limits
        self._rootsWanted = roots
        self.items: list[Item] = []
        self._begin()

    def _begin(self, declarations: dict[str | None, str] | None = None) -> None:
        self.roots = 0
        self.headerSeen = declarations is not None
        self.declarations: dict[str | None, str] = declarations or {}
        self.open: list[Element] = []
        self._texts: list[list[str]] = []
        self.stanzaStart = 0
        # With an explicit encoding, no declaration can talk expat into another one.
        self.expat = parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # Deferral (expat 2.6) would hold a stanza back until more bytes follow it.
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.CommentHandler = self._comment
        parser.XmlDeclHandler = self._declaration
        if self._rootsWanted and not self.headerSeen:
            parser.StartNamespaceDeclHandler = self._declare

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if self.roots < self._rootsWanted:
            self.roots += 1
            if not self.headerSeen:
                self.declarations.clear()
            return
        if not self.open:
            if self._rootsWanted and name == f"{STREAM} stream":
                if self.headerSeen:
                    raise ProtocolViolation("the server opened a second stream inside the first")
                self.headerSeen = True
                self.roots += 1
                self.expat.StartNamespaceDeclHandler = None
                self.items.append(Header(attributes))
                return
            if not self.headerSeen and self._rootsWanted and not self.items:
                # A stanza before any header: what it declares is its own.
                self.declarations.clear()
            self.stanzaStart = self.expat.CurrentByteIndex
        elif len(self.open) >= self._limits.depth:
            raise ProtocolViolation(
                f"the server sent elements nested deeper than {self._limits.depth}"
            )
        else:
            siblings = self.open[-1].children
            if len(siblings) >= self._limits.children:
                raise ProtocolViolation(
                    f"the server sent an element with more than {self._limits.children} children"
                )
        element = Element(local, namespace, attributes)
        if self.open:
            self.open[-1].children.append(element)
        self.open.append(element)
        self._texts.append([])

    def _end(self, _name: str) -> None:
        if not self.open:
            self.roots -= 1
            self.items.append(Closed())
            return
        element = self.open.pop()
        element.text = "".join(self._texts.pop())
        if not self.open:
            self.items.append(element)

    def _text(self, text: str) -> None:
        if self.open:
            self._texts[-1].append(text)
        elif text.strip(" \t\r\n"):
            raise ProtocolViolation("the server sent text between stanzas")

    def _declare(self, prefix: str | None, uri: str) -> None:
        self.declarations[prefix] = uri

    def _doctype(self, *_: object) -> None:
        raise ProtocolViolation("the server sent a DOCTYPE")

    def _instruction(self, *_: object) -> None:
        raise ProtocolViolation("the server sent a processing instruction")

    def _comment(self, _: str) -> None:
        raise ProtocolViolation("the server sent an XML comment")

    def _declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise ProtocolViolation("the server sent XML that declares another encoding than UTF-8")

    def parse(self, data: bytes, final: bool = False) -> None:
        """
        @raise ProtocolViolation: what came before it is in C{items} already.
        """
        try:
            self.expat.Parse(data, final)
        except expat.ExpatError as e:
            # The message is expat's own: it names the kind and place, never the content.
            raise ProtocolViolation(f"the server sent malformed XML: {e}") from None

    def take(self) -> list[Item]:
        items, self.items = self.items, []
        return items


class FrameParser(_Tree):
    """The framed dialect (RFC 7395): each message is one whole element."""

    atRest = True

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, roots=0)

    def feed(self, data: bytes) -> list[Item]:
        """Parse one message. After a L{Violation} the parser is spent."""
        try:
            if len(data) > self._limits.frame:
                raise ProtocolViolation(
                    f"the server sent more than {self._limits.frame} bytes at once"
                )
            if b"\0" in data:
                # Expat would take it for UTF-16, whatever encoding it was told.
                raise ProtocolViolation("the server sent a zero byte")
            self._begin()
            self.parse(data, final=True)
        except ProtocolViolation as e:
            # RFC 7395 section 3.3.3: neither half a stanza nor two are a message.
            return [Violation(e)]
        return self.take()


class StreamParser(_Tree):
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
            held, self._held = self._held, b""
            self._put(held)
            if self._dataStart > _RECYCLE_AFTER and self._stanzaEnd == self._dataStart:
                self._recycle()
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
        at = max(0, self.expat.CurrentByteIndex - self._dataStart)
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

    def _recycle(self) -> None:
        """Go on with a new expat, in the namespaces that the header declared."""
        context = {None: CLIENT, "stream": STREAM} | self.declarations
        items = self.take()
        self._begin(context)
        self._dataStart = 0
        self._root(context)
        self.items = items
