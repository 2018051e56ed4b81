"""
Back-pressure from what we send to what we read.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

__all__ = ["WriteBackPressure"]


class _Reader(Protocol):
    """What stops and goes on reading, for more than one reason."""

    def pauseReading(self, reason: str) -> None: ...

    def resumeReading(self, reason: str) -> None: ...


@implementer(IPushProducer)
class WriteBackPressure:
    """
    Stops reading while the peer does not read: each request of its costs an
    answer, and they would pile up.
    """

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def pauseProducing(self) -> None:
        self._reader.pauseReading("peer")

    def resumeProducing(self) -> None:
        self._reader.resumeReading("peer")

    def stopProducing(self) -> None:
        """The connection is being closed already."""
