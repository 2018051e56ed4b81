"""
Calls on their way to the sinks: kept until each has taken them.
"""

from .interfaces import IFence, IOutboxStore
from .outbox import Outbox, OutboxObserver
from .spool import Spool, checkSpool
from .values import DeadLetter, Place

__all__ = [
    "DeadLetter",
    "IFence",
    "IOutboxStore",
    "Outbox",
    "OutboxObserver",
    "Place",
    "Spool",
    "checkSpool",
]
