"""
Where text goes: a terminal, with colour and a few lines at the bottom that say how it is
right now; or anything else, where a line is a line.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..errors import NotTaken
from ..net.steady_time import steadyTime

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["LogLines", "TerminalOutput"]

_STYLES = {
    "Call": "bold cyan",
    "Call ended": "cyan",
    "Notification": "cyan",
    "Rejected": "cyan",
    "Connected": "green",
    "Disconnected": "yellow",
    "Reconnecting": "yellow",
    "Waiting": "yellow",
    "Token": "yellow",
    "Not resumed": "yellow",
    "Error": "bold red",
}
# How writing fails when the program behind a pipe has ended, and when a terminal was closed.
_NOBODY = (errno.EPIPE, errno.EIO)
# Lines at the bottom at most: there may be many calls at a time.
_LINES = 8


def _style(line: str) -> str:
    """By the words before the colon, behind which everything else stands."""
    for part in line.split("  ")[:2]:
        label = part.partition(":")[0]
        style = _STYLES.get("Error" if label.startswith("Error ") else label)
        if style is not None:
            return style
    return ""


class TerminalOutput:
    """
    Writes lines of text, and keeps some at the bottom of a terminal.

    @param stream: taken now: C{twist} replaces C{sys.stdout} when it starts to log; C{None} for
        one that is closed.
    @param environment: of which C{TERM} and C{NO_COLOR} (no-color.org) count.
    @ivar isTerminal: whether there is somebody to look.
    @ivar broken: called once, when nobody reads any more.
    """

    _log = Logger()

    def __init__(self, stream: TextIO | None, environment: Mapping[str, str]) -> None:
        if isinstance(stream, io.TextIOWrapper):
            # A character that its encoding lacks is no reason to lose the line.
            stream.reconfigure(errors="backslashreplace")
        self._stream = stream
        self._environment = environment
        seen = stream is not None and stream.isatty()
        self.isTerminal = seen and environment.get("TERM", "dumb") != "dumb"
        self._toldReason = False
        self.broken: Callable[[], None] | None = None
        self._live: Live | None = None
        self._console: Any = None
        self._refreshing: LoopingCall | None = None

    def write(self, line: str) -> None:
        """
        A line for people, to be seen at once. When it cannot be written it is missing, and the log
        says so once: it keeps nobody from anything else.
        """
        try:
            self.deliver(line)
        except NotTaken as e:
            self._missing(e)

    def _missing(self, error: NotTaken) -> None:
        if not self._toldReason:
            # First: the log may come to the same terminal.
            self._toldReason = True
            self._log.error("{reason}; everything else goes on", reason=error.message)

    def deliver(self, line: str) -> None:
        """
        A line that has to arrive, to be seen at once.

        @raise NotTaken: when it cannot be written.
        """
        try:
            self._write(line)
        except (OSError, ValueError) as e:
            raise self._failed(e) from None
        self._toldReason = False

    def _failed(self, error: OSError | ValueError) -> NotTaken:
        if isinstance(error, OSError) and error.errno in _NOBODY:
            # Whoever is told ends the program by that, with a status of its own.
            self._toldReason = True
            broken, self.broken = self.broken, None
            if broken is not None:
                broken()
            return NotTaken("nobody reads stdout any more", cause=error)
        reason = error.strerror if isinstance(error, OSError) else error
        return NotTaken(f"stdout cannot be written: {reason}", cause=error)

    def _write(self, line: str) -> None:
        if self._stream is None:
            raise ValueError("it is closed")
        if not self.isTerminal:
            self._stream.write(line + "\n")
            self._stream.flush()
            return
        from rich.text import Text

        self._rich().print(Text(line, style=_style(line)), soft_wrap=True)

    def show(self, look: Callable[[], list[str]], reactor: Any) -> None:
        """
        Keep some lines at the bottom of a terminal.

        @param look: gives them, every second.
        """
        if not self.isTerminal or self._live is not None:
            return
        from rich.live import Live
        from rich.text import Text

        def render() -> Text:
            lines = look()
            hidden = len(lines) - _LINES
            if hidden > 0:
                lines = [*lines[:_LINES], f"and {hidden} more"]
            return Text("\n".join(lines), style="dim", overflow="ellipsis", no_wrap=True)

        live = Live(
            console=self._rich(),
            auto_refresh=False,
            transient=True,
            get_renderable=render,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live = live
        try:
            live.start()
        except OSError as e:
            self._missing(self._failed(e))
        self._refreshing = LoopingCall(self._refresh, live)
        self._refreshing.clock = steadyTime(reactor)
        self._refreshing.start(1.0).addErrback(
            lambda failure: self._log.failure("the lines at the bottom stay as they are", failure)
        )

    def _refresh(self, live: Live) -> None:
        try:
            live.refresh()
        except OSError as e:
            self._missing(self._failed(e))

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._refreshing is not None and self._refreshing.running:
            self._refreshing.stop()
        self._refreshing = None
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except OSError:
                pass  # There is no terminal any more.
            except Exception:
                self._log.failure("the lines at the bottom could not be taken away")

    def _rich(self) -> Any:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self._stream,
                force_terminal=True,
                no_color=bool(self._environment.get("NO_COLOR")) or None,
                highlight=False,
                _environ=self._environment,
            )
        return self._console


class LogLines(io.TextIOBase):
    """
    The log's way to the same terminal, above the lines at its bottom.

    @param terminalOutput: whose terminal it is.
    """

    def __init__(self, terminalOutput: TerminalOutput) -> None:
        self._terminalOutput = terminalOutput
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._terminalOutput.write(line)
        return len(text)
