"""
Lines to a stream that C{twist} has not redirected into its log yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

__all__ = ["lineWriter", "printable"]


def lineWriter(stream: TextIO | None) -> Callable[[str], None]:
    """
    Writes a line at a time, to be seen at once.

    @param stream: taken now: C{twist} replaces C{sys.stdout} when it starts to log; C{None}, which
        Python has for one that is closed, takes no line.
    """

    def write(line: str) -> None:
        if stream is None:
            return
        stream.write(line + "\n")
        stream.flush()

    return write


def printable(value: object) -> str:
    """Text that a terminal can be shown: what a stranger sent may hold escape sequences."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
