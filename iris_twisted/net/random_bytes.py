"""
Bytes that nobody can guess, a few at a time, many for one system call.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable

__all__ = ["randomChunks"]

_AT_ONCE = 4096


def randomChunks(size: int) -> Callable[[], bytes]:
    """
    Chunks from the system's generator; whichever thread takes one, nobody else gets it.

    @param size: bytes of each; a divisor of 4096.
    @return: gives another one with each call.
    """
    chunks: deque[bytes] = deque()
    pop, split = chunks.popleft, struct.Struct(f"{size}s").iter_unpack

    def take() -> bytes:
        while True:
            try:
                return pop()
            except IndexError:
                chunks.extend([chunk for (chunk,) in split(os.urandom(_AT_ONCE))])

    # A process that forks must not say what its parent says.
    os.register_at_fork(after_in_child=chunks.clear)
    return take
