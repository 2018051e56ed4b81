"""
Lines to a stream that C{twist} has not redirected into its log yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

__all__ = ["lineWriter"]


def lineWriter(stream: TextIO) -> Callable[[str], None]:
    """
    Writes a line at a time, to be seen at once.

    @param stream: taken now: C{twist} replaces C{sys.stdout} when it starts to log.
    """

    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    return write
