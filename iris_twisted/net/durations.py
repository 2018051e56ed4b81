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
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
        or (value == 0 and not zero)
    ):
        least = "zero or more" if zero else "more than zero"
        raise IncorrectParameters(f"{name} must be a number of seconds, {least}, not {value!r}")
    return float(value)
