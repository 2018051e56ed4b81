"""
C{twist iris} and C{twist iris-sandbox}: options, output, endings.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from iris_twisted.command_line.exit_status import statusFor
from iris_twisted.daemon.token_files import TokenFiles
from iris_twisted.errors import (
    BackendError,
    ConnectionFailed,
    IncorrectParameters,
    NotSupported,
    TokenRefused,
)
from iris_twisted.net.secret_files import readToken
from iris_twisted.sandbox import startSandbox
from iris_twisted.sandbox import tap as sandboxTap
from iris_twisted.tap import Options
from iris_twisted.version import __version__

from .processes import startTwist

RID = "alice@sandbox.test"


class OptionsCase(SynchronousTestCase):
    """The options of C{twist iris}."""

    def setUp(self) -> None:
        self.patch(os, "environ", {"PATH": ""})
        self.file = self.mktemp()
        Path(self.file).write_text(" the-token\n")

    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(arguments)
        return options

    def token(self, *arguments: str) -> str | None:
        (token,) = self.parse(*arguments).tokens.values()
        return token

    def test_demo(self) -> None:
        """Nothing named is the demonstration."""
        options = self.parse()
        self.assertEqual((options["routing-id"], options.tokens), ("demo@sandbox.test", {}))

    def test_tokens(self) -> None:
        """From a file, from stdin, from the environment; the file goes first."""
        base = ("--event-manager", "evm.example.test", "--routing-id", RID)
        self.assertEqual(self.token(*base, "--token-file", self.file), "the-token")
        self.patch(sys, "stdin", io.StringIO("from-stdin\n"))
        self.assertEqual(self.token(*base, "--token-file", "-"), "from-stdin")
        self.patch(os, "environ", {"IRIS_TOKEN": "from-env"})
        self.assertEqual(self.token(*base), "from-env")
        self.assertEqual(self.token(*base, "-t", self.file), "the-token")

    def test_mistakes(self) -> None:
        """Each mistake names its option, and no token is repeated."""
        base = ("--event-manager", "evm.example.test", "--routing-id", RID)
        Path(self.file + "2").write_text("two CANARY")
        Path(self.file + "3").write_text("x" * 70_000)
        Path(self.file + "4").write_bytes(b"\xff\xfe")
        Path(self.file + "5").write_text("")
        for arguments, words in (
            (("--output", "xml"), "--output"),
            (("--dialect", "latin"), "--dialect"),
            (("--token-file", "x"), "--token-file needs --event-manager"),
            (("--ca-file", "x"), "--ca-file needs --event-manager"),
            (("--routing-id", "alice"), "--routing-id"),
            (("--event-manager", "evm.example.test"), "--routing-id is missing"),
            (("--event-manager", "ftp://x", *base[2:]), "--event-manager"),
            (("--event-manager", "http://evm.example.test", *base[2:]), "--event-manager"),
            (base, "--token-file is missing"),
            ((*base, "--token-file", "/nowhere"), "the token file '/nowhere'"),
            ((*base, "--token-file", self.file + "2"), "the token in"),
            ((*base, "--token-file", self.file + "3"), "too large"),
            ((*base, "--token-file", self.file + "4"), "the token in"),
            ((*base, "--token-file", self.file + "5"), "empty"),
            ((*base, "--token-file", "a\0b"), "the token file"),
            ((*base, "-t", self.file, "--ca-file", "/nowhere"), "--ca-file"),
            ((*base, "-t", self.file, "--ca-file", self.file), "--ca-file"),
            (("surplus",), "'surplus' is no option"),
        ):
            with self.assertRaises(UsageError, msg=repr(arguments)) as caught:
                self.parse(*arguments)
            self.assertIn(words, str(caught.exception))
            self.assertNotIn("CANARY", str(caught.exception))
        self.patch(os, "environ", {"IRIS_TOKEN": "two CANARY"})
        with self.assertRaises(UsageError) as caught:
            self.parse(*base)
        self.assertIn("IRIS_TOKEN", str(caught.exception))
        self.assertNotIn("CANARY", str(caught.exception))
        self.patch(sys, "stdin", io.StringIO(""))
        with self.assertRaises(UsageError) as caught:
            self.parse(*base, "-t", "-")
        self.assertIn("stdin", str(caught.exception))

    def test_flags(self) -> None:
        """Flags are flags, wherever they stand."""
        base = ("--event-manager", "http://evm.example.test", "--routing-id", RID, "-t", self.file)
        parsed = self.parse(*base, "--insecure", "-v", "-a").configuration
        self.assertTrue(parsed["insecure"] and parsed["verbose"] and parsed["anonymous"])
        self.assertTrue(parsed.settings.insecure)
        self.flushLoggedErrors()

    def test_logs(self) -> None:
        """The log goes to stderr, quietly, unless the options of twist say otherwise."""

        for argv, logFile, level, selected in (
            (["iris"], sys.stderr, LogLevel.warn, 1),
            (["--log-file", "-", "iris"], "default", LogLevel.warn, 0),
            (["--log-level=info", "iris"], sys.stderr, LogLevel.info, 1),
            (["--log-format", "text", "iris"], sys.stderr, LogLevel.warn, 0),
        ):
            self.patch(sys, "argv", ["twist", *argv])
            twist = {
                "logFile": "default",
                "logLevel": LogLevel.info,
                "fileLogObserverFactory": None,
            }
            options = Options()
            options.parent = twist
            options.parseOptions([])
            self.assertIs(twist["logFile"], logFile)
            self.assertIs(twist["logLevel"], level)
            self.assertEqual(twist["fileLogObserverFactory"] is not None, bool(selected))

    def test_sandboxPort(self) -> None:
        """The sandbox's port is a number."""
        for arguments, words in (
            (["--port", "x"], "--port"),
            (["--port", "-1"], "--port"),
            (["--port", "65536"], "--port"),
            (["surplus"], "surplus"),
            (["--backend", "ws://x"], "--accounts"),
            (["--accounts", "x"], "--backend"),
            (["--pages", "/nowhere"], "/nowhere"),
        ):
            with self.assertRaises(UsageError) as caught:
                sandboxTap.Options().parseOptions(arguments)
            self.assertIn(words, str(caught.exception))

    def test_plugins(self) -> None:
        """All commands are plugins of twist."""
        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        for name in ("iris", "iris-operator", "iris-outbox", "iris-sandbox"):
            self.assertTrue(verifyObject(IServiceMaker, makers[name]))
            self.assertTrue(makers[name].options().getUsage())

    def test_help(self) -> None:
        """The help has the defaults, and --version says which version of this package it is."""
        usage = " ".join(Options().getUsage(width=80).split())
        self.assertIn("How long a program may take for a call. [default: 10]", usage)
        self.assertIn("auto, stream or framed. [default: auto]", usage)
        said = io.StringIO()
        self.patch(sys, "stdout", said)
        with self.assertRaises(SystemExit) as caught:
            self.parse("-h")
        self.assertEqual(caught.exception.code, 0)
        self.assertIn("-h, --help", said.getvalue())
        said.truncate(said.seek(0))
        with self.assertRaises(SystemExit) as caught:
            self.parse("--version")
        self.assertEqual(caught.exception.code, 0)
        self.assertTrue(said.getvalue().startswith(f"iris-twisted {__version__} on Twisted "))

    def test_statuses(self) -> None:
        """The statuses of sysexits.h."""
        for error, status in (
            (TokenRefused("x"), 77),
            (IncorrectParameters("x"), 64),
            (NotSupported("x"), 76),
            (ConnectionFailed("x"), 69),
            (BackendError("x"), 69),
        ):
            self.assertEqual(statusFor(error), status)


