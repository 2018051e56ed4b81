"""
JIDs compared as the RFCs say, by Twisted's own stringprep (RFC 7622, RFC 6122).
"""

from __future__ import annotations

from functools import lru_cache

from twisted.words.protocols.jabber.jid import JID, InvalidFormat

__all__ = ["parseJid", "sameJid"]


@lru_cache(maxsize=4096)
def parseJid(text: str) -> JID | None:
    """A JID, or C{None} when the text is none. (C{internJID} would keep each for good.)"""
    try:
        return JID(text) if text else None
    except (InvalidFormat, ValueError, LookupError):
        # Twisted's stringprep stumbles over some of what is none.
        return None


def sameJid(one: str, other: str) -> bool:
    """Whether two texts name the same JID."""
    if one == other:
        return True
    parsed = parseJid(one)
    return parsed is not None and parsed == parseJid(other)
