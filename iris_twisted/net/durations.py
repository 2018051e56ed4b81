"""
Numbers of seconds from callers, checked.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import IncorrectParameters

__all__ = ["checkSeconds"]


def checkSeconds(name: str, value: Any, *, zero: bool = False) -> float:
    """
    A number of seconds from a caller, checked.

    @raise IncorrectParameters: when it is no finite number above zero.
    """
    isNumber = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        seconds = float(value) if isNumber else -1.0
    except OverflowError:
        raise IncorrectParameters(f"{name} must be a number of seconds, not one so large") from None
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        least = "zero or more" if zero else "more than zero"
        raise IncorrectParameters(f"{name} must be a number of seconds, {least}, not {value!r}")
    return seconds
