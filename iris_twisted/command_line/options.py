"""
Options whose help reads well, and whose mistakes end in a sentence.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python.usage import Options, UsageError

import twisted

from ..version import __version__
from .exit_status import ExitStatus
from .help_text import Entry, Section, helpText

__all__ = ["PlainOptions", "SubcommandOptions"]

# In characters: a longer line is read badly.
_WIDEST = 100


def _words(text: str) -> str:
    return " ".join(text.split())


class _HelpfulOptions(Options):
    """
    @cvar command: as one types it.
    @cvar metavars: what stands for the value of each option that has one: C{FILE}, C{SECONDS}.
    """

    command = "twist"
    synopsis = ""
    longdesc = ""
    metavars: Mapping[str, str] = {}

    opt_h = Options.opt_help

    def opt_version(self) -> None:
        """Display the versions of iris-twisted and Twisted, and exit."""
        print(f"iris-twisted {__version__} on Twisted {twisted.__version__}")
        raise SystemExit(0)

    def getSynopsis(self) -> str:
        return f"Usage: {self.command} {self.synopsis}".rstrip()

    def getUsage(self, width: int | None = None) -> str:
        if width is None:
            width = min(shutil.get_terminal_size().columns, _WIDEST)
        return helpText(_words(self.longdesc), self.sections(), width)

    def sections(self) -> Sequence[Section]:
        """What can be typed."""
        commands = [
            Entry(name, words) for name, _, _, words in getattr(self, "subCommands", None) or ()
        ]
        options = [self.entry(name.rstrip("=")) for name in sorted(set(self.longOpt))]
        found = Section("Commands", commands), Section("Options", options)
        return [section for section in found if section.entries]

    def entry(self, name: str) -> Entry:
        """One of its options."""
        letters = [key for key, of in self.synonyms.items() if of == name and len(key) == 1]
        typed = "".join(f"-{letter}, " for letter in letters[:1]) or "    "
        typed, words = f"{typed}--{name}", _words(self.docs[name])
        if f"{name}=" in self.longOpt:
            typed += f" {self.metavars[name]}"
            default = self.defaults.get(name)
            if default is not None:
                words += f" [default: {default}]"
        return Entry(typed, words)


class SubcommandOptions(_HelpfulOptions):
    """Options of a command of a command: C{twist iris-outbox --spool FILE purge}."""

    def getSynopsis(self) -> str:
        parent: Any = self.parent
        return (
            f"Usage: {parent.command} {parent.before} {parent.subCommand} {self.synopsis}".rstrip()
        )


class PlainOptions(_HelpfulOptions):
    """
    Options of a command of C{twist}, which would print all of them behind a mistake, so
    that what was wrong has scrolled out of sight.

    @cvar before: what stands before a command of this command.
    """

    before = ""

    def parseOptions(self, options: Sequence[str] | None = None) -> Any:
        try:
            return super().parseOptions(options)
        except UsageError as e:
            if self.parent is None:
                raise
            print(f"{self.command}: {e}", file=sys.stderr)
            print(f"Try {self.command} --help.", file=sys.stderr)
            raise SystemExit(int(ExitStatus.EX_USAGE)) from None
