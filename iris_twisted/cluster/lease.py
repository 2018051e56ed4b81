"""
How long a member may rely on what it owns, when it hears nothing of the database.
"""

from __future__ import annotations

from typing import Any

from ..net.steady_time import steadyTime
from .values import DOUBT, LEASE

__all__ = ["Lease"]


class Lease:
    """
    Counted on the member's own clock, from before each renewal was sent: so it ends here
    before it ends by the database's clock, and before anybody else takes anything. That clock
    goes on while the process is stopped.
    """

    def __init__(self, reactor: Any, seconds: float = LEASE, doubt: float = DOUBT) -> None:
        self._time = steadyTime(reactor)
        self._seconds = seconds
        self._doubt = doubt
        self._sent: float | None = None
        self._term = 0

    @property
    def age(self) -> float | None:
        """Seconds since the last renewal was sent; C{None} before the first."""
        return None if self._sent is None else self._time.seconds() - self._sent

    @property
    def holds(self) -> bool:
        """Whether it has not ended."""
        age = self.age
        return age is not None and age < self._seconds

    @property
    def term(self) -> int | None:
        """
        The number of the time without doubt in which we are: in another one somebody else may
        have what was ours. C{None} while there is doubt, since a renewal is overdue.
        """
        age = self.age
        return self._term if age is not None and age < self._doubt else None

    def renewed(self, sent: float) -> None:
        """The database has a renewal that was sent at that time of the steady clock."""
        if self.term is None:
            self._term += 1
        self._sent = sent

    def lost(self) -> None:
        """It has ended, whatever was counted here."""
        self._sent = None
