"""
What a cluster costs, and how fast it recovers. Without PostgreSQL it is left out.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

from .programs import Program
from .sinks import Table

__all__ = ["failover", "idleMembers", "placesClaimed"]

Values = dict[str, Any]


def _run(*words: object) -> Values:
    """What that benchmark of L{benchmarks.clients.cluster} gave."""
    command = [sys.executable, "-m", "benchmarks.clients.cluster", *map(str, words)]
    with Program(command) as program:
        found: Values = program.value()
        return found


def _isThere(notes: list[str]) -> bool:
    """Whether there is a PostgreSQL; the notes say so if there is none."""
    from tests.postgresql import MISSING

    if MISSING is not None:
        notes.append(f"left out: the cluster ({MISSING})")
    return MISSING is None


def placesClaimed(short: bool, notes: list[str]) -> tuple[Table, Values]:
    """Rows alone, as the product claims them, beside the shortest statement for it; in turn."""
    members, places = (4, 2000) if short else (20, 100_000)
    head = [f"{members} members, {places} places", "seconds", "relative"]
    if not _isThere(notes):
        return (head, []), {}
    taken: dict[str, list[float]] = {"raw": [], "ours": []}
    for _ in range(1 if short else 3):
        for how, times in taken.items():
            times.append(_run("claiming", how, members, places)["seconds"])
    values = {how: statistics.median(times) for how, times in taken.items()}
    names = {"raw": "one UPDATE with SKIP LOCKED", "ours": "iris-twisted"}
    rows = [[names[how], seconds, seconds / values["raw"]] for how, seconds in values.items()]
    return (head, rows), values


def idleMembers(short: bool, notes: list[str]) -> tuple[Table, Values]:
    """What three members ask of PostgreSQL when nothing happens: it must not grow."""
    head = ["accounts", "transactions per second", "rows looked at per second"]
    rows, values = [], {}
    if _isThere(notes):
        for number in (30, 100) if short else (100, 1000, 3000):
            values[str(number)] = got = _run("idling", number, 3 if short else 20)
            rows.append([number, got["transactions"], got["rows"]])
    return (head, rows), values


def failover(short: bool, notes: list[str]) -> tuple[Table, Values]:
    """One of three members with real connections is killed; the lease is of 10 seconds."""
    each = 10 if short else 1000
    head = [f"{each} accounts a member", "seconds after kill -9"]
    if not _isThere(notes):
        return (head, []), {}
    got = _run("failover", each)
    rows = [["until all are claimed", got["claimed"]], ["until all are up", got["connected"]]]
    return (head, rows), got
