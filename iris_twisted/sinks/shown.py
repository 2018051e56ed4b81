"""
What a test shows: logs, warnings, stdout and stderr.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from twisted.logger import LogEvent, eventAsJSON, eventAsText, globalLogPublisher
from twisted.trial.unittest import TestCase

__all__ = ["Shown"]


class _Copied:
    """A stream, of which somebody else gets all that is written."""

    def __init__(self, stream: Any, note: Callable[[str], object]) -> None:
        self._stream = stream
        self._note = note

    def write(self, text: str) -> Any:
        self._note(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Stderr:
    """File descriptor 2, which libraries in C write to; what they wrote goes there in the end."""

    def __init__(self) -> None:
        self._own = os.dup(2)
        # Not one of Python's open files, so that nobody minds that it is open.
        self._file, path = tempfile.mkstemp()
        os.unlink(path)
        os.dup2(self._file, 2)

    def end(self) -> str:
        os.dup2(self._own, 2)
        os.close(self._own)
        with open(self._file, "rb") as file:
            file.seek(0)
            text = file.read()
        os.write(2, text)
        return text.decode(errors="replace")


class Shown:
    """
    Notes all that is shown from now on, until L{end}.

    @param case: the test.
    """

    def __init__(self, case: TestCase) -> None:
        self._lines: list[str] = []
        self._written: list[str] = []
        globalLogPublisher.addObserver(self._observe)  # type: ignore[arg-type]
        # Libraries that know nothing of Twisted log by the standard one, at any level.
        self._root = logging.getLogger()
        self._level = self._root.level
        self._handler = logging.Handler()
        self._handler.emit = (  # type: ignore[method-assign]
            lambda record: self._lines.append(self._handler.format(record))
        )
        self._root.addHandler(self._handler)
        self._root.setLevel(logging.DEBUG)
        self._show = warnings.showwarning
        case.patch(warnings, "showwarning", self._warn)
        case.patch(sys, "stdout", _Copied(sys.stdout, self._written.append))
        case.patch(sys, "stderr", _Copied(sys.stderr, self._written.append))
        self._stderr = _Stderr()

    def _observe(self, event: LogEvent) -> None:
        # As each of the formats that there are for a log has it.
        self._lines += [eventAsText(event, includeTraceback=True), eventAsJSON(event)]

    def _warn(self, message: Any, *details: Any, **more: Any) -> None:
        self._lines.append(str(message))
        self._show(message, *details, **more)

    def end(self) -> list[str]:
        """
        @return: each line of a log, each warning, and what was written to each stream.
        """
        globalLogPublisher.removeObserver(self._observe)  # type: ignore[arg-type]
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._level)
        return [*self._lines, "".join(self._written), self._stderr.end()]
