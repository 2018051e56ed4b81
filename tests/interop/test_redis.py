"""
Calls to Redis, a real one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import capturedLogs, eventAsText

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import SinkContext, testing
from iris_twisted.sinks.redis import RedisSinks

from ..faults.proxy import Fault, Proxy
from ..network import RID, NetworkCase
from ..processes import Program, startTwist
from .prosody import freePort

REDIS = shutil.which("redis-server")
PASSWORD = "password-of-redis-CANARY"


class AtRedis:
    """A Redis of the test's own, which writes each command to its disk unless told otherwise."""

    skip = (
        None
        if REDIS and shutil.which("redis-cli")
        else ("Redis is missing: apt-get install redis-server")
    )
    program: Program

    async def redis(self: Any, *options: str) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.port, self.tls = freePort(), freePort()
        self.ca = ca = trustme.CA()
        issued = ca.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(self.folder / "cert.pem"))
        self.caFile = str(self.folder / "ca.pem")
        ca.cert_pem.write_to_path(self.caFile)
        self.command = [
            *(str(REDIS), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--tls-port", str(self.tls), "--tls-auth-clients", "no"),
            *("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"),
            *("--tls-ca-cert-file", "ca.pem", "--save", "", "--dir", str(self.folder)),
            *("--requirepass", PASSWORD),
            *(options or ("--appendonly", "yes", "--appendfsync", "always")),
        ]
        self.passwordFile = self.folder / "password"
        self.passwordFile.write_text(PASSWORD + "\n")
        await self.startRedis()

    async def startRedis(self: Any) -> None:
        self.program = Program()
        reactor.spawnProcess(  # type: ignore[attr-defined]
            self.program, str(REDIS), self.command, env={}, path=str(self.folder)
        )
        program = self.program
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        await self.program.until("Ready to accept connections")

    async def client(self: Any, *words: str) -> Any:
        """What redis-cli says, as JSON."""
        out, err, status = await getProcessOutputAndValue(
            str(shutil.which("redis-cli")),
            ("-p", str(self.port), "--json", *words),
            env={"REDISCLI_AUTH": PASSWORD, **os.environ},
            reactor=reactor,
        )
        self.assertEqual(status, 0, (out + err).decode())
        return json.loads(out)

    async def entries(self: Any, stream: str = "calls") -> list[dict[str, str]]:
        found = []
        for _, pairs in await self.client("XRANGE", stream, "-", "+"):
            fields = iter(pairs)
            found.append(dict(zip(fields, fields, strict=True)))
        return found


class TestRedis(AtRedis, testing.SinkConformance):
    """What every sink promises."""

    provider = RedisSinks()
    secrets = (PASSWORD,)
    wrongArguments = (
        "",
        "redis://127.0.0.1/",
        "redis://127.0.0.1:x/calls",
        f"redis://u:{PASSWORD}@127.0.0.1/calls",
        "redis://h.test/calls",
        "redis://u@127.0.0.1/calls",
        "redis://127.0.0.1/calls?maxlen=0",
        "redis://127.0.0.1/calls?maxlen=many",
        "redis://127.0.0.1/calls?db=x",
        "redis://127.0.0.1/calls?durable=perhaps",
        "redis://127.0.0.1/calls?stream=x",
        "redis://127.0.0.1/calls?password-file=/no/where",
        "rediss://127.0.0.1/calls?key-file=/no/where",
        "rediss://127.0.0.1/calls?certificate-file=/no/where",
    )

    async def place(self) -> str:
        await self.redis()
        self.proxy = await Proxy(reactor, self.port).start()
        self.addCleanup(self.proxy.stop)
        rest = f"password-file={self.passwordFile}&timeout=5"
        return f"redis://127.0.0.1:{self.proxy.port}/calls?{rest}"

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(entry["call"]) for entry in await self.entries()]

    async def takeAway(self) -> None:
        await self.proxy.stop()

    async def bringBack(self) -> None:
        self.proxy = await Proxy(reactor, self.port).start(self.proxy.port)
        self.addCleanup(self.proxy.stop)

    async def wrongPlaces(self) -> list[str]:
        await self.client("SET", "text", "x")
        place = f"redis://127.0.0.1:{self.port}"
        secret = f"password-file={self.passwordFile}"
        return [f"{place}/text?{secret}", f"{place}/calls?db=99&{secret}", f"{place}/calls"]


