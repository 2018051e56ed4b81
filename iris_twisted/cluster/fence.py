"""
By which right a member writes calls and gives them to sinks: proved in the database, and between
two proofs as long as its own count says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from ..outbox.interfaces import IFence
from ..outbox.values import Place
from . import lease_proofs, places
from .lease import Lease

__all__ = ["Fence"]


@implementer(IFence)
class Fence:
    """
    @ivar row: the id of the member; C{None} before it joined, and when it has left. One that has
        signed off gives what it owes until then.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.row: int | None = None

    def term(self) -> int | None:
        return self._lease.term

    def lives(self, cursor: Any) -> bool:
        return self.row is not None and lease_proofs.lives(cursor, self.row)

    def isGone(self, cursor: Any, name: str) -> bool:
        return lease_proofs.isGone(cursor, name)

    def holding(self, cursor: Any, rights: Sequence[Place]) -> Sequence[bool]:
        row = self.row
        if row is None or not self._lease.holds:
            return [False] * len(rights)
        return places.holding(cursor, row, rights)
