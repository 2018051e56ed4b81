"""
From bytes to whole stanzas, within limits; the framed dialect.

Expat parses; DOCTYPE, processing instructions and comments are refused in its
own callbacks, before anything is expanded (RFC 6120 section 11.1).
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

import attrs

from ..errors import ProtocolViolation
from ..net.limits import Limits
from .elements import STREAM, Element

__all__ = ["Closed", "FrameParser", "Header", "Item", "Tree", "Violation"]


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


class Tree:
    """
    Builds elements from expat's callbacks, and refuses what is over the limits. Between
    messages there is no expat, where possible: each one costs twenty kilobytes.

    @ivar expat: the parser of what is being read.
    """

    expat: Any = None

    def __init__(self, limits: Limits, roots: int) -> None:
        self._limits = limits
        self._rootsWanted = roots
        self.items: list[Item] = []
        self.open: list[Element] = []
        self._texts: list[list[str]] = []
        self.roots = 0
        self.headerSeen = False
        self.declarations: dict[str | None, str] = {}
        self.stanzaStart = 0

    def _begin(self) -> None:
        self.roots = 0
        self.open.clear()
        self._texts.clear()
        self.stanzaStart = 0
        # With an explicit encoding, no declaration can talk expat into another one.
        self.expat = parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
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
                self._opened()
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

    def _opened(self) -> None:
        """A header came; its attributes are being told."""

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

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        # None undeclares the default namespace.
        self.declarations[prefix] = uri or ""

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


class FrameParser(Tree):
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
            self.items.clear()
            return [Violation(e)]
        finally:
            self.expat = None
        return self.take()