class Tokens(SynchronousTestCase):
    """A token file is read again when it changes."""

    def test_changes(self) -> None:
        """A changed file gives its token; a broken one leaves the old."""
        path = Path(self.mktemp())
        path.write_text("one")
        self.assertEqual(readToken(str(path)), "one")
        clock, tokens = Clock(), list[str]()
        service = TokenFiles(clock)
        service.watch(str(path), tokens.append)
        service.startService()
        clock.advance(2)
        self.assertEqual(tokens, [])
        path.write_text("second")
        clock.advance(2)
        path.unlink()
        clock.advance(2)
        path.write_text("")
        clock.advance(2)
        path.write_text("the third")
        clock.advance(2)
        path.write_text("fourth-token")
        clock.advance(2)
        self.assertEqual(tokens, ["second", "fourth-token"])
        # Two accounts may have one file.
        service.watch(str(path), lambda token: tokens.append(f"other {token}"))
        path.write_text("fifth")
        clock.advance(2)
        self.assertEqual(tokens[2:], ["fifth", "other fifth"])
        service.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])
        service.stopService()


class Running(TestCase):
    """The programs, run."""

    timeout = 60

    async def test_demonstration(self) -> None:
        """The first command tells its story in order, and Ctrl-C ends it as twist does."""
        program = startTwist(self, "iris")
        await program.until("Ctrl-C ends.")
        position = -1
        for words in (
            "a sandbox in this process plays the platform",
            "Discovery:     asking http://127.0.0.1:",
            "Discovery:     found the websocket server 127.0.0.1:",
            "Connected:     as demo@sandbox.test/",
            "Call:          +12155550100, from grandma@example.test, calls for room room-",
            "To use a real platform",
            "twist iris --event-manager",
        ):
            self.assertGreater(program.stdout.find(words), position, words)
            position = program.stdout.find(words)
        self.assertEqual(await program.signal("INT"), -signal.SIGINT)
        self.assertEqual(program.stderr, "")
        self.assertTrue(program.stdout.endswith("the connection was closed\n"), program.stdout)

    async def test_accounts(self) -> None:
        """Many accounts from one file: each line says whose it is; tokens are read again."""
        sandbox = await startSandbox(reactor)
        self.addCleanup(sandbox.stop)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        rows = ["routing-id,token-file"]
        for number in range(3):
            routingId = f"u{number}@sandbox.test"
            (folder / f"{number}.token").write_text(sandbox.token(routingId))
            rows.append(f"{routingId},{number}.token")
        (folder / "accounts.csv").write_text("\n".join(rows))
        options = ("--event-manager", sandbox.url, "--accounts", str(folder / "accounts.csv"))
        for output in ("text", "json"):
            program = startTwist(self, "iris", *options, "--output", output, "-v")
            for number in range(3):
                await program.until(f"u{number}@sandbox.test/")
            sandbox.placeCall("u1@sandbox.test", room="the-room")
            await program.until("the-room")
            line = next(ln for ln in program.stdout.splitlines() if "the-room" in ln)
            if output == "text":
                self.assertTrue(line.startswith("u1@sandbox.test  Call:"), line)
            else:
                self.assertEqual(json.loads(line)["account"], "u1@sandbox.test")
            await program.signal("INT")

    async def test_json(self) -> None:
        """One object per line, and nothing else on stdout."""
        program = startTwist(self, "--log-level", "debug", "iris", "--output", "json")
        await program.until('"onNotification"')
        await program.signal("TERM")
        lines = [json.loads(line) for line in program.stdout.splitlines()]
        self.assertEqual(
            [line["callback"] for line in lines][:4],
            ["onEvent", "onConnected", "onEvent", "onNotification"],
        )
        for line in lines:
            self.assertEqual(set(line), {"time", "callback", "args"})
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertIn("connected as", program.stderr)

    async def test_usageError(self) -> None:
        """A usage error ends with EX_USAGE, and names the option."""
        program = startTwist(self, "iris", "--output", "xml")
        self.assertEqual(await program.ended, 64)
        self.assertEqual(
            program.stderr,
            "twist iris: --output must be one of text, json, none, not 'xml'\n"
            "Try twist iris --help.\n",
        )
        self.assertEqual(program.stdout, "")
        for arguments, words in (
            (("iris", "--token-fiel", "x"), "twist iris: option --token-fiel not recognized"),
            (("iris", "-e", "x", "-r", RID, "-t", "/no"), "token file '/no' cannot be read"),
            (("iris-sandbox", "--port", "x"), "twist iris-sandbox: --port must be a number"),
            (("iris-outbox", "purge"), "twist iris-outbox: "),
        ):
            program = startTwist(self, *arguments)
            self.assertEqual(await program.ended, 64)
            self.assertIn(words, program.stderr)
            self.assertEqual(program.stderr.count("\n"), 2)

    async def test_spoolInUse(self) -> None:
        """A spool that another process has ends it with EX_TEMPFAIL: it may be started again."""
        path = Path(self.mktemp()).absolute()
        token = path.with_suffix(".token")
        token.write_text("token")
        with open(f"{path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            program = startTwist(
                self, "iris", "-e", "https://e.test", "-r", RID, "-t", str(token),
                "--spool", str(path), "--sink", "stdout",
            )  # fmt: skip
            self.assertEqual(await program.ended, 75)
        words = f"twist iris: another process has the outbox '{path}'\n"
        self.assertEqual(program.stderr, words)

    async def test_platform(self) -> None:
        """A named platform: connects, rings, and takes a new token from the file."""
        sandbox = await startSandbox(reactor, tls=True)
        self.addCleanup(sandbox.stop)
        path = Path(self.mktemp()).absolute()
        path.write_text(sandbox.token(RID, -1))
        arguments = ("-e", sandbox.url, "-r", RID, "-t", str(path), "--ca-file", sandbox.caFile)
        program = startTwist(self, "iris", *arguments)
        await program.until("-116")
        path.write_text(sandbox.token(RID))
        await program.until("Connected:")
        sandbox.placeCall(RID, caller="+4412345")
        await program.until("+4412345")
        sandbox.drop("close")
        await program.until("Reconnecting:")
        self.assertEqual(await program.signal("INT"), -signal.SIGINT)
        self.assertEqual(program.stderr, "")

    async def test_refusedForGood(self) -> None:
        """A refused token from the environment ends with EX_NOPERM, and says why."""
        sandbox = await startSandbox(reactor)
        self.addCleanup(sandbox.stop)
        env = {"IRIS_TOKEN": sandbox.token(RID, -1)}
        program = startTwist(self, "iris", "-e", sandbox.url, "-r", RID, env=env)
        self.assertEqual(await program.ended, 77)
        self.assertIn("refused the iris token (Invalid token); get a new one", program.stdout)
        self.assertNotIn(env["IRIS_TOKEN"], program.stdout + program.stderr)

    async def test_unreachable(self) -> None:
        """A platform that is not there is tried again, with the waits told."""
        sandbox = await startSandbox(reactor)
        await sandbox.stop()
        program = startTwist(
            self, "iris", "-e", sandbox.url, "-r", RID, "-t", "-", stdin=b"a-token\n"
        )
        await program.until("Waiting:")
        self.assertIn("Error -106", program.stdout)
        self.assertEqual(await program.signal("INT"), -signal.SIGINT)
        self.assertEqual(program.stderr, "")

    async def test_sandbox(self) -> None:
        """What the sandbox says to type works; a second one on its port says what is wrong."""
        program = startTwist(self, "iris-sandbox", "--port", "0", "--tls")
        await program.until("Ctrl-C ends.")
        client, caller = re.findall(r"^    (.+)$", program.stdout, re.M)
        variable, command, *arguments = shlex.split(client)
        self.assertEqual((variable, command), ("IRIS_TOKEN=any", "twist"))
        connected = startTwist(self, *arguments, env={"IRIS_TOKEN": "any"})
        await connected.until("Connected:")
        called = startTwist(self, *shlex.split(caller)[1:])
        self.assertEqual(await called.ended, 0, called.stderr)
        self.assertIn("was acknowledged", called.stdout)
        url = program.stdout.split("platform at ")[1].split()[0]
        second = startTwist(self, "iris-sandbox", "--port", url.rpartition(":")[2])
        self.assertEqual(await second.ended, 69)
        self.assertIn("Choose another one with --port", second.stderr)
        self.assertEqual(await program.signal("INT"), -signal.SIGINT)
        self.assertEqual(program.stderr, "")


