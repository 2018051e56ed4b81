"""
Iris tokens of the sandbox: JWTs in shape, signed by nobody.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

__all__ = ["makeToken"]


def _part(value: dict[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def makeToken(routingId: str, expiry: float, issued: float | None = None) -> str:
    """
    A token that claims to expire at C{expiry}, and to be from C{issued}, epoch seconds
    (RFC 7519).
    """
    claims = {"iss": "sandbox", "id": routingId, "exp": int(expiry), "jti": secrets.token_hex(4)}
    if issued is not None:
        claims["iat"] = int(issued)
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.c2FuZGJveA"
