"""
JIDs compared as the RFCs say, by Twisted's own stringprep (RFC 7622, RFC 6122).
"""

from __future__ import annotations

import re
from functools import lru_cache

from twisted.words.protocols.jabber.jid import JID, InvalidFormat

__all__ = ["parseJid", "sameJid"]

# What stringprep leaves as it is, if the domain is no longer than a label may be.
_LABEL = "[a-z0-9]+(?:-[a-z0-9]+)*"
_PLAIN = re.compile(rf"(?:([a-z0-9._-]+)@)?({_LABEL}(?:\.{_LABEL})*)(?:/([!-~]+))?")


def parseJid(text: str) -> JID | None:
    """A JID, or C{None} when the text is none. (C{internJID} would keep each for good.)"""
    plain = _PLAIN.fullmatch(text)
    if plain is None or len(plain[2]) > 63:
        return _prepared(text)
    jid = JID.__new__(JID)
    jid.user, jid.host, jid.resource = plain.groups()
    return jid


@lru_cache(maxsize=256)
def _prepared(text: str) -> JID | None:
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
