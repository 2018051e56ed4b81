"""
The statements of the outbox in PostgreSQL, with names in the place of sinks: what a sink is
configured as may hold a secret, and the database shall not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from ..errors import NotHeld
from .interfaces import IFence
from .postgresql_tables import Statements
from .values import Addition, Attempt, DeadLetter, Look

__all__ = ["NamingStatements"]


class NamingStatements(Statements):
    """
    The same for whoever asks; what it does not know is called in answers what it is called in
    the database.

    @param name: what a sink is called there; always the same.
    """

    def __init__(
        self,
        member: str,
        fence: IFence,
        forgetAfter: float,
        strictOrder: bool,
        name: Callable[[str], str],
    ) -> None:
        super().__init__(member, fence, forgetAfter, strictOrder)
        self._make = name
        self._names: dict[str, str] = {}
        self._sinks: dict[str, str] = {}

    def _name(self, sink: str) -> str:
        if sink in self._sinks:
            # It was told by its name, before it was known.
            return sink
        name = self._names.get(sink)
        if name is None:
            name = self._names[sink] = self._make(sink)
            self._sinks[name] = sink
        return name

    def _sink(self, name: str) -> str:
        return self._sinks.get(name, name)

    def add(self, additions: Sequence[Addition]) -> list[int | NotHeld | None]:
        return super().add(
            [attrs.evolve(a, sinks=tuple(map(self._name, a.sinks))) for a in additions]
        )

    def due(
        self, sink: str, now: float, most: int, known: Sequence[int], skipped: Sequence[str]
    ) -> Look:
        return super().due(self._name(sink), now, most, known, skipped)

    def taken(self, deliveries: Sequence[tuple[int, str]]) -> list[bool]:
        return super().taken([(id, self._name(sink)) for id, sink in deliveries])

    def failed(self, attempts: Sequence[Attempt]) -> list[bool]:
        return super().failed([attrs.evolve(a, sink=self._name(a.sink)) for a in attempts])

    def depths(self) -> dict[tuple[str, bool], int]:
        found = super().depths().items()
        return {(self._sink(name), dead): count for (name, dead), count in found}

    def oldestWaiting(self) -> dict[str, float]:
        return {self._sink(name): date for name, date in super().oldestWaiting().items()}

    def deadLetters(
        self, ids: Sequence[int] = (), account: str | None = None, most: int | None = None
    ) -> list[DeadLetter]:
        found = super().deadLetters(ids, account, most)
        return [attrs.evolve(letter, sink=self._sink(letter.sink)) for letter in found]

    def revive(self, letters: Iterable[DeadLetter], now: float) -> None:
        super().revive(self._named(letters), now)

    def purge(self, letters: Iterable[DeadLetter]) -> None:
        super().purge(self._named(letters))

    def _named(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """What is not known is called by its name already."""
        return [attrs.evolve(x, sink=self._names.get(x.sink, x.sink)) for x in letters]
