"""
Where XML tokens end, in bytes cut anywhere.

An expat that is given a part of a token may defer (CVE-2023-52425): it then looks at that
token again only when twice as many bytes are there, and keeps a whole stanza until then.
Given complete tokens only, none has anything to defer.
"""

from __future__ import annotations

import re

from ..errors import ProtocolViolation

__all__ = ["TokenCutter", "checkBetween"]

_WHITESPACE = b" \t\r\n"
_CDATA = b"<![CDATA["
# Tags with the text before them: an attribute's value can hold '>', none can hold '<'. Each
# repetition ends at a byte that it cannot hold, so nothing is tried twice. Possessive
# quantifiers would say so, and match wrongly before Python 3.11.5 (gh-106052).
_TAGS = re.compile(
    rb"""(?:[^<]*<(?![!?])[^<>"']*(?:(?:"[^<"]*"|'[^<']*')[^<>"']*)*>)*""", re.DOTALL
)
_IN_TAG = re.compile(rb"""[<>"']""")
_IN_VALUE = {ord('"'): re.compile(rb'["<]'), ord("'"): re.compile(rb"['<]")}
# '<' and what can follow it between stanzas: a name, or what the cutter or expat refuses.
_BEGINNING = re.compile(rb"<(?:[A-Za-z_:/?\x80-\xff]|\Z)")


def checkBetween(data: bytes) -> None:
    """
    @param data: what stands between stanzas, or is the beginning of one.
    @raise ProtocolViolation: no stanza can begin with that.
    """
    rest = data.lstrip(_WHITESPACE)
    if rest and not rest.startswith(b"<"):
        raise ProtocolViolation("the server sent text between stanzas")
    if rest.startswith(b"<!"):
        # Expat may be given a part of such a token, and would wait for more.
        raise ProtocolViolation(
            "the server sent malformed XML: a DOCTYPE, a comment or CDATA between stanzas"
        )
    if rest and not _BEGINNING.match(rest):
        raise ProtocolViolation("the server sent malformed XML: no element begins with that")


class TokenCutter:
    """
    Remembers how far it has looked, so that each byte is looked at once.

    @ivar special: a comment, a processing instruction, a CDATA section, or what begins as
        they do and is none of them, begins at C{end}.
    @ivar end: how many of the bytes are complete tokens.
    """

    # One for each connection.
    __slots__ = ("_at", "_inTag", "_quote", "end", "special")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at the beginning of a token again."""
        self.end = self._at = 0
        self.special = False
        self._inTag = False
        self._quote = 0

    def look(self, data: bytes) -> None:
        """
        @param data: what begins with a token, and with what was looked at before. Where
            a C{<} proves that it is malformed, all of it counts as complete.
        """
        if not self._at and (match := _TAGS.match(data)):
            self.end = self._at = match.end()
        while not self.special:
            if not self._inTag:
                at = data.find(b"<", self._at)
                if at < 0:
                    self._at = len(data)
                    return
                self._at = at
                begin = data[at : at + len(_CDATA)]
                if begin[1:2] == b"!":
                    # Or the beginning of one, of which more is to come.
                    if begin == _CDATA or not (
                        _CDATA.startswith(begin) or b"<!-".startswith(begin)
                    ):
                        self._pause(at)
                    return
                if len(begin) < 2:
                    return
                if begin[1:2] == b"?":
                    self._pause(at)
                    return
                self._at = at + 1
                self._inTag = True
            found = (_IN_VALUE[self._quote] if self._quote else _IN_TAG).search(data, self._at)
            if found is None:
                self._at = len(data)
                return
            self._at = found.end()
            what = data[found.start()]
            if what == ord("<"):
                self.end = len(data)
                return
            if what == ord(">"):
                self._inTag = False
                self.end = self._at
            else:
                self._quote = 0 if self._quote else what

    def _pause(self, at: int) -> None:
        self.special = True
        self.end = at