class Services(TestCase):
    """IrisRtcService in an application."""

    timeout = 30

    async def service(self, **kw: Any) -> Any:
        from iris_twisted.fleet.service import IrisRtcService

        from .doubles import FixedDelay, Recorder

        self.sandbox = await startSandbox(reactor)
        self.addCleanup(self.sandbox.stop)
        self.recorder = Recorder()
        service = IrisRtcService(
            kw.pop("token", "any"),
            RID,
            self.sandbox.url,
            listener=self.recorder,
            retryPolicy=FixedDelay(0.01),
            **kw,
        )
        return service

    def heard(self, name: str) -> Any:
        from twisted.internet.defer import Deferred

        happened: Deferred[Any] = Deferred()
        self.recorder.react[name] = lambda *args: happened.called or happened.callback(args)
        return happened

    async def test_triesFromTheFirst(self) -> None:
        """A first attempt that fails is made again; a refused token waits for another."""
        waits: list[float] = []
        service = await self.service(waiting=waits.append)
        self.sandbox.answerDiscovery(503)
        failing = self.heard("onConnectionError")
        service.startService()
        await failing
        self.sandbox.answerDiscovery(401, b'{"error": {}}')
        del self.recorder.calls[:]
        while -116 not in [code for code, _ in self.recorder.of("onConnectionError")]:
            await self.heard("onConnectionError")
        self.sandbox.platform.answer = None
        up = self.heard("onConnected")
        service.updateToken("fresh")
        await up
        self.assertEqual(waits[0], 0.01)
        service.updateToken("fresher")
        await service.stopService()
        self.assertIsNone(await service.ended)
        self.assertEqual(self.recorder.names()[-1], "onDisconnected")

    async def test_stopWhileWaiting(self) -> None:
        """Stopping during a wait ends it."""
        service = await self.service()
        service._policy.seconds = 100.0
        self.sandbox.answerDiscovery(503)
        failing = self.heard("onConnectionError")
        service.startService()
        await failing
        await service.stopService()
        self.assertIsNone(await service.ended)

    async def test_hopeless(self) -> None:
        """What cannot be cured ends it, with the error."""
        service = await self.service()
        self.sandbox.platform.mechanisms = ("X-NONE",)
        service.startService()
        self.assertIsInstance(await service.ended, NotSupported)
        await service.stopService()

    async def test_hopelessLater(self) -> None:
        """So does what cannot be cured after a session."""
        service = await self.service()
        up = self.heard("onConnected")
        service.startService()
        await up
        self.sandbox.platform.mechanisms = ("X-NONE",)
        self.sandbox.drop()
        self.assertIsInstance(await service.ended, ConnectionFailed)
        await service.stopService()

    async def test_refusedLater(self) -> None:
        """A token refused later ends it, when none is awaited."""
        service = await self.service(waitForToken=False)
        up = self.heard("onConnected")
        service.startService()
        await up
        self.sandbox.platform.refusedTokens.add("any")
        self.sandbox.drop()
        self.assertIsInstance(await service.ended, TokenRefused)
        await service.stopService()
