"""
Bytes that nobody can guess, a few at a time, many for one system call.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

__all__ = ["randomChunks"]

_AT_ONCE = 4096


def randomChunks(size: int) -> Iterator[bytes]:
    """
    Pieces from the system's generator, without end.

    @param size: bytes of each; a divisor of 4096.
    """
    while True:
        for (piece,) in struct.iter_unpack(f"{size}s", os.urandom(_AT_ONCE)):
            yield piece
