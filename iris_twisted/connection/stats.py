"""
What one connection counts.
"""

from __future__ import annotations

import attrs

__all__ = ["Stats"]


@attrs.define
class Stats:
    """
    Counters of one connection, for reading only.

    @ivar connects: sessions that came up, the first and the later ones.
    @ivar reconnects: those of them that followed a loss.
    @ivar notifications: handed to C{onNotification}.
    @ivar rejected: sessions rejected with success.
    @ivar forbidden: private IQs refused because of their sender.
    @ivar callbackErrors: callbacks that failed.
    @ivar pingRoundTrip: seconds that the last answered ping took, or C{None}.
    """

    connects: int = 0
    reconnects: int = 0
    notifications: int = 0
    rejected: int = 0
    forbidden: int = 0
    callbackErrors: int = 0
    pingRoundTrip: float | None = None
