"""
Calls on their way to the sinks: kept until each has taken them.
"""

from .interfaces import IFence, IOutboxStore
from .observer import OutboxObserver
from .outbox import Outbox
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
