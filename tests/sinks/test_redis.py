"""
Calls to Redis: what it may say, one after the other.
"""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.outbox import Outbox, OutboxObserver
from iris_twisted.sinks import SinkContext, testing
from iris_twisted.sinks.redis import RedisSinks

from ..doubles import FixedDelay
from ..network import NetworkCase
from .doubles import RedisServer

PASSWORD = "password-of-redis-CANARY"


class TestRedis(testing.SinkConformance):
    """What every sink promises, with a server that says what is expected."""

    provider = RedisSinks()
    secrets = (PASSWORD,)
    wrongArguments = (
        "redis://127.0.0.1/",
        "redis://u@127.0.0.1/calls",
        "redis://127.0.0.1/calls?maxlen=0",
        "redis://127.0.0.1/calls?db=x",
        "redis://127.0.0.1/calls?durable=perhaps",
    )

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {**os.environ, "IRIS_REDIS_PASSWORD": PASSWORD})

    async def test_wrongArguments(self) -> None:
        """As in the suite, with no password in the environment."""
        self.patch(os, "environ", {})
        for argument in self.wrongArguments:
            with self.assertRaises(IncorrectParameters, msg=argument) as caught:
                self.provider.make(argument, self.context())
            self.assertIn("sink redis", caught.exception.message)

    async def place(self) -> str:
        self.server = RedisServer(reactor)
        self.server.password = PASSWORD.encode()
        await self.server.start()
        self.addCleanup(self.server.stop)
        return f"redis://iris@127.0.0.1:{self.server.port}/calls?timeout=5"

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(entry[b"call"]) for entry in self.server.entries]

    async def takeAway(self) -> None:
        await self.server.stop()

    async def bringBack(self) -> None:
        await self.server.start()

    async def forbid(self) -> None:
        self.server.password = b"another"

    async def permit(self) -> None:
        self.server.password = PASSWORD.encode()

    async def wrongPlaces(self) -> list[str]:
        # A key that holds no stream.
        self.server.answers[b"TYPE"] = b"+list\r\n"
        return [f"redis://iris@127.0.0.1:{self.server.port}/calls"]


