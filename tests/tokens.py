"""
Tokens for tests.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def jwt(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.x"
