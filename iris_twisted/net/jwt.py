"""
JSON Web Tokens (RFC 7519), as far as a client looks into them: never verified.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from .json_text import decodeJson

__all__ = ["claimsOf", "expiryOf", "issuedOf"]


def claimsOf(token: str) -> dict[str, Any]:
    """The claims of a JWT (RFC 7519 section 4), unverified; none when it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = decodeJson(base64.urlsafe_b64decode(padded).decode("utf-8"))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def expiryOf(token: str) -> float | None:
    """
    The C{exp} claim of a JWT (RFC 7519 section 4.1.4), unverified.

    @return: epoch seconds, or C{None} when there is none that makes sense.
    """
    return _date(token, "exp")


def issuedOf(token: str) -> float | None:
    """The same of the C{iat} claim (section 4.1.6)."""
    return _date(token, "iat")


def _date(token: str, claim: str) -> float | None:
    date = claimsOf(token).get(claim)
    if isinstance(date, bool) or not isinstance(date, (int, float)):
        return None
    try:
        seconds = float(date)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