class _Attempts(OutboxObserver):
    """How each attempt ended."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)


class Answers(NetworkCase):
    """What the server says."""

    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def context(self) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None)

    async def server_(self) -> RedisServer:
        server = RedisServer(reactor)
        await server.start()
        self.addCleanup(server.stop)
        return server

    def sink(self, server: RedisServer, rest: str = "") -> Any:
        argument = f"redis://127.0.0.1:{server.port}/calls?{rest}"
        sink: Any = RedisSinks().make(argument, self.context())
        self.addCleanup(sink.stop)
        return sink

    async def test_commands(self) -> None:
        """What it is told, and no more."""
        server = await self.server_()
        record = self.record()
        await self.sink(server, "db=3&maxlen=7").take(record)
        names = [words[0] for words in server.commands]
        self.assertEqual(names, [b"SELECT", b"TYPE", b"CONFIG", b"CONFIG", b"XADD"])
        self.assertEqual(server.commands[-1][1:6], [b"calls", b"MAXLEN", b"~", b"7", b"*"])
        (entry,) = server.entries
        self.assertEqual(entry[b"key"], record.key.encode())

    async def test_durable(self) -> None:
        """It is durable when Redis says so; one that may not be asked is not."""
        server = await self.server_()
        for settings, durable in (
            ({b"appendonly": b"yes", b"appendfsync": b"always"}, True),
            ({b"appendonly": b"yes", b"appendfsync": b"everysec"}, False),
            ({b"appendonly": b"no", b"appendfsync": b"always"}, False),
            ({}, False),
        ):
            server.settings = settings
            sink = self.sink(server)
            await sink.check()
            self.assertIs(sink.durable, durable)
        server.answers[b"CONFIG"] = b"-NOPERM no\r\n"
        for rest, durable in (("", False), ("durable=yes", True), ("durable=no", False)):
            sink = self.sink(server, rest)
            await sink.check()
            self.assertIs(sink.durable, durable)

    async def test_downAtTheStart(self) -> None:
        """Until Redis could be asked it counts as durable: what it has not is not acknowledged."""
        server = await self.server_()
        server.settings = {}
        await server.stop()
        self.assertFalse(self.sink(server, "durable=no").durable)
        sink = self.sink(server)
        attempts = _Attempts()
        outbox = Outbox(
            reactor, None, lambda spec: sink, policy=FixedDelay(0.05), observer=attempts
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(outbox.stop()))
        outbox.use(["redis"])
        offered = outbox.offer("a@x.test", {"roomid": "r1"}, ["redis"])
        await self.until(lambda: "failed" in attempts.outcomes)
        self.assertFalse(offered.called)
        await server.start()
        await offered
        self.assertEqual(len(server.entries), 1)
        # Now it was asked.
        self.assertFalse(sink.durable)

    async def test_together(self) -> None:
        """What comes while it has not answered goes to it together, and not before, in order."""
        server = await self.server_()
        sink = self.sink(server)
        await sink.check()
        server.answers[b"XADD"] = None
        first = sink.take(self.record())
        await self.until(lambda: self.added(server))
        records = [self.record() for _ in range(5)]
        taking = [sink.take(record) for record in records]
        del server.answers[b"XADD"]
        self.assertEqual(self.added(server), 1)
        (session,) = server.open
        session.transport.write(b"$3\r\n1-0\r\n")
        await gatherResults([first, *taking])
        self.assertEqual(
            [entry[b"key"].decode() for entry in server.entries],
            [record.key for record in records],
        )

    async def test_refusedAmongOthers(self) -> None:
        """Of what goes together each has an outcome of its own."""
        server = await self.server_()
        sink = self.sink(server)
        await sink.check()
        records = [self.record("odd@x.test" if n == 2 else "a@x.test") for n in range(5)]
        server.refuses = lambda words: b"odd@x.test" in words
        taking = [sink.take(record) for record in records]
        for record, one in zip(records, taking, strict=True):
            if record.account != "odd@x.test":
                await one
                continue
            with self.assertRaises(NotTaken) as caught:
                await one
            self.assertIn("did not take the call: OOM", caught.exception.message)
        self.assertEqual(len(server.entries), 4)

    @staticmethod
    def added(server: RedisServer) -> int:
        return [words[0] for words in server.commands].count(b"XADD")

    async def test_refusals(self) -> None:
        """An error of a command is told, but for texts that may repeat the call."""
        server = await self.server_()
        sink = self.sink(server)
        for answer, words in (
            (b"-OOM command not allowed\r\n", ": OOM command not allowed"),
            (b"-READONLY You can't write\r\n", ": READONLY You can't write"),
            (b"-ERR unknown command, with args 'room-token-CANARY'\r\n", ": ERR"),
            (b"-room-token-CANARY\r\n", ": ERR"),
        ):
            server.answers[b"XADD"] = answer
            with self.assertRaises(NotTaken) as caught:
                await sink.take(self.record())
            self.assertNotIsInstance(caught.exception, SinkRefused)
            self.assertTrue(caught.exception.message.endswith(words), caught.exception.message)
        del server.answers[b"XADD"]
        await sink.take(self.record())

    async def test_opening(self) -> None:
        """What is wrong at the start: what somebody has to change, or what may pass."""
        server = await self.server_()
        for command, answer, kind, words in (
            (b"TYPE", b"-NOAUTH Authentication required.\r\n", IncorrectParameters, "NOAUTH"),
            (b"TYPE", b"-MOVED 3999 127.0.0.1:6381\r\n", IncorrectParameters, "MOVED 3999"),
            (b"TYPE", b"+hash\r\n", IncorrectParameters, "the key 'calls' is a hash"),
            (b"TYPE", b"-LOADING Redis is loading\r\n", NotTaken, "LOADING Redis is loading"),
            (b"SELECT", b"-ERR DB index is out of range\r\n", IncorrectParameters, "database 3"),
        ):
            server.answers = {command: answer}
            with self.assertRaises(kind) as caught:
                await self.sink(server, "db=3").check()
            self.assertIn(words, caught.exception.message)

    async def test_password(self) -> None:
        """A wrong password is told, without it."""
        server = await self.server_()
        self.patch(os, "environ", {**os.environ, "IRIS_REDIS_PASSWORD": "wrong-CANARY"})
        with self.assertRaises(IncorrectParameters) as caught:
            await self.sink(server).check()
        self.assertIn("refused the user 'default' or its password", caught.exception.message)
        self.assertNotIn("CANARY", caught.exception.message)

    async def test_silence(self) -> None:
        """One that does not answer is left, and so is one that hangs up."""
        server = await self.server_()
        sink = self.sink(server, "timeout=0.2")
        await sink.check()
        server.answers[b"XADD"] = None
        with self.assertRaises(NotTaken) as caught:
            await sink.take(self.record())
        self.assertIn("did not answer within 0.2 seconds", caught.exception.message)
        await self.until(lambda: not server.open)
        del server.answers[b"XADD"]
        await self.takenAgain(sink, self.record())  # type: ignore[arg-type]
        server.answers[b"XADD"] = None
        taking = sink.take(self.record())
        await server.stop()
        with self.assertRaises(NotTaken) as caught:
            await taking
        self.assertIn("lost its connection", caught.exception.message)
        await server.start()
        server.answers[b"TYPE"] = None
        opening = self.sink(server).check()
        await self.until(lambda: server.open)
        await server.stop()
        with self.assertRaises(NotTaken) as caught:
            await opening
        self.assertIn("dropped the connection", caught.exception.message)
