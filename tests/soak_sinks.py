"""
Where the calls of C{tests.soak_daemon} go: sinks that fail in all the ways there are, and tell the
ledger what they have.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Collection
from email.utils import formatdate
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iris_twisted.sinks.webhook import readSecret, signature

from .cluster.receiver import QuietSite
from .interop.prosody import freePort
from .invariants import BrokenPromise
from .processes import Program
from .soak_ledger import Ledger

__all__ = ["CANARIES", "Place", "places"]

_REDIS = shutil.which("redis-server"), shutil.which("redis-cli")
_PASSWORD = "password-of-redis-CANARY"
_PATH = "path-of-a-hook-CANARY"
_SECRET = "secret-of-webhooks-CANARY"
# What no log may hold.
CANARIES = (_PASSWORD, _PATH, _SECRET, "TURN-PASSWORD")

_SCRIPT = """\
read -r mode < "$1/mode"
IFS= read -r line
key=${line#*'"key":"'}
key=${key%%'"'*}
# Nothing comes when the daemon is killed just then.
[ -n "$key" ] || exit 1
case $mode in
fails) : > "$1/failed/$key.$$"; exit 1 ;;
hangs) : > "$1/failed/$key.$$"; exec sleep 1000 ;;
dies) : > "$1/failed/$key.$$"; kill -9 $$ ;;
esac
printf '%s\\n' "$line" > "$1/taken/$key.$$"
printf '\\n%s\\n' "$key.$$" >> "$1/order"
"""


class Place:
    """
    One of them.

    @cvar window: how many calls it gets again at most when the daemon ends without a word: those
        that it has and of which that is not written down.
    @ivar spec: as the daemon is told of it.
    @ivar alone: for what takes a while.
    @ivar missing: what has to be installed before it can be.
    """

    name: str
    window = 64
    spec: str
    missing: str | None = None

    def __init__(self, reactor: Any, ledger: Ledger, folder: Path) -> None:
        self.reactor = reactor
        self.ledger = ledger
        self.folder = folder
        self.alone = DeferredLock()

    @property
    def excuse(self) -> Any:
        return self.ledger.excuses[self.name]

    async def start(self) -> None:
        """Be there."""

    async def trouble(self, chance: random.Random) -> None:
        """Do something wrong."""

    async def mend(self) -> None:
        """Do everything right from now on."""

    async def look(self) -> None:
        """Tell the ledger what came, where it does not hear of it at once."""

    async def stop(self) -> None:
        """Be gone."""

    def wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)


class Hook(Place, Resource):
    """
    A web server. It has a call when it has said so.

    @param format: the webhook's.
    """

    name = "webhook"
    window = 64 + 4 * 8
    isLeaf = True
    modes = ("busy", "limits", "hangs", "resets", "slow", "half", "away", "refuses")

    def __init__(self, reactor: Any, ledger: Ledger, folder: Path, format: str, name: str) -> None:
        Place.__init__(self, reactor, ledger, folder)
        Resource.__init__(self)
        self.name = name
        self.mode, self.share = "good", 0.0
        self.chance = random.Random(1)
        self.hanging: list[Request] = []
        self.secret = folder / "webhook.secret"
        self.secret.write_text(_SECRET)
        self.number = 0
        self._format = format

    async def start(self) -> None:
        site = QuietSite(self, timeout=60)
        self.port = self.reactor.listenTCP(self.number, site, interface="127.0.0.1")
        self.number = self.port.getHost().port
        self.spec = f"webhook{self._format}:http://127.0.0.1:{self.number}/{_PATH}/{self.name}"

    async def trouble(self, chance: random.Random) -> None:
        self.mode = chance.choice(self.modes)
        self.share = chance.choice([0.2, 1.0]) if self.mode != "refuses" else 0.05
        self.chance.seed(chance.random())
        if self.mode == "away":
            self.excuse.unordered = True
            await maybeDeferred(self.port.stopListening)

    async def mend(self) -> None:
        self.mode = "good"
        if self.port.disconnected:
            await self.start()
        hanging, self.hanging = self.hanging, []
        for request in hanging:
            request.transport.abortConnection()

    async def stop(self) -> None:
        await self.mend()
        await maybeDeferred(self.port.stopListening)

    def render_POST(self, request: Request) -> Any:
        body = request.content.read()
        key = request.getHeader("idempotency-key")
        notification = json.loads(body)
        if not self._format:
            if notification["key"] != key:
                raise BrokenPromise(f"{self.name}: {key} is the key of {notification['key']}")
            notification = notification["notification"]
        stamp = int(request.getHeader("webhook-timestamp"))
        if request.getHeader("webhook-signature") != signature(
            readSecret(_SECRET), key, stamp, body
        ):
            raise BrokenPromise(f"{self.name}: {key} is signed wrongly")
        trace = notification["traceid"]
        mode = self.mode if self.chance.random() < self.share else "good"
        if mode not in ("good", "slow"):
            self.ledger.counts[f"{self.name} {mode}"] += 1
            self.excuse.disordered.add(trace)
        return getattr(self, f"_{mode}")(request, trace, key)

    def _good(self, request: Request, trace: str, key: str) -> bytes:
        self.ledger.arrived(self.name, trace, key, time.time())
        request.setResponseCode(204)
        return b""

    def _slow(self, request: Request, trace: str, key: str) -> int:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def later() -> None:
            if gone:
                self.excuse.disordered.add(trace)
            else:
                self._good(request, trace, key)
                request.finish()

        self.reactor.callLater(self.chance.uniform(0.01, 0.5), later)
        return NOT_DONE_YET

    def _busy(self, request: Request, *_: str) -> bytes:
        request.setResponseCode(503)
        request.setHeader("retry-after", str(self.chance.randint(0, 2)))
        return b"busy"

    def _limits(self, request: Request, *_: str) -> bytes:
        request.setResponseCode(429)
        request.setHeader("retry-after", formatdate(time.time() + 2, usegmt=True))
        return b""

    def _refuses(self, request: Request, trace: str, _: str) -> bytes:
        self.excuse.dead.add(trace)
        request.setResponseCode(400)
        return b""

    def _hangs(self, request: Request, *_: str) -> int:
        request.notifyFinish().addErrback(lambda _: None)
        self.hanging = [r for r in self.hanging if r.channel is not None]
        self.hanging.append(request)
        return NOT_DONE_YET

    def _resets(self, request: Request, *_: str) -> int:
        request.notifyFinish().addErrback(lambda _: None)
        request.transport.abortConnection()
        return NOT_DONE_YET

    def _half(self, request: Request, *_: str) -> int:
        request.notifyFinish().addErrback(lambda _: None)
        request.transport.write(b"HTTP/1.1 204 No Cont")
        request.transport.loseConnection()
        return NOT_DONE_YET

    _away = _resets


class Exec(Place):
    """A program, which writes each call into a file of its own."""

    name = "exec"
    window = 64 + 4 * 4

    async def start(self) -> None:
        for name in ("taken", "failed"):
            (self.folder / name).mkdir()
        self._is("works")
        self._read = 0
        script = self.folder / "take.sh"
        script.write_text(_SCRIPT)
        self.spec = f"exec:/bin/sh {script} {self.folder}"

    def _is(self, mode: str) -> None:
        new = self.folder / "mode.new"
        new.write_text(mode + "\n")
        new.rename(self.folder / "mode")

    async def trouble(self, chance: random.Random) -> None:
        self._is(chance.choice(["fails", "hangs", "dies"]))

    async def mend(self) -> None:
        self._is("works")

    async def look(self) -> None:
        order = self.folder / "order"
        if order.exists():
            with order.open() as file:
                file.seek(self._read)
                text = file.read()
            text = text[: text.rfind("\n") + 1]
            self._read += len(text)
            for name in text.split():
                self._taken(self.folder / "taken" / name)
        for path in (self.folder / "failed").iterdir():
            # Which call that was is known when it came, if only later.
            traces = self.ledger.traces(path.name.partition(".")[0])
            if traces:
                self.excuse.disordered.update(traces)
                path.unlink()

    def _taken(self, path: Path) -> None:
        # Half a name is none: the disk was full.
        if path.exists():
            record, at = json.loads(path.read_text()), path.stat().st_mtime
            path.unlink()
            self.ledger.arrived(self.name, record["notification"]["traceid"], record["key"], at)


class Lines(Place):
    """
    A file, which is moved away now and then.

    @param format: the sink's.
    """

    window = 64 + 4 * 256

    def __init__(self, reactor: Any, ledger: Ledger, folder: Path, format: str, name: str) -> None:
        super().__init__(reactor, ledger, folder)
        self.name = name
        self.path = folder / f"{name}.jsonl"
        self.spec = f"file{format}:{self.path}"
        self.torn = 0
        self._moved = 0
        self._read: dict[int, int] = {}

    def rotate(self) -> None:
        """As logrotate does; SIGHUP follows."""
        if self.path.exists():
            self._moved += 1
            self.path.rename(f"{self.path}.{self._moved}")

    async def look(self) -> None:
        # Who writes now has all that was moved away before behind it.
        moved = [Path(f"{self.path}.{n}") for n in range(1, self._moved + 1)]
        for path in (*moved, self.path):
            if path.exists():
                self._lookAt(path)

    def forget(self) -> None:
        """Nobody writes to what was moved away any more."""
        for number in range(1, self._moved + 1):
            path = Path(f"{self.path}.{number}")
            if path.exists():
                self._lookAt(path)
                self._read.pop(path.stat().st_ino)
                path.unlink()

    def _lookAt(self, path: Path) -> None:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.seek(self._read.get(inode, 0))
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[inode] = self._read.get(inode, 0) + len(whole)
        for line in whole.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                self.torn += 1
                continue
            key = record.get("key") or record["id"]
            notification = record.get("notification") or record["data"]
            self.ledger.arrived(self.name, notification["traceid"], key)


class Redis(Place):
    """A Redis of its own, which writes each command to its disk."""

    name = "redis"
    window = 64 + 4 * 64
    missing = None if all(_REDIS) else "apt-get install redis-server"

    async def start(self) -> None:
        self._port, self._last = freePort(), "0-0"
        password = self.folder / "redis.password"
        password.write_text(_PASSWORD)
        home = self.folder / "redis"
        home.mkdir()
        self._command = [
            *(str(_REDIS[0]), "--bind", "127.0.0.1", "--port", str(self._port)),
            *("--save", "", "--dir", str(home), "--requirepass", _PASSWORD),
            *("--appendonly", "yes", "--appendfsync", "always"),
        ]
        self.spec = f"redis:redis://127.0.0.1:{self._port}/calls?password-file={password}&timeout=3"
        await self._begin()

    async def _begin(self) -> None:
        self._program = Program()
        self.reactor.spawnProcess(self._program, self._command[0], self._command, env={}, path="/")
        await self._program.until("Ready to accept connections")

    async def trouble(self, chance: random.Random) -> None:
        self.excuse.unordered = True
        self.excuse.repeats += 2 * 64
        how = chance.choice(["KILL", "TERM", "STOP"])
        if how == "STOP":
            self._program.transport.signalProcess(signal.SIGSTOP)
            await self.wait(chance.uniform(0.5, 5.0))
            self._program.transport.signalProcess(signal.SIGCONT)
        else:
            await self._program.signal(how)
            await self.wait(chance.uniform(0.0, 3.0))
            await self._begin()

    async def look(self) -> None:
        while True:
            words = ["XRANGE", "calls", f"({self._last}", "+", "COUNT", "1000"]
            out, err, status = await getProcessOutputAndValue(
                str(_REDIS[1]),
                ("-p", str(self._port), "--json", *words),
                env={"REDISCLI_AUTH": _PASSWORD},
                reactor=self.reactor,
            )
            if status:
                raise AssertionError((out + err).decode())
            found = json.loads(out)
            for id, pairs in found:
                fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
                notification = json.loads(fields["call"])["notification"]
                at = int(id.partition("-")[0]) / 1000
                self.ledger.arrived(self.name, notification["traceid"], fields["key"], at)
                self._last = id
            if len(found) < 1000:
                return

    async def stop(self) -> None:
        if not self._program.ended.called:
            await self._program.signal("KILL")


class Amqp(Place):
    """A RabbitMQ of its own; starting it takes ten seconds."""

    name = "amqp"
    window = 64 + 4 * 64

    def __init__(self, reactor: Any, ledger: Ledger, folder: Path) -> None:
        super().__init__(reactor, ledger, folder)
        try:
            from .interop.rabbitmq import SKIP
        except ImportError as e:
            self.missing = f"pip install {e.name}"
        else:
            self.missing = SKIP

    async def start(self) -> None:
        from .interop.rabbitmq import rabbitMq

        self._rabbit = rabbitMq()
        await self._rabbit.ready()

        def queue() -> None:
            channel = self._rabbit.channel()
            channel.queue_declare("calls", durable=True)
            channel.connection.close()

        await deferToThread(queue)
        where = f"127.0.0.1:{self._rabbit.port}"
        self.spec = f"amqp:amqp://{where}/?exchange=&routing-key=calls&timeout=3"

    async def trouble(self, chance: random.Random) -> None:
        self.excuse.unordered = True
        self.excuse.repeats += 2 * 64
        if chance.random() < 0.5:
            self._rabbit.kill()
        else:
            await self._rabbit.stop()
        await self.wait(chance.uniform(0.0, 3.0))
        self._rabbit.start()
        await self._rabbit.ready()

    async def look(self) -> None:
        for _, properties, body in await deferToThread(self._rabbit.drain, "calls"):
            record = json.loads(body)
            key = properties.message_id
            self.ledger.arrived(self.name, record["notification"]["traceid"], key)

    async def stop(self) -> None:
        self._rabbit.kill()


class Kafka(Place):
    """librdkafka's cluster for tests."""

    name = "kafka"
    window = 64 + 4 * 256

    def __init__(self, reactor: Any, ledger: Ledger, folder: Path) -> None:
        super().__init__(reactor, ledger, folder)
        try:
            import confluent_kafka  # noqa: F401
        except ImportError as e:
            self.missing = f"pip install {e.name}"

    async def start(self) -> None:
        from .sinks.kafka_cluster import KafkaCluster

        self._cluster = KafkaCluster()
        self._cluster.createTopic("calls")
        self._offsets = [0, 0, 0]
        self.spec = f"kafka+cloudevents:{self._cluster.brokers}/calls?timeout=5"

    async def trouble(self, chance: random.Random) -> None:
        # No errors: this cluster takes what follows a batch that it answered with one, which no
        # Kafka does, and so librdkafka believes that it has that batch too. What is up is not to
        # be told so: its socket would count twice.
        self.excuse.unordered = True
        self.excuse.repeats += 256
        if chance.random() < 0.5:
            self._cluster.delay(chance.uniform(0.0, 1.5))
        else:
            self._cluster.down()
            await self.wait(chance.uniform(0.5, 10.0))
            self._cluster.up()

    async def mend(self) -> None:
        self._cluster.delay(0.0)

    async def look(self) -> None:
        for message in await deferToThread(self._read):
            event = json.loads(message.value())
            self.ledger.arrived(self.name, event["data"]["traceid"], event["id"])

    def _read(self) -> list[Any]:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(
            {
                "bootstrap.servers": self._cluster.brokers,
                "group.id": "soak",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        found, ended = [], set[int]()
        try:
            consumer.assign([TopicPartition("calls", n, at) for n, at in enumerate(self._offsets)])
            while len(ended) < len(self._offsets):
                message = consumer.poll(20)
                if message is None:
                    break
                if message.error() is None:
                    found.append(message)
                    self._offsets[message.partition()] = message.offset() + 1
                elif message.error().name() == "_PARTITION_EOF":
                    ended.add(message.partition())
        finally:
            consumer.close()
        return found

    async def stop(self) -> None:
        self._cluster.stop()


def places(
    reactor: Any, ledger: Ledger, folder: Path, without: Collection[str] = ()
) -> tuple[list[Place], list[str]]:
    """
    @param without: the names of those that are not wanted.
    @return: those that can be had here, and in words what is left out.
    """
    every: list[Place] = [
        Lines(reactor, ledger, folder, "", "file"),
        Lines(reactor, ledger, folder, "+cloudevents", "other file"),
        Hook(reactor, ledger, folder, "", "hook"),
        Hook(reactor, ledger, folder, "+cloudevents-binary", "other-hook"),
        Exec(reactor, ledger, folder),
        Redis(reactor, ledger, folder),
        Amqp(reactor, ledger, folder),
        Kafka(reactor, ledger, folder),
    ]
    for place in every:
        if place.name in without:
            place.missing = "not wanted"
    left = [f"{place.name} ({place.missing})" for place in every if place.missing]
    return [place for place in every if not place.missing], left
