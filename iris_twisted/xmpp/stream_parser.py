"""
From bytes cut anywhere to whole stanzas: the stream dialect.

All messages of one direction are one endless document, and servers open it with
their own header, with C{<open/>} or with nothing: so the parser is given a root of ours
first, and a header of theirs becomes a second one inside it. Expat is given complete
tokens only, so that a stanza is told with its last byte by each version of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..errors import ProtocolViolation
from ..net.limits import Limits
from .elements import CLIENT, STREAM, Element, escape
from .parser import Closed, Item, Tree, Violation
from .token_cutter import TokenCutter, checkBetween

__all__ = ["StreamParser"]

_DECLARATION = re.compile(rb"<\?xml[\s].{0,120}?\?>", re.DOTALL)

# In force where the peer declares nothing else.
_OURS: dict[str | None, str] = {None: CLIENT, "stream": STREAM}
# Bytes of what the header declares: each message is read inside it. Servers need 300.
_LONGEST_ROOT = 2048


# The name in a tag, with its prefix.
_NAME = re.compile(rb"<([^\s/>]+)")


def _rootOf(context: dict[str | None, str], name: str = "stream:stream") -> bytes:
    """
    The tag that begins a stream in which these namespaces are in force, by prefix.

    @param name: what its end tag will be called.
    """
    declarations = (
        f' xmlns{":" + prefix if prefix else ""}="{escape("xmlns", uri)}"'
        for prefix, uri in context.items()
    )
    return f"<{name}{''.join(declarations)}>".encode()


_OUR_ROOT = _rootOf(_OURS)


@lru_cache(maxsize=64)
def _shared(root: bytes) -> bytes:
    """A server opens all its streams alike: thousands of connections to it keep one."""
    return root


class StreamParser(Tree):
    """
    The stream dialect: one document without end, cut anywhere.

    @ivar atRest: whether everything that came is whole stanzas, and C{jabber:client} is
        in force.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, roots=1)
        self._data = b""
        self._dataStart = 0
        self._stanzaEnd = 0
        self._held = b""
        self._cutter = TokenCutter()
        self._sought = 0
        self._root = _OUR_ROOT
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
        if self._begun or self._open():
            self._putTokens()
            if not self.open:
                checkBetween(self._held)
                if self._held.isspace():
                    # Keepalives: they belong to no stanza, and must not add up.
                    self._held = b""
                    self._cutter.reset()
        begin = self.stanzaStart if self.open else self._stanzaEnd
        self._bound(self._dataStart + len(self._held) - begin)

    def _putTokens(self) -> None:
        """Give expat what is complete of what is held, as little of it as that may be."""
        cutter = self._cutter
        while True:
            cutter.look(self._held)
            special = cutter.special
            if cutter.end:
                if not self.open:
                    checkBetween(self._held)
                if self.expat is None:
                    self._renewExpat()
                complete, self._held = self._held[: cutter.end], self._held[cutter.end :]
                cutter.reset()
                self._put(complete)
                if self._stanzaEnd == self._dataStart:
                    # Whole stanzas: what expat has seen is not needed any more.
                    self.expat = None
            if not special or self._ended():
                return
            if not self._putSpecial():
                return

    def _putSpecial(self) -> bool:
        """
        A comment, a processing instruction, a CDATA section or a declaration begins what is
        held.

        @return: whether it was a whole CDATA section, which expat has now.
        @raise ProtocolViolation: nothing of that kind is allowed there.
        """
        if self._held.startswith(b"<!--"):
            self._comment("")
        if self._held.startswith(b"<?"):
            self._instruction()
        if not self.open:
            checkBetween(self._held)
        if not self._held.startswith(b"<![CDATA["):
            raise ProtocolViolation("the server sent malformed XML: no markup begins with that")
        end = self._held.find(b"]]>", self._sought)
        if end < 0:
            # Its end may be cut too.
            self._sought = max(0, len(self._held) - 2)
            return False
        self._sought = 0
        section, self._held = self._held[: end + 3], self._held[end + 3 :]
        self._cutter.reset()
        self._put(section)
        return True

    def _ended(self) -> bool:
        return bool(self.items) and isinstance(self.items[-1], Closed)

    def _put(self, data: bytes) -> None:
        self._data = data
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
        if (
            self._data[max(0, at - 2) : at] == b"/>"
            and isinstance(last, Element)
            and not last.children
            and not last.text
        ):
            return at
        return self._data.find(b">", at) + 1

    def _bound(self, size: int) -> None:
        if size > self._limits.frame:
            raise ProtocolViolation(
                f"the server sent a stanza of more than {self._limits.frame} bytes"
            )

    def _open(self) -> bool:
        """Let a declaration pass at the very start, then begin our root."""
        if b"<?xml".startswith(self._held[:5]) and b"?>" not in self._held:
            return False
        self._begin()
        declaration = _DECLARATION.match(self._held)
        if declaration:
            self._held = self._held[declaration.end() :]
            self._put(declaration[0])
        self._enter(self._root)
        self._begun = True
        return True

    def _opened(self) -> None:
        # RFC 6120 section 4.8.5: its prefix is the server's choice, and its end has the same.
        name = _NAME.match(self._data, self.expat.CurrentByteIndex - self._dataStart)
        assert name is not None
        root = _rootOf(_OURS | self.declarations, name[1].decode())
        if len(root) > _LONGEST_ROOT:
            raise ProtocolViolation(
                f"the server opened its stream with namespaces of more than {_LONGEST_ROOT} bytes"
            )
        self._root = _shared(root)

    def _enter(self, root: bytes) -> None:
        self._put(root)
        self.stanzaStart = self._stanzaEnd = self._dataStart

    def _renewExpat(self) -> None:
        """Begin a new expat between stanzas, in the namespaces that the header declared."""
        self._begin()
        self._dataStart = 0
        self._enter(self._root)
