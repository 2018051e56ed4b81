"""
JSON from strangers.
"""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["MAX_DEPTH", "decodeJson", "decodeJsonToWrite"]

MAX_DEPTH = 64
# RFC 8259 section 2.
_WHITESPACE = " \t\n\r"


def _noConstant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large to be written again")
    return number


def _whole(text: str) -> int:
    # RFC 8259 section 6: readers that have doubles only make Infinity of it, or refuse it.
    _finite(text)
    return int(text)


_decoder = json.JSONDecoder(parse_constant=_noConstant)
_finiteDecoder = json.JSONDecoder(parse_constant=_noConstant, parse_float=_finite, parse_int=_whole)


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
    return _decode(text, _decoder)


def decodeJsonToWrite(text: str) -> Any:
    """
    The same, of what will be written again for others: without numbers that no double holds,
    whole or not, and without halves of surrogate pairs (RFC 8259 section 8.2), which strict
    readers refuse.

    @raise ValueError: for anything else.
    """
    value = _decode(text, _finiteDecoder)
    # One character is found many times as fast as two.
    if "\\" in text and ("\\ud" in text or "\\uD" in text):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _decode(text: str, decoder: json.JSONDecoder) -> Any:
    # The decoder's own way around white space costs more than the decoding.
    text = text.strip(_WHITESPACE)
    try:
        value, end = decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if end != len(text):
        raise ValueError("something follows the value")
    # Without that many brackets it cannot be deep. To take a byte out finds it many times as
    # fast as C{count} does.
    data = text.encode("utf-8", "surrogatepass")
    brackets = 2 * len(data) - len(data.replace(b"[", b"")) - len(data.replace(b"{", b""))
    if brackets > MAX_DEPTH and not _depthWithin(value, MAX_DEPTH):
        raise ValueError("nested too deep")
    return value
