"""
JSON from strangers.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MAX_DEPTH", "decodeJson"]

MAX_DEPTH = 64


def _noConstant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_noConstant)


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
    Strict JSON (RFC 8259: no NaN, no Infinity), at most L{MAX_DEPTH} levels deep,
    so that whoever writes it again does not run out of stack.

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
    # Without that many brackets it cannot be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and not _depthWithin(value, MAX_DEPTH):
        raise ValueError("nested too deep")
    return value
