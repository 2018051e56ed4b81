"""
For how long the database has been seen without a gap: whoever saw one gives the others time to
renew their leases before they count as dead.
"""

from __future__ import annotations

from typing import Any

import psycopg
from twisted.logger import Logger

from ..net.steady_time import steadyTime
from .database import Database

__all__ = ["Watching"]

# Seconds by which the database's clock has been set, at least, when that matters.
_SET = 1.0


class Watching:
    """
    Leases expire by the database's clock. When it is set forward, those of all members expire at
    once, and nobody is dead for that: it counts as a gap.
    """

    _log = Logger()

    def __init__(self, reactor: Any, database: Database) -> None:
        self._time = steadyTime(reactor)
        self._database = database
        # Between these the database's clock is ahead of ours; none before the first look.
        self._ahead: tuple[float, float] | None = None
        self._since = self._time.seconds()

    def seconds(self, connection: psycopg.Connection) -> float:
        """
        Seconds without a gap. It may be called in a thread.

        @param connection: within the transaction that will judge the others.
        """
        sent = self._time.seconds()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        assert row is not None
        received = self._time.seconds()
        ahead, before = (row[0] - received, row[0] - sent), self._ahead
        self._ahead = ahead
        if before is not None and (ahead[0] > before[1] + _SET or ahead[1] < before[0] - _SET):
            self._since = received
            words = "the clock of the database was set, by {seconds:.0f} s: nobody is dead by that"
            self._log.warn(words, seconds=ahead[0] - before[0])
        return min(self._database.watching, received - self._since)
