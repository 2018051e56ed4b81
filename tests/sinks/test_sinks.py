"""
Where calls go: stdout, files, programs, webhooks, plugins.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import stat
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, eventAsText
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.interfaces import INotificationSink, INotificationSinkProvider
from iris_twisted.net.http import Answer
from iris_twisted.sinks import CallRecord, SinkContext, makeSink, sinkProviders
from iris_twisted.sinks.webhook import _retryAfter, readSecret

from ..doubles import DriftingClock
from ..network import NetworkCase
from ..peers import WebServer

SECRET = "whsec_" + base64.b64encode(b"secret-of-webhooks-CANARY").decode()
RECORD = CallRecord.of("alice@x.test", {"type": "notify", "roomid": "r\n1"}, 1_700_000_000.5)


class Specifications(SynchronousTestCase):
    """What can stand behind C{--sink}."""

    def context(self, **options: Any) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None, **options)

    def test_builtIn(self) -> None:
        """Those that come along, each a plugin that provides its interface."""
        providers = sinkProviders()
        names = {"amqp", "exec", "file", "kafka", "redis", "stdout", "webhook"}
        self.assertEqual(set(providers), names)
        for provider in providers.values():
            self.assertTrue(verifyObject(INotificationSinkProvider, provider))
        path = os.path.abspath(self.mktemp())
        for spec, name, durable in (
            ("stdout", "stdout", False),
            (f"file:{path}", f"file:{path}", True),
            ("exec:/bin/cat -", "exec:/bin/cat", True),
            ("exec:sh -c 'a\nb'", f"exec:{shutil.which('sh')}", True),
            ("webhook:https://h.test/CANARY?t=CANARY", "webhook:https://h.test:443", True),
            ("webhook:http://[::1]:8080/x", "webhook:http://[::1]:8080", True),
        ):
            sink = makeSink(spec, self.context())
            self.assertTrue(verifyObject(INotificationSink, sink))
            self.assertEqual((sink.name, sink.durable), (name, durable))
            sink.reopen()
            self.successResultOf(sink.stop())

    def test_mistakes(self) -> None:
        """Each says what is wrong, and repeats no URL."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        for spec, words in (
            ("webhok:https://CANARY.test", "did you mean webhook?"),
            ("pigeon:x", "none of amqp, exec, file, kafka, redis, stdout, webhook"),
            ("webhook+cloudevent:https://CANARY.test", "did you mean cloudevents?"),
            ("file+cloudevents-binary:x", "use file+cloudevents"),
            ("stdout:x", "nothing after the colon"),
            ("file:", "needs a path"),
            ("file:a\0b", "needs a path"),
            ("file:a\nb", "sink file: 'a\\nb' cannot be printed"),
            ("file:a\x1b[31mb", "sink file: 'a\\x1b[31mb' cannot be printed"),
            ("file:/tmp/caf\udce9", "sink 'file' is followed by no UTF-8"),
            ("exec:cat CANARY\udce9", "sink 'exec' is followed by no UTF-8"),
            ("exec:'a\nb' CANARY", "sink exec: 'a\\nb' cannot be printed"),
            (f"file:{folder}", "is a folder"),
            ("file:/no/where/x", "there is no folder /no/where"),
            ("exec:", "needs a program"),
            ("exec:'", "No closing quotation"),
            ("exec:/no/program", "/no/program is no program"),
            ("webhook:", "needs a URL"),
            ("webhook:ftp://CANARY.test", "needs a URL"),
            ("webhook:https://CANARY.test:x", "needs a URL"),
            ("webhook:https://h.test/CANÄRY", "needs a URL"),
            ("webhook:https://u:CANARY@h.test/", "no user"),
            ("webhook:https://h.test/CANARY CANARY", "no user"),
            ("webhook:http://h.test/CANARY", "use https"),
        ):
            with self.assertRaises(IncorrectParameters, msg=spec) as caught:
                makeSink(spec, self.context())
            self.assertIn(words, caught.exception.message)
            self.assertTrue(caught.exception.message.isprintable(), caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
        insecure = self.context(settings=Settings(insecure=True))
        self.assertTrue(makeSink("webhook:http://h.test/", insecure))

    def test_plugin(self) -> None:
        """One that is not ours comes through the same door."""

        @implementer(IPlugin, INotificationSinkProvider)
        class Pigeons:
            name = "pigeon"

            def make(self, argument: str, context: SinkContext) -> Any:
                return (argument, context)

        context = self.context()
        self.assertEqual(makeSink("pigeon:grey:1", context, [Pigeons()]), ("grey:1", context))

    def test_secret(self) -> None:
        """As Standard Webhooks writes it, or any long text."""
        self.assertEqual(readSecret(SECRET), b"secret-of-webhooks-CANARY")
        self.assertEqual(readSecret("x" * 16), b"x" * 16)
        for text in ("whsec_!!", "whsec_", "short", ""):
            with self.assertRaises(IncorrectParameters):
                readSecret(text)

    def test_retryAfter(self) -> None:
        """Seconds or a date; nonsense and what is too long are not believed."""
        for text, seconds in (
            ("7", 7.0),
            ("99999999999", 3600.0),
            (formatdate(1030, usegmt=True), 30.0),
            (formatdate(10, usegmt=True), 0.0),
            ("soon", None),
            ("", None),
            ("-1", None),
        ):
            answer = Answer(503, b"", {"retry-after": text})
            self.assertEqual(_retryAfter(answer, 1000.0), seconds, text)

    def test_retryAfterElsewhere(self) -> None:
        """Each form of a date (RFC 9110 section 5.6.7) is UTC, wherever this machine stands."""

        def setZone(zone: str | None) -> None:
            os.environ.pop("TZ", None)
            if zone is not None:
                os.environ["TZ"] = zone
            time.tzset()

        self.addCleanup(setZone, os.environ.get("TZ"))
        setZone("EST5EDT")
        for text in (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ):
            answer = Answer(503, b"", {"retry-after": text})
            self.assertEqual(_retryAfter(answer, 784_111_747.0), 30.0, text)

    def test_secretsOfContext(self) -> None:
        """No repr holds the secret of the webhooks."""
        self.assertNotIn("CANARY", repr(self.context(webhookSecret=b"CANARY")))

    def test_record(self) -> None:
        """No repr holds the notification, which holds a room token; a line is strict JSON."""
        record = CallRecord.of("a@x.test", {"roomtoken": "CANARY"}, 0.0)
        self.assertNotIn("CANARY", repr(record))
        self.assertIn("CANARY", record.line)
        odd = {"userdata": float("inf")}
        self.assertRaises(ValueError, CallRecord.of, "a@x.test", odd, 0.0)
        self.assertRaises(ValueError, lambda: CallRecord("k", "a@x.test", 0.0, odd).line)

    def test_dates(self) -> None:
        """Whatever a clock says, it is a date that each sink can write."""
        for seconds, written in (
            (-5.0, "1970-01-01T00:00:00.000Z"),
            (-1e300, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
            (2.6e11, "9999-12-31T23:59:59.000Z"),
            (float("inf"), "9999-12-31T23:59:59.000Z"),
        ):
            record = CallRecord.of("a@x.test", {"type": "notify"}, seconds)
            self.assertEqual(json.loads(record.line)["received"], written)
            self.assertEqual(
                CallRecord.stored("k", "a@x.test", seconds, "{}").received, record.received
            )

    def test_stdout(self) -> None:
        """A line each; a pipe that is closed is told."""
        lines: list[str] = []
        sink = makeSink("stdout", SinkContext(reactor=reactor, write=lines.append))
        self.successResultOf(sink.take(RECORD))
        self.assertEqual(json.loads(lines[0])["notification"], RECORD.notification)

        def broken(line: str) -> None:
            raise BrokenPipeError(32, "Broken pipe")

        sink = makeSink("stdout", SinkContext(reactor=reactor, write=broken))
        error = self.failureResultOf(sink.take(RECORD), NotTaken).value
        self.assertEqual(error.message, "stdout cannot be written: Broken pipe")


class Sinks(NetworkCase):
    """Files, programs and web servers, real ones."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        # When a program ends before trial has its reactor running, nobody hears of later ones.
        await deferLater(reactor, 0)  # type: ignore[arg-type]

    def sink(self, spec: str, **options: Any) -> Any:
        context = SinkContext(reactor=reactor, write=lambda line: None, **options)
        sink = makeSink(spec, context)
        self.addCleanup(sink.stop)
        return sink

    def path(self) -> Path:
        return Path(self.mktemp()).absolute()

    async def refused(self, sink: Any, kind: type[NotTaken]) -> NotTaken:
        with self.assertRaises(kind) as caught:
            await sink.take(RECORD)
        self.assertIs(type(caught.exception), kind)
        return caught.exception

    # Files

    async def test_fileIsFlushed(self) -> None:
        """A call is taken when its line is on the disk, with its length, and not before."""
        path = self.path()
        sink = self.sink(f"file:{path}")
        flushed: list[int] = []
        fsync = os.fsync

        def flush(file: int) -> None:
            fsync(file)
            flushed.append(os.fstat(file).st_size)

        self.patch(os, "fsync", flush)
        await sink.take(RECORD)
        self.assertEqual(flushed[-1:], [path.stat().st_size])

    async def test_file(self) -> None:
        """Whole lines, in order, in a file of one's own; reopened when it was moved away."""
        path = self.path()
        sink = self.sink(f"file:{path}")
        await gatherResults([sink.take(CallRecord.of("a@b", {"n": n}, 0.0)) for n in range(50)])
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([line["notification"]["n"] for line in lines], list(range(50)))
        self.assertEqual(
            {key: lines[0][key] for key in ("account", "received")},
            {"account": "a@b", "received": "1970-01-01T00:00:00.000Z"},
        )
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        moved = path.with_suffix(".1")
        path.rename(moved)
        await sink.take(RECORD)
        self.assertFalse(path.exists())
        sink.reopen()
        await sink.take(RECORD)
        self.assertEqual(len(moved.read_text().splitlines()), 51)
        self.assertEqual(len(path.read_text().splitlines()), 1)

    async def test_halfALine(self) -> None:
        """Half a line that a kill left behind does not spoil the next."""
        path = self.path()
        path.write_text('{"half')
        await self.sink(f"file:{path}").take(RECORD)
        half, whole = path.read_text().splitlines()
        self.assertEqual((half, json.loads(whole)["key"]), ('{"half', RECORD.key))

    async def test_fileThatDoesNotClose(self) -> None:
        """A file whose close fails is not written to again: its number may be another's by then."""
        path = self.path()
        sink = self.sink(f"file:{path}")
        await sink.take(RECORD)
        os.close(sink._file)
        sink.reopen()
        error = await self.refused(sink, NotTaken)
        self.assertIn("cannot be written: Bad file descriptor", error.message)
        await sink.take(RECORD)
        self.assertEqual(len(path.read_text().splitlines()), 2)

    async def test_fullDisk(self) -> None:
        """A disk that is full is told, and tried again later."""
        path = self.path()
        sink = self.sink(f"file:{path}")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(os, "fsync", full)
        for _ in range(2):
            error = await self.refused(sink, NotTaken)
            self.assertIn(f"{path} cannot be written: No space left", error.message)
        patch.restore()
        await sink.take(RECORD)

    async def test_noFile(self) -> None:
        """What is no regular file keeps no call: nothing is written there, at any attempt."""
        path = self.path()
        sink = self.sink(f"file:{path}")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        for _ in range(2):
            error = await self.refused(sink, NotTaken)
            self.assertIn("it is no regular file", error.message)
        self.assertEqual(os.read(reader, 100), b"")
        with self.assertRaises(IncorrectParameters) as caught:
            self.sink(f"file:{path}")
        self.assertIn(f"sink file:{path}: it is no regular file", caught.exception.message)

    # Programs

    async def test_program(self) -> None:
        """The record is on its stdin; no shell sees it, and nothing of it is in the arguments."""
        path = self.path()
        script = self.path()
        script.write_text('#!/bin/sh\nprintf "%s|" "$#" "$1" > "$2"; cat >> "$2"\n')
        script.chmod(0o700)
        record = CallRecord.of("a@b", {"roomid": "$(touch pwned); `id`"}, 0.0)
        await self.sink(f"exec:{script} '$(id) x' {path}").take(record)
        count, first, data = path.read_text().split("|", 2)
        self.assertEqual((count, first), ("2", "$(id) x"))
        self.assertEqual(json.loads(data)["notification"], record.notification)

    async def test_programsEnvironment(self) -> None:
        """What is meant for us, the token above all, is not passed on."""
        path = self.path()
        self.patch(os, "environ", {**os.environ, "IRIS_TOKEN": "CANARY", "OTHER": "seen"})
        script = self.path()
        script.write_text('#!/bin/sh\nenv > "$1"\n')
        script.chmod(0o700)
        await self.sink(f"exec:{script} {path}").take(RECORD)
        self.assertIn("OTHER=seen", path.read_text())
        self.assertNotIn("CANARY", path.read_text())

    async def test_programThatFails(self) -> None:
        """Its status tells whether to try again; too long a run is ended."""
        script = self.path()
        script.write_text('#!/bin/sh\ncase "$1" in kill) kill -TERM $$;; esac; exit "$1"\n')
        script.chmod(0o700)
        for status, kind, words in (
            ("1", NotTaken, "ended with status 1"),
            ("65", SinkRefused, "refused the call"),
            ("kill", NotTaken, "ended by signal 15"),
        ):
            error = await self.refused(self.sink(f"exec:{script} {status}"), kind)
            self.assertIn(words, error.message)
        error = await self.refused(self.sink("exec:/bin/sleep 60", execTimeout=0.05), NotTaken)
        self.assertIn("took too long", error.message)
        gone = self.sink(f"exec:{script}")
        script.unlink()
        self.assertIn(f"exec:{script} ", (await self.refused(gone, NotTaken)).message)

    async def test_programsOutput(self) -> None:
        """What it writes, wherever, comes to our stderr: stdout is for calls."""
        script, output = self.path(), self.path()
        script.write_text("#!/bin/sh\necho one\necho two >&2\n")
        script.chmod(0o700)
        stderr = os.dup(2)
        self.addCleanup(os.close, stderr)
        with output.open("w") as file:
            os.dup2(file.fileno(), 2)
        try:
            await self.sink(f"exec:{script}").take(RECORD)
        finally:
            os.dup2(stderr, 2)
        self.assertEqual(output.read_text(), "one\ntwo\n")

    async def test_programWhileTheClockIsSetBack(self) -> None:
        """Its time is counted on, and no longer, while the wall clock is set back."""

        class Machine(DriftingClock):
            spawnProcess = reactor.spawnProcess  # type: ignore[attr-defined]

        clock = Machine()
        clock.advance(1_700_000_000)
        context = SinkContext(reactor=clock, write=lambda line: None, execTimeout=5.0)
        sink: Any = makeSink("exec:/bin/sleep 60", context)
        self.addCleanup(sink.stop)
        taking: Deferred[None] = sink.take(RECORD)
        clock.jump(-3600)
        clock.advance(4.9)
        (run,) = sink._running
        self.assertFalse(run.late)
        clock.advance(0.2)
        self.assertTrue(run.late)
        with self.assertRaises(NotTaken):
            await taking

    async def test_programStopped(self) -> None:
        """Stopping ends what runs."""
        sink = self.sink("exec:/bin/sleep 60")
        taking: Deferred[None] = sink.take(RECORD)
        await sink.stop()
        with self.assertRaises(NotTaken):
            await taking

    async def test_programsChild(self) -> None:
        """A child that holds the pipe and does not read delays neither the timeout nor the end."""
        large = CallRecord.of("a@b", {"roomid": "r", "userdata": "x" * 200_000}, 0.0)
        late = self.sink("exec:/bin/sh -c 'sleep 60; true'", execTimeout=0.05)
        with self.assertRaises(NotTaken) as caught:
            await late.take(large)
        self.assertIn("took too long", caught.exception.message)
        # This one is gone itself when its time is up, with the status 0.
        script = "sleep 60 <&3 & exit 0"
        gone = self.sink(f"exec:/bin/sh -c 'exec 3<&0; {script}'", execTimeout=0.5)
        await gone.take(large)
        stopped = self.sink("exec:/bin/sh -c 'sleep 60; true'")
        taking: Deferred[None] = stopped.take(large)
        await stopped.stop()
        with self.assertRaises(NotTaken):
            await taking

    test_programsChild.timeout = 30  # type: ignore[attr-defined]

    # Webhooks

    async def server(self) -> WebServer:  # type: ignore[override]
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        return server

    async def test_signature(self) -> None:
        """What the Standard Webhooks library verifies; another secret or body it refuses."""
        server = await self.server()
        secret = readSecret(SECRET)
        await self.sink(f"webhook:{server.url}", webhookSecret=secret).take(RECORD)
        ((headers, body),) = server.received
        self.assertEqual(
            Webhook(SECRET.removeprefix("whsec_")).verify(body, headers)["key"], RECORD.key
        )
        self.assertEqual(headers["idempotency-key"], RECORD.key)
        self.assertEqual(headers["content-type"], "application/json")
        for other, data in (
            (base64.b64encode(b"x" * 24).decode(), body),
            (SECRET.removeprefix("whsec_"), body + b" "),
        ):
            with self.assertRaises(WebhookVerificationError):
                Webhook(other).verify(data, headers)
        await self.sink(f"webhook:{server.url}").take(RECORD)
        self.assertNotIn("webhook-signature", server.received[1][0])

    async def test_newSecret(self) -> None:
        """SIGHUP reads the secret again; what is none is told, and the old one stays."""
        server, path = await self.server(), self.path()
        new = "whsec_" + base64.b64encode(b"another-secret-CANARY").decode()
        path.write_text(SECRET + "\n")
        sink = self.sink(f"webhook:{server.url}", webhookSecretFile=str(path))
        await sink.take(RECORD)
        path.write_text(new + "\n")
        sink.reopen()
        await sink.take(RECORD)
        with capturedLogs() as events:
            path.write_text("CANARY\n")
            sink.reopen()
            path.unlink()
            sink.reopen()
        await sink.take(RECORD)
        for (headers, body), secret in zip(server.received, (SECRET, new, new), strict=True):
            Webhook(secret.removeprefix("whsec_")).verify(body, headers)
        told = [eventAsText(event, includeSystem=False) for event in events]
        for text, words in zip(told, ("at least 16 bytes", "cannot be read: No such"), strict=True):
            self.assertIn("the webhook secret", text)
            self.assertIn(words, text)
            self.assertTrue(text.endswith("; the old one stays"), text)
            self.assertNotIn("CANARY", text)

    async def test_answers(self) -> None:
        """Which answers take a call, which ask for patience, and which refuse it."""
        server = await self.server()
        sink = self.sink(f"webhook:{server.url}?token=CANARY")
        for status in (200, 201, 204, 299):
            server.answer = lambda _, __, status=status: (status, {})  # type: ignore[misc]
            await sink.take(RECORD)
        for status, kind in (
            (500, NotTaken),
            (503, NotTaken),
            (429, NotTaken),
            (408, NotTaken),
            (425, NotTaken),
            (401, NotTaken),
            (403, NotTaken),
            (407, NotTaken),
            (400, SinkRefused),
            (404, SinkRefused),
            (300, SinkRefused),
            (301, SinkRefused),
        ):
            server.answer = lambda _, __, status=status: (  # type: ignore[misc]
                status,
                {"Retry-After": "9", "Location": "/elsewhere"},
            )
            error = await self.refused(sink, kind)
            self.assertIn(f"answered {status}", error.message)
            self.assertNotIn("CANARY", error.message)
            self.assertEqual(error.retryAfter, 9.0 if kind is NotTaken else None)
        self.assertEqual(set(server.paths), {"/hook?token=CANARY"})

    async def test_bodies(self) -> None:
        """What the status says has happened, however long, broken or slow the body is."""
        for head, body in (
            ("Content-Length: 100000", "x" * 100_000),
            ("Content-Length: 300000", "x" * 300_000),
            ("Content-Length: 100", "cut"),
            ("Transfer-Encoding: chunked", "zz\r\n"),
            ("Content-Encoding: gzip\r\nContent-Length: 3", "abc"),
            ("X: without length", "hello"),
        ):
            for end in (True, False):
                port = await self.answering(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}", end)
                sink = self.sink(f"webhook:http://127.0.0.1:{port}/", webhookTimeout=0.5)
                await sink.take(RECORD)
                await sink.stop()

    async def answering(self, answer: str, end: bool) -> int:
        """A server that says that, whatever it is asked, and hangs up; or not."""

        class Says(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                if data.endswith(b"}"):
                    self.transport.write(answer.encode())
                    if end:
                        self.transport.loseConnection()

        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(Says)
        )
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def test_unreachable(self) -> None:
        """Silence and refusal are no answers."""
        server = await self.server()
        server.answer = lambda _, __: (0, {})
        sink = self.sink(f"webhook:{server.url}", webhookTimeout=0.05)
        self.assertIn("within 0.05 seconds", (await self.refused(sink, NotTaken)).message)
        sink = self.sink("webhook:http://127.0.0.1:1/")
        self.assertIn("refused the connection", (await self.refused(sink, NotTaken)).message)
