"""
What an operator sees: words, colour, the lines at the bottom of a terminal.
"""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import iris_twisted
from iris_twisted.daemon.terminal_output import LogLines, TerminalOutput
from iris_twisted.daemon.text_report import TextReport, duration
from iris_twisted.errors import NotTaken
from iris_twisted.net.steady_time import steadyTime

from ..doubles import DriftingClock, World
from ..processes import Program

XTERM = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
CALL = {
    "type": "notify",
    "roomid": "room-1",
    "routingid": "caller@example.test",
    "traceid": "t-1",
    "userdata": {"data": {"cname": "+1"}, "notification": {"type": "pstn"}},
}


class Terminal(io.StringIO):
    """A stream with somebody before it."""

    def isatty(self) -> bool:
        return True


class Failing(Terminal):
    """
    A terminal to which nothing can be written.

    @ivar error: the number of what is wrong; 0 for nothing.
    """

    def __init__(self, error: int) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().write(text)


def plain(text: str) -> str:
    """Without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class Screens(SynchronousTestCase):
    """Terminals, and what is none."""

    def test_noTerminal(self) -> None:
        """A line is a line, at once; nothing is kept at the bottom."""
        for stream, environment in (
            (io.StringIO(), XTERM),
            (Terminal(), {"TERM": "dumb"}),
            (Terminal(), {}),
        ):
            terminalOutput = TerminalOutput(stream, environment)
            terminalOutput.show(lambda: ["status"], Clock())
            terminalOutput.write("Call:  x")
            terminalOutput.stop()
            self.assertEqual(stream.getvalue(), "Call:  x\n")

    def test_nobodyReads(self) -> None:
        """A closed pipe or terminal is told once, and the line counts as not delivered."""
        for error, environment in ((errno.EPIPE, {}), (errno.EIO, XTERM)):
            terminalOutput = TerminalOutput(Failing(error), environment)
            told: list[int] = []
            terminalOutput.broken = lambda told=told: told.append(1)  # type: ignore[misc]
            with capturedLogs() as events:
                for _ in range(2):
                    self.assertRaises(NotTaken, terminalOutput.deliver, "x")
                    terminalOutput.write("x")
            self.assertEqual(told, [1])
            self.assertEqual(events, [])

    def test_cannotBeWritten(self) -> None:
        """Lines for people are missing, which the log says once; others count as not delivered."""
        for stream, environment, words in (
            (Failing(errno.ENOSPC), {}, "No space left on device"),
            (Failing(errno.ENOSPC), XTERM, "No space left on device"),
            (None, XTERM, "it is closed"),
        ):
            terminalOutput = TerminalOutput(stream, environment)
            told = f"stdout cannot be written: {words}"
            with capturedLogs() as events:
                for _ in range(2):
                    terminalOutput.write("x")
                    with self.assertRaises(NotTaken) as caught:
                        terminalOutput.deliver("x")
                    self.assertEqual(caught.exception.message, told)
                clock = Clock()
                terminalOutput.show(lambda: ["status"], clock)
                clock.pump([1, 1])
                terminalOutput.stop()
            (event,) = events
            self.assertEqual(eventAsText(event, includeSystem=False, includeTimestamp=False),
                             f"{told}; everything else goes on")  # fmt: skip

    def test_encoding(self) -> None:
        """A character that the stream's encoding lacks is written escaped."""
        for environment in ({}, XTERM):
            written = io.BytesIO()
            stream = io.TextIOWrapper(written, "ascii")
            stream.isatty = lambda: True  # type: ignore[method-assign]
            terminalOutput = TerminalOutput(stream, environment)
            terminalOutput.deliver("Note: \xe4lice \udc80")
            self.assertEqual(plain(written.getvalue().decode()), "Note: \\xe4lice \\udc80\n")

    def test_closedTerminal(self) -> None:
        """A terminal that is closed is noticed by what is refreshed at its bottom."""
        clock, stream = Clock(), Failing(0)
        terminalOutput = TerminalOutput(stream, XTERM)
        told: list[int] = []
        terminalOutput.broken = lambda: told.append(1)
        terminalOutput.show(lambda: ["connected"], clock)
        clock.advance(1)
        self.assertEqual(told, [])
        stream.error = errno.EIO
        clock.pump([1, 1])
        self.assertEqual(told, [1])
        terminalOutput.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_colour(self) -> None:
        """By what a line is about; none where NO_COLOR is set, and markup is only text."""
        for environment, coloured in ((XTERM, True), ({**XTERM, "NO_COLOR": "1"}, False)):
            stream = Terminal()
            terminalOutput = TerminalOutput(stream, environment)
            for line in (
                "Call:          [red]+1[/red] calls",
                "Error -106:    no luck",
                "a@x.test  Reconnecting:  attempt 1",
                "Console:       http://127.0.0.1:1/",
                "x" * 200,
            ):
                terminalOutput.write(line)
            lines = stream.getvalue().splitlines()
            self.assertEqual(plain(lines[0]), "Call:          [red]+1[/red] calls")
            self.assertEqual("36m" in lines[0], coloured)
            self.assertEqual("31m" in lines[1], coloured)
            self.assertEqual("33m" in lines[2], coloured)
            self.assertNotIn("\x1b", lines[3])
            # A terminal breaks long lines itself, so that they can be copied.
            self.assertEqual(lines[4], "x" * 200)

    def test_bottom(self) -> None:
        """Refreshed every second, below what scrolls by; gone when it stops."""
        clock, stream = Clock(), Terminal()
        terminalOutput = TerminalOutput(stream, XTERM)
        shown = ["connected for 1 s"]
        terminalOutput.show(lambda: shown, clock)
        terminalOutput.show(lambda: ["another"], clock)
        self.assertIn("connected for 1 s", plain(stream.getvalue()))
        shown[:] = [f"call {n}" for n in range(20)]
        stream.truncate(0)
        clock.advance(1)
        self.assertIn("call 7\nand 12 more", plain(stream.getvalue()).replace("\r", ""))
        self.assertNotIn("call 8", stream.getvalue())
        stream.truncate(0)
        LogLines(terminalOutput).write("a warning\nand half")
        self.assertIn("a warning\n", plain(stream.getvalue()))
        self.assertNotIn("and half", stream.getvalue())
        stream.truncate(0)
        terminalOutput.stop()
        terminalOutput.stop()
        self.assertIn("\x1b[?25h", stream.getvalue())
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertTrue(LogLines(terminalOutput).writable())

    def test_bottomWithABug(self) -> None:
        """Lines that cannot be made are logged; the terminal is left as it was all the same."""
        clock, stream = Clock(), Terminal()
        terminalOutput = TerminalOutput(stream, XTERM)
        shown = ["connected"]
        terminalOutput.show(lambda: [shown[0]], clock)
        shown.clear()
        clock.pump([1, 1])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        terminalOutput.stop()
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.assertIn("\x1b[?25h", stream.getvalue())
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_clockSetBack(self) -> None:
        """The lines at the bottom are refreshed as before while the wall clock is set back."""
        clock, looks = DriftingClock(), list[int]()
        clock.advance(1_700_000_000)
        terminalOutput = TerminalOutput(Terminal(), XTERM)
        terminalOutput.show(lambda: [str(looks.append(1))], clock)
        looks.clear()
        clock.jump(-3600)
        clock.pump([1] * 5)
        self.assertEqual(len(looks), 5)
        terminalOutput.stop()


