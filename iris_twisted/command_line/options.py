"""
Options whose mistakes end in a sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from twisted.python.usage import Options, UsageError

import twisted

from ..version import __version__
from .exit_status import ExitStatus

__all__ = ["PlainOptions"]


class PlainOptions(Options):
    """
    Options of a command of C{twist}, which would print all of them behind a mistake, so
    that what was wrong has scrolled out of sight.

    @cvar command: as one types it.
    """

    command = "twist"

    opt_h = Options.opt_help

    def opt_version(self) -> None:
        """Display the versions of iris-twisted and Twisted, and exit."""
        print(f"iris-twisted {__version__} on Twisted {twisted.__version__}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> Any:
        try:
            return super().parseOptions(options)
        except UsageError as e:
            if self.parent is None:
                raise
            print(f"{self.command}: {e}", file=sys.stderr)
            print(f"Try {self.command} --help.", file=sys.stderr)
            raise SystemExit(int(ExitStatus.EX_USAGE)) from None
