"""
JSON from strangers.
"""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["MAX_DEPTH", "decodeJson"]

MAX_DEPTH = 64


def _noConstant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large to be written again")
    return number


_decoder = json.JSONDecoder(parse_constant=_noConstant, parse_float=_finite)


def _depthWithin(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return False


def decodeJson(text: str) -> Any:
    """
    Strict JSON (RFC 8259: no NaN, no Infinity, no number that would become one, no half of
    a surrogate pair), at most L{MAX_DEPTH} levels deep: whoever writes it again writes what
    every reader takes, and does not run out of stack.

    @raise ValueError: for anything else.
    """
    try:
        value, end = _decoder.raw_decode(text)
        if end != len(text):
            value = _decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        # There may be white space before it, for which the raw way has no sense.
        value = _decoder.decode(text)
    if "\\ud" in text or "\\uD" in text:
        # Half of a pair stands for no character (RFC 8259 section 8.2).
        json.dumps(value, ensure_ascii=False).encode()
    # Without that many brackets it cannot be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and not _depthWithin(value, MAX_DEPTH):
        raise ValueError("nested too deep")
    return value