class Words(SynchronousTestCase):
    """A line for what matters, and no more."""

    def report(self, **options: Any) -> tuple[World, TextReport, list[str]]:
        world, lines = World(), list[str]()
        report = TextReport(lines.append, world.clock.seconds, **options)
        world.connection._listener = report
        report.connection = world.connection
        return world, report, lines

    def test_durations(self) -> None:
        """The two largest units."""
        for seconds, words in (
            (-1, "0 s"),
            (59.9, "59 s"),
            (61, "1 min 1 s"),
            (3600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ):
            self.assertEqual(duration(seconds), words)

    def test_calls(self) -> None:
        """One line per call with caller and room; its age when it ends."""
        world, report, lines = self.report()
        report.onNotification(CALL)
        world.clock.advance(12)
        self.assertEqual(
            report.ringing,
            ["rings for 12 s: +1, from caller@example.test, calls for room room-1 (pstn)"],
        )
        report.onNotification({**CALL, "type": "cancel"})
        self.assertEqual(report.ringing, [])
        self.assertTrue(lines[1].endswith("for room room-1, after 12 s"), lines[1])
        report.onNotification({**CALL, "roomid": "room-2"})
        report.onEvent({"state": "SDK_CallRejected", "details": {"roomid": "room-2"}})
        self.assertEqual(report.ringing, [])
        report.onNotification(CALL)
        world.clock.advance(60)
        self.assertEqual(report.ringing, [])
        for number in range(1000):
            report.onNotification({**CALL, "roomid": f"room-{number}"})
        self.assertEqual(len(report.ringing), 100)

    def test_losses(self) -> None:
        """A loss, its first attempts, and the return; what comes up again is told once."""
        world, report, lines = self.report()
        self.assertEqual(report.status, "disconnected for 0 s")
        world.up()
        world.advance(9)
        self.assertRegex(report.status, r"^connected for \d s, ping \d+\.\d ms$")
        del lines[:]
        world.discovery.outcomes = [OSError("x")] * 6
        world.transport.lose()
        world.settle()
        self.assertEqual(report.status, "reconnecting for 0 s, attempt 1 in 1 s")
        world.advance(10)
        self.flushLoggedErrors()
        self.assertEqual([line.split(":")[0] for line in lines],
                         ["Disconnected", *["Reconnecting"] * 4, "Connected"])  # fmt: skip
        self.assertIn("Connected:     again, after 7 s, as alice@example.test/", lines[-1])
        self.assertIn("attempt 5 in 1.0 seconds", lines[-2])
        world.close()
        world.settle()

    def test_clockSetBack(self) -> None:
        """How long something takes is right though the wall clock was set meanwhile."""
        clock, lines = DriftingClock(), list[str]()
        clock.advance(1_700_000_000)
        steady = steadyTime(clock)
        report = TextReport(lines.append, steady.seconds, verbose=True, date=clock.seconds)
        report.onNotification(CALL)
        clock.jump(-3600)
        clock.advance(12)
        self.assertTrue(report.ringing[0].startswith("rings for 12 s"), report.ringing)
        self.assertEqual(report.status, "connecting for 12 s")
        lost = {"lostSince": clock.seconds() - 5}
        report.onEvent({"state": "SDK_SessionNotResumed", "details": lost})
        self.assertIn("calls of the last 5 s may be lost", lines[-1])

    def test_verbose(self) -> None:
        """Everything has its line."""
        world, report, lines = self.report(verbose=True, account="a@x.test")
        report.asking("evm.test", "a@x.test")
        world.up()
        report.onNotification(CALL)
        for attempt in range(1, 8):
            details = {"attempt": attempt, "delay": 1.0}
            report.onEvent({"state": "SDK_WebSocketServerReconnecting", "details": details})
        lost = {"lostSince": world.clock.seconds() - 5}
        report.onEvent({"state": "SDK_SessionNotResumed", "details": lost})
        text = "\n".join(lines)
        self.assertTrue(all(line.startswith("a@x.test  ") for line in lines))
        for words in ("asking evm.test", "found the websocket server", "[t-1]", "attempt 7",
                      "calls of the last 5 s may be lost"):  # fmt: skip
            self.assertIn(words, text)
        world.close()
        world.settle()

    def test_many(self) -> None:
        """Of many, one that comes up is no news; a call is."""
        world, report, lines = self.report(account="a@x.test")
        report.asking("evm.test", "a@x.test")
        world.up()
        self.assertEqual(lines, [])
        report.onNotification(CALL)
        self.assertTrue(lines[0].startswith("a@x.test  Call:"))
        self.assertTrue(report.ringing[0].startswith("a@x.test  rings for 0 s: +1"))
        world.close()
        world.settle()


class OnATerminal(TestCase):
    """The demonstration on a pseudo-terminal."""

    timeout = 60

    async def test_demonstration(self) -> None:
        """Colour, the state at the bottom, and a terminal left as it was."""
        try:
            for descriptor in os.openpty():
                os.close(descriptor)
        except OSError as e:
            raise SkipTest(f"no pseudo-terminal: mount devpts on /dev/pts ({e})") from None
        program = Program()
        environment = {
            **os.environ,
            **XTERM,
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        }
        environment.pop("NO_COLOR", None)
        script = str(Path(sys.executable).with_name("twist"))
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program, sys.executable, [sys.executable, script, "iris"],
            env=environment, path="/", usePTY=True,
        )  # fmt: skip
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        await program.until("Ctrl-C ends.")
        await program.until("connected for 3 s")
        self.assertIn("\x1b[1;36mCall: ", program.stdout)
        self.assertIn("calls for room", plain(program.stdout))
        self.assertRegex(plain(program.stdout), r"rings for \d s: \+1215")
        self.assertEqual(await program.signal("INT"), -signal.SIGINT)
        # The cursor was hidden, and is seen again.
        self.assertGreater(program.stdout.rfind("\x1b[?25h"), program.stdout.rfind("\x1b[?25l"))
        self.assertIn("the connection was closed", program.stdout)
