"""
Who is told what happens in an outbox.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

__all__ = ["OutboxObserver", "tell"]

_log = Logger()


class OutboxObserver:
    """
    Is told what happens in an outbox, for metrics for one. These methods do nothing; a subclass
    overrides those that it wants. One that raises is logged, and harms no call.
    """

    def accepted(self, seconds: float) -> None:
        """
        A call may be acknowledged.

        @param seconds: since it came.
        """

    def repeated(self) -> None:
        """A call was told again: it is kept already, or waits for that with the first one."""

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        """
        An attempt to give a call to a sink has ended, and the store knows how.

        @param sink: its name.
        @param outcome: C{taken}; C{failed}, to be tried again; or C{dead}, given up.
        @param seconds: that the attempt took.
        """


def tell(method: Callable[..., None], *args: object) -> None:
    """Call a method of an observer's: one that raises is logged, and no call suffers from it."""
    try:
        method(*args)
    except Exception:
        _log.failure("the observer of the outbox failed")