class RedisTests(AtRedis, NetworkCase):
    """What only Redis does."""

    timeout = 60
    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def context(self, **settings: Any) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None, settings=Settings(**settings))

    def sink(self, rest: str = "", *, where: str = "", **settings: Any) -> Any:
        where = where or f"redis://127.0.0.1:{self.port}/calls"
        argument = f"{where}?password-file={self.passwordFile}{rest}"
        sink: Any = RedisSinks().make(argument, self.context(**settings))
        self.addCleanup(sink.stop)
        return sink

    async def test_entry(self) -> None:
        """The fields of an entry; the stream grows to about its length and no further."""
        await self.redis()
        sink = self.sink("&maxlen=100")
        record = self.record()
        await sink.take(record)
        (entry,) = await self.entries()
        self.assertEqual(list(entry), ["key", "account", "type", "call"])
        self.assertEqual(entry["key"], record.key)
        self.assertEqual(entry["account"], record.account)
        self.assertEqual(entry["type"], "notify")
        self.assertEqual(entry["call"], record.line)
        await gatherResults([sink.take(self.record()) for _ in range(500)])
        self.assertLess(await self.client("XLEN", "calls"), 300)

    async def test_durable(self) -> None:
        """It is durable where Redis writes each command to its disk, and there only."""
        for options, rest, durable in (
            ((), "", True),
            (("--appendonly", "yes"), "", False),
            (("--appendonly", "no"), "", False),
            (("--appendonly", "yes"), "&durable=yes", True),
            ((), "&durable=no", False),
            (("--rename-command", "CONFIG", ""), "", False),
        ):
            await self.redis(*options)
            sink = self.sink(rest)
            await sink.check()
            self.assertEqual(sink.durable, durable, f"{options} {rest}")
            await sink.stop()
            await self.program.signal("KILL")

    async def test_killed(self) -> None:
        """What it took is there after Redis was killed, when it is durable."""
        await self.redis()
        sink = self.sink()
        records = [self.record() for _ in range(300)]
        queue, taken = list(records), set[str]()

        async def give() -> None:
            while queue:
                record = queue.pop()
                await self.takenAgain(sink, record)  # type: ignore[arg-type]
                taken.add(record.key)

        giving = [Deferred.fromCoroutine(give()) for _ in range(16)]
        await self.until(lambda: len(taken) >= 100)
        before = set(taken)
        await self.program.signal("KILL")
        self.assertLess(len(taken), len(records))
        await self.startRedis()
        await gatherResults(giving)
        keys = {entry["key"] for entry in await self.entries()}
        self.assertLessEqual(before, keys)
        self.assertEqual(keys, {record.key for record in records})

    async def test_mistakes(self) -> None:
        """What is wrong is found before the first call, and told without a secret."""
        await self.redis()
        await self.client("SET", "text", "x")
        await self.client("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+xread")
        wrong = Path(self.mktemp()).absolute()
        wrong.write_text("wrong-CANARY")
        here = f"redis://127.0.0.1:{self.port}"
        password, self.passwordFile = self.passwordFile, wrong
        badPassword = self.sink()
        self.passwordFile = password
        noPassword: Any = RedisSinks().make(f"{here}/calls", self.context())
        self.addCleanup(noPassword.stop)
        for sink, words in (
            (badPassword, "refused the user 'default' or its password (WRONGPASS"),
            (noPassword, "NOAUTH Authentication required"),
            (self.sink(where=f"{here}/text"), "the key 'text' is a string"),
            (self.sink("&db=99"), "has no database 99"),
            (self.sink(where=f"redis://reader@127.0.0.1:{self.port}/calls"), "NOPERM"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                await sink.check()
            self.assertIn(words, caught.exception.message)
            self.assertIn(f"redis:{here}", caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
            with self.assertRaises(NotTaken) as late:
                await sink.take(self.record())
            self.assertNotIsInstance(late.exception, SinkRefused)

    async def test_newPassword(self) -> None:
        """SIGHUP reads the password again; what cannot be read is told, and the old one stays."""
        await self.redis()
        sink = self.sink()
        await sink.take(self.record())
        await self.client("CONFIG", "SET", "requirepass", "another-CANARY")
        self.passwordFile.write_text("another-CANARY\n")
        with capturedLogs() as events:
            sink.reopen()
            self.passwordFile.unlink()
            sink.reopen()
        (event,) = events
        words = eventAsText(event, includeSystem=False)
        self.assertIn("sink redis: the password in ", words)
        self.assertIn("cannot be read: No such file or directory; the old one stays", words)
        # The connection that is open stays until it is lost.
        await sink.take(self.record())
        self.patch(os, "environ", {**os.environ, "REDISCLI_AUTH": "another-CANARY"})
        await self.client("CLIENT", "KILL", "TYPE", "normal")
        await self.takenAgain(sink, self.record())  # type: ignore[arg-type]
        self.assertEqual(len(await self.entries()), 3)

    async def test_daemon(self) -> None:
        """twist iris finds a mistake at its start; without one a call arrives as it was asked."""
        await self.redis()
        sandbox = await self.sandbox()
        arguments = ["--event-manager", sandbox.url, "--routing-id", RID, "--format", "cloudevents"]
        environment = {"IRIS_TOKEN": sandbox.token(RID), "IRIS_REDIS_PASSWORD": PASSWORD}
        await self.client("SET", "text", "x")
        wrong = startTwist(
            self, "iris", *arguments,
            "--sink", f"redis:redis://127.0.0.1:{self.port}/text", env=environment,
        )  # fmt: skip
        self.assertEqual(await wrong.ended, 69)
        self.assertIn("the key 'text' is a string, and not a stream", wrong.stderr)
        self.assertNotIn("Traceback", wrong.stderr)
        strange = startTwist(
            self, "iris", *arguments,
            "--sink", f"redis:rediss://127.0.0.1:{self.tls}/calls", env=environment,
        )  # fmt: skip
        self.assertEqual(await strange.ended, 69)
        self.assertIn("shows a certificate that cannot be verified", strange.stderr)
        self.assertNotIn("Traceback", strange.stderr)
        program = startTwist(
            self, "iris", *arguments,
            "--sink", f"redis://127.0.0.1:{self.port}/calls", env=environment,
        )  # fmt: skip
        await program.until("Connected:")
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged")
        (entry,) = await self.entries()
        self.assertEqual(json.loads(entry["call"])["subject"], RID)
        await program.signal("INT")
        self.assertNotIn("CANARY", program.stdout + program.stderr)

    async def test_full(self) -> None:
        """A Redis without memory takes nothing, and again when it has some."""
        await self.redis()
        sink = self.sink()
        await sink.check()
        await self.client("CONFIG", "SET", "maxmemory", "1")
        record = self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(record)
        self.assertIn("OOM command not allowed", caught.exception.message)
        await self.client("CONFIG", "SET", "maxmemory", "0")
        await sink.take(record)

    async def test_silent(self) -> None:
        """One that does not answer is left, and connected to again."""
        await self.redis()
        proxy = await Proxy(reactor, self.port).start()
        self.addCleanup(proxy.stop)
        sink = self.sink("&timeout=1", where=f"redis://127.0.0.1:{proxy.port}/calls")
        await sink.check()
        proxy.fault = Fault(cutAfter=0, how="blackhole", happened=True)
        with self.assertRaises(NotTaken) as caught:
            await sink.take(self.record())
        self.assertIn("did not answer within 1 seconds", caught.exception.message)
        await self.until(lambda: not proxy.sides)
        proxy.fault = Fault()
        await self.takenAgain(sink, self.record())  # type: ignore[arg-type]

    async def test_certificate(self) -> None:
        """It gets the certificate that it asks for; without one it is not spoken to."""
        await self.redis("--tls-auth-clients", "yes")
        path = str(self.folder / "ours.pem")
        self.ca.issue_cert("iris.test").private_key_and_cert_chain_pem.write_to_path(path)
        where = f"rediss://127.0.0.1:{self.tls}/calls"
        sink = self.sink(f"&certificate-file={path}", where=where, trustRoot=self.caFile)
        await sink.take(self.record())
        self.assertEqual(len(await self.entries()), 1)
        for rest in ("", f"&certificate-file={self.other()}"):
            with self.assertRaises(IncorrectParameters) as caught:
                await self.sink(rest, where=where, trustRoot=self.caFile).check()
            self.assertIn("wants a certificate of ours", caught.exception.message)
        plain = f"redis://127.0.0.1:{self.port}/calls"
        with self.assertRaises(IncorrectParameters) as wrong:
            self.sink(f"&certificate-file={path}", where=plain)
        self.assertIn("redis:// is none", wrong.exception.message)

    def other(self) -> str:
        """A certificate of a CA that nobody knows."""
        path = str(self.folder / "other.pem")
        trustme.CA().issue_cert("iris.test").private_key_and_cert_chain_pem.write_to_path(path)
        return path

    async def test_tls(self) -> None:
        """By TLS, with the CA that is given; another's certificate is refused."""
        await self.redis()
        where = f"rediss://127.0.0.1:{self.tls}/calls"
        await self.sink(where=where, trustRoot=self.caFile).take(self.record())
        self.assertEqual(len(await self.entries()), 1)
        named = where.replace("127.0.0.1", "localhost")
        for place, caFile, words in (
            (where, None, "a certificate that cannot be verified"),
            (named, self.caFile, "a certificate for another host name"),
        ):
            sink = self.sink(where=place, trustRoot=caFile)
            with self.assertRaises(IncorrectParameters) as caught:
                await sink.check()
            self.assertIn(words, caught.exception.message)
            # A call waits until somebody has mended it.
            with self.assertRaises(NotTaken) as late:
                await sink.take(self.record())
            self.assertNotIsInstance(late.exception, SinkRefused)
