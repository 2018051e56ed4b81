"""
C{twist iris-outbox}: looks into an outbox, and decides about its dead letters.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from typing import Any

from twisted.application.service import IService, Service
from twisted.python.usage import UsageError

from ..command_line.options import PlainOptions, SubcommandOptions
from ..command_line.terminal import printable
from ..errors import IncorrectParameters
from ..sinks.record import timestamp
from ..sinks.registry import shownSink
from .spool import openTables
from .values import DeadLetter

__all__ = ["Options", "makeService"]


class _Letters(SubcommandOptions):
    """Dead letters, all or some."""

    synopsis = "[ID ...]"

    def __init__(self) -> None:
        super().__init__()
        self["ids"] = []

    def parseArgs(self, *ids: str) -> None:
        for text in ids:
            if not (text.isascii() and text.isdigit()):
                raise UsageError(f"{text!r} is no id: see the first column of list")
            self["ids"].append(int(text))


class _Purge(_Letters):
    optFlags = [["all", None, "All dead letters, when no id is given."]]


class Options(PlainOptions):
    """The options of C{twist iris-outbox}."""

    command = "twist iris-outbox"
    before = "--spool FILE"
    synopsis = "--spool FILE [list | retry [ID ...] | purge [ID ...]]"
    longdesc = (
        "Dead letters are calls that a sink refused, or did not take in time. "
        "They can be listed, tried again, or purged, while the daemon runs too."
    )
    metavars = {"spool": "FILE"}
    optParameters = [["spool", None, None, "The file that twist iris --spool names."]]
    subCommands = [
        ["list", None, _Letters, "List dead letters (the default), and what waits."],
        ["retry", None, _Letters, "Try dead letters again: these, or all."],
        ["purge", None, _Purge, "Forget dead letters: these, or --all."],
    ]

    def postOptions(self) -> None:
        if self["spool"] is None:
            raise UsageError("--spool is missing: the file that twist iris --spool names")
        chosen: Any = getattr(self, "subOptions", _Letters())
        command = self.subCommand or "list"
        if command == "purge" and not chosen["ids"] and not chosen["all"]:
            raise UsageError("purge needs ids, or --all")
        try:
            connection, tables = openTables(self["spool"], make=False)
        except IncorrectParameters as e:
            raise UsageError(f"--spool: {e.message}") from None
        with closing(connection):
            try:
                connection.execute("BEGIN" if command == "list" else "BEGIN IMMEDIATE")
                letters = tables.deadLetters(chosen["ids"])
                missing = set(chosen["ids"]) - {letter.id for letter in letters}
                if missing:
                    raise UsageError(f"there is no dead letter {min(missing)}")
                if command == "retry":
                    tables.revive(letters, time.time())
                elif command == "purge":
                    tables.purge(letters)
                depths = tables.depths()
                connection.execute("COMMIT")
            except sqlite3.Error as e:
                raise UsageError(f"the outbox {self['spool']!r} failed: {e}") from None
        for line in _report(command, letters, depths):
            print(line)
        sys.stdout.flush()
        raise SystemExit(0)


def _report(
    command: str, letters: list[DeadLetter], depths: dict[tuple[str, bool], int]
) -> list[str]:
    if command != "list":
        words = {"retry": "to be tried again", "purge": "purged"}[command]
        return [f"{len(letters)} dead letter(s) {words}"]
    lines = [
        f"{letter.id}  {timestamp(letter.record.received)}  {letter.record.account}  "
        f"{shownSink(letter.sink)}  {letter.attempts} attempt(s)  {letter.reason}"
        for letter in letters
    ]
    for (sink, dead), count in sorted(depths.items()):
        lines.append(f"{shownSink(sink)}: {count} {'dead' if dead else 'waiting'}")
    return [printable(line) for line in lines] or ["The outbox is empty."]


def makeService(options: Options) -> IService:
    """
    Never called: the options do it all, and end the program.
    """
    return Service()
