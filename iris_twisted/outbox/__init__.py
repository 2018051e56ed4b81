"""
Calls on their way to the sinks: kept until each has taken them.
"""

from .outbox import Outbox, OutboxObserver
from .spool import DeadLetter, Spool, checkSpool

__all__ = ["DeadLetter", "Outbox", "OutboxObserver", "Spool", "checkSpool"]
