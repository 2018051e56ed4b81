"""
C{twist iris-operator}: added, listed, changed, removed; passwords from stdin or the terminal.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import iris_twisted
from iris_twisted.operators import readOperators
from iris_twisted.operators.hashes import isPassword
from iris_twisted.operators.tap import Options, makeService

from ..processes import Program, startTwist
from .test_file import PASSWORD, write


class Broken(io.StringIO):
    """A stdin of bytes that are no text."""

    def readline(self, size: int = -1, /) -> str:
        raise UnicodeDecodeError("utf-8", b"CANARY\xff", 6, 7, "invalid start byte")


class Commands(SynchronousTestCase):
    """What each command does, and what it says."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.patch(os, "environ", {})

    def run_(self, *arguments: str, stdin: str = PASSWORD + "\n") -> str:
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stdin", io.StringIO(stdin))
        with self.assertRaises(SystemExit) as caught:
            Options().parseOptions(["--operators", self.path, *arguments])
        self.assertEqual(caught.exception.code, 0)
        self.assertNotIn("CANARY", output.getvalue())
        self.assertNotIn("argon2", output.getvalue())
        return output.getvalue()

    def refusal(self, *arguments: str, stdin: str = PASSWORD + "\n") -> str:
        self.patch(sys, "stdin", io.StringIO(stdin))
        with self.assertRaises(UsageError) as caught:
            Options().parseOptions(arguments)
        self.assertNotIn("CANARY", str(caught.exception))
        return str(caught.exception)

    def test_life(self) -> None:
        """Added, listed, with another password, with other rights, removed."""
        self.assertEqual(self.run_("add", "bob"), "bob was added, and may read\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        # As echo -n, or a file of Windows, gives it.
        said = self.run_("add", "zoe\u0308", "read,reject", stdin=PASSWORD + "\r\n")
        self.assertEqual(said, "zoë was added, and may read,reject\n")
        self.run_("add", "amy", stdin=PASSWORD)
        for operator in readOperators(self.path).values():
            self.assertTrue(isPassword(operator.hash, PASSWORD))
        self.assertEqual(self.run_("list"), "bob  read\nzoë  read,reject\namy  read\n")
        self.assertEqual(self.run_(), self.run_("list"))
        self.assertEqual(
            self.run_("passwd", "zoë", stdin="another CANARY\n"), "zoë has another password\n"
        )
        zoë = readOperators(self.path)["zoë"]
        self.assertTrue(isPassword(zoë.hash, "another CANARY") and zoë.mayReject)
        self.assertEqual(self.run_("rights", "bob", "reject,read"), "bob may reject,read now\n")
        self.assertTrue(readOperators(self.path)["bob"].mayReject)
        for name in ("bob", "zoë", "amy"):
            self.assertEqual(self.run_("remove", name), f"{name} was removed\n")
        self.assertEqual(self.run_(), "There is no operator.\n")

    def test_variable(self) -> None:
        """The environment may name the file, as it may for twist iris."""
        self.run_("add", "bob")
        self.patch(os, "environ", {"IRIS_OPERATORS": self.path})
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertRaises(SystemExit, Options().parseOptions, [])
        self.assertEqual(output.getvalue(), "bob  read\n")

    def test_mistakes(self) -> None:
        """Each says what is wrong, repeats no password, and changes nothing."""
        self.run_("add", "bob")
        before = Path(self.path).read_bytes()
        given = ("--operators", self.path)
        for arguments, words in (
            ((), "--operators is missing"),
            (("--operators", "/no/where"), "No such file"),
            (("--operators", "/no/where", "add", "al"), "No such file"),
            (("--operators", "/no/where", "remove", "al"), "No such file"),
            ((*given, "add"), "must stand NAME [RIGHTS]"),
            ((*given, "add", "al", "read", "x"), "must stand NAME [RIGHTS]"),
            ((*given, "rights", "bob"), "must stand NAME RIGHTS"),
            ((*given, "remove", "al"), "there is no operator 'al'"),
            ((*given, "passwd", "al"), "there is no operator 'al'"),
            ((*given, "rights", "al", "read"), "there is no operator 'al'"),
            ((*given, "rights", "bob", "reject"), "the right to read"),
            ((*given, "add", "al", "write"), "rights of read, reject"),
            ((*given, "add", "bob"), "bob is an operator already"),
            ((*given, "add", "a:b"), "'a:b': an operator must have a name"),
            ((*given, "burn"), "Unknown command: burn"),
        ):
            self.assertIn(words, self.refusal(*arguments))
        for stdin in ("", "\n", "CANARY\n", "CANARY\0CANARY\n", "CANARY\udcff...\n"):
            self.assertIn("the password must", self.refusal(*given, "add", "al", stdin=stdin))
        self.assertEqual(Path(self.path).read_bytes(), before)
        write(Path(self.path), "bob:CANARY")
        self.assertIn("line 1 must be NAME:RIGHTS:HASH", self.refusal(*given, "list"))
        self.assertTrue(makeService(Options()))

    def test_noText(self) -> None:
        """A password of bytes that are no text is refused without being shown."""
        self.patch(sys, "stdin", Broken())
        with self.assertRaises(UsageError) as caught:
            Options().parseOptions(["--operators", self.path, "add", "bob"])
        self.assertEqual(str(caught.exception), "the password on stdin must be text in UTF-8")
        self.assertFalse(os.path.exists(self.path))


class AtTheTerminal(Program):
    """The command before a terminal, whose echo shows what somebody there would see."""

    def type(self, line: str) -> None:
        self.transport.write(line.encode() + b"\n")


class Programs(TestCase):
    """The program, run."""

    timeout = 60

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    async def test_pipe(self) -> None:
        """The password from a pipe: a line each way, and mistakes end with EX_USAGE."""
        arguments = ("iris-operator", "--operators", self.path)
        program = startTwist(self, *arguments, "add", "bob", stdin=b"a CANARY password\n")
        self.assertEqual(await program.ended, 0)
        self.assertEqual(program.stdout, "bob was added, and may read\n")
        self.assertEqual(program.stderr, "")
        program = startTwist(self, *arguments, "add", "bob", stdin=b"x")
        self.assertEqual(await program.ended, 64)
        self.assertIn("twist iris-operator: bob is an operator already", program.stderr)

    def terminal(self, *arguments: str) -> AtTheTerminal:
        program = AtTheTerminal()
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        }
        command = [
            sys.executable,
            str(Path(sys.executable).with_name("twist")),
            *("iris-operator", "--operators", self.path, *arguments),
        ]
        try:
            reactor.spawnProcess(  # type: ignore[attr-defined]
                program, sys.executable, command, env=environment, path="/", usePTY=True
            )
        except OSError as e:
            raise SkipTest(f"no pseudo-terminal here: {e}") from None

        def end() -> Deferred[int] | None:
            return None if program.ended.called else program.signal("KILL")

        self.addCleanup(end)
        return program

    async def test_terminal(self) -> None:
        """The password is asked for twice, and not shown; if the two differ, nothing changes."""
        for second, status in (("another CANARY", 64), (PASSWORD, 0)):
            program = self.terminal("add", "bob")
            await program.until("Password of bob: ")
            program.type(PASSWORD)
            await program.until("The same again: ")
            program.type(second)
            self.assertEqual(await program.ended, status)
            self.assertNotIn("CANARY", program.stdout)
            self.assertEqual("the two passwords differ" in program.stdout, bool(status))
            self.assertEqual(os.path.exists(self.path), not status)
        self.assertTrue(isPassword(readOperators(self.path)["bob"].hash, PASSWORD))

    async def test_interrupted(self) -> None:
        """Ctrl-C at the question ends it in a sentence."""
        program = self.terminal("add", "bob")
        await program.until("Password of bob: ")
        program.transport.write(b"\x03")
        self.assertEqual(await program.ended, 64)
        self.assertIn("no password was given; nothing was changed", program.stdout)
        self.assertFalse(os.path.exists(self.path))
