"""
Hashes of passwords: Argon2id (RFC 9106), by argon2-cffi.
"""

from __future__ import annotations

import re
import unicodedata

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from ..errors import IncorrectParameters

__all__ = ["checkHash", "checkPassword", "hashOf", "isPassword"]

# What OWASP's "Password Storage Cheat Sheet" asks for at least: 19 MiB, two passes, one lane.
# It is little enough for a daemon beside thousands of connections. Written down here, so that
# all hashes cost the same, whatever the library's own defaults become.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Characters at least (NIST SP 800-63B section 3.1.1.2), and at most, so that an HTTP header
# has room for them.
_SHORTEST = 8
_LONGEST = 256
# Verifying may not cost more than this: KiB, passes, lanes.
_MOST = (1024 * 1024, 32, 16)
_FORM = re.compile(
    r"\$argon2id\$v=19\$m=\d{1,9},t=\d{1,9},p=\d{1,9}\$[\w+/]{11,}\$[\w+/]{22,}", re.A
)


def _bytes(password: str) -> bytes:
    # RFC 7617 section 2.1: keyboards may write one letter in two ways. What is no Unicode
    # (a surrogate that stands for a byte) is nobody's password, and must not raise.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def checkPassword(password: str) -> None:
    """
    Whether it can be somebody's password.

    @raise IncorrectParameters: when it cannot; never with a part of it.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        raise IncorrectParameters("the password must be one line of text")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise IncorrectParameters(
            f"the password must have {_SHORTEST} to {_LONGEST} characters, not {len(password)}"
        )


def hashOf(password: str) -> str:
    """A new hash of a password, with a salt of its own; it takes some ten milliseconds."""
    return _HASHER.hash(_bytes(password))


def isPassword(hash: str, password: str) -> bool:
    """
    Whether a hash is of this password. It takes as long as the hash says, and gives other
    threads time meanwhile.

    @param hash: one that L{checkHash} let pass.
    """
    try:
        return _HASHER.verify(hash, _bytes(password))
    except VerificationError:
        return False


def checkHash(hash: str) -> None:
    """
    @raise IncorrectParameters: when it is none that can be verified, or one that takes too
        long, with half a sentence that does not hold it.
    """
    if not _FORM.fullmatch(hash):
        raise IncorrectParameters("has no Argon2id hash, as in $argon2id$v=19$m=...")
    try:
        found = extract_parameters(hash)
    except (InvalidHashError, ValueError):
        raise IncorrectParameters("has a hash that is broken") from None
    costs = (found.memory_cost, found.time_cost, found.parallelism)
    least = 8 * found.parallelism
    if found.type is not Type.ID or found.memory_cost < least or 0 in costs:
        raise IncorrectParameters("has a hash that is broken")
    if any(cost > most for cost, most in zip(costs, _MOST, strict=True)):
        raise IncorrectParameters("has a hash that takes too long to verify")
