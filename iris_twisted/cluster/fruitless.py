"""
From whom nothing could be pulled: asked again and again, the database would have to look at all
of their places each time. No I/O, and no time but that of the calls.
"""

from __future__ import annotations

from .values import LEASE

__all__ = ["Fruitless"]

# Seconds after a move until those are asked again of whom nothing was to be had before it.
_AGAIN = LEASE


class Fruitless:
    """
    What a member remembers from look to look. What is moved can make room in a zone, or put two
    copies in one: so each move is followed by another attempt, and nothing else is.
    """

    def __init__(self) -> None:
        self._sources = set[int]()
        self._who: object = None
        self._loads: object = None
        # When the first of the moves was seen that nobody was asked again for.
        self._moved: float | None = None

    @property
    def sources(self) -> frozenset[int]:
        """The members that need not be asked."""
        return frozenset(self._sources)

    def add(self, source: int) -> None:
        """Nothing could be pulled from that one."""
        self._sources.add(source)

    def see(self, who: object, loads: object, now: float) -> None:
        """
        A look.

        @param who: who is there, and what they may hold: if it changes all are asked at once.
        @param loads: what they hold.
        @param now: steady seconds.
        """
        if loads != self._loads and self._moved is None:
            self._moved = now
        if who != self._who or (self._moved is not None and now >= self._moved + _AGAIN):
            self._sources.clear()
            self._moved = None
        self._who, self._loads = who, loads
