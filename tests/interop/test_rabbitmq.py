"""
Calls to RabbitMQ, a real one.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trustme
from cloudevents.core.bindings import amqp
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SkipTest

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import CallRecord, SinkContext, testing
from iris_twisted.sinks.amqp import AmqpSinks
from iris_twisted.sinks.formats import formatNamed

from ..faults.proxy import Fault, Proxy
from ..network import NetworkCase
from ..test_documentation import DOCS, fences
from .rabbitmq import SKIP, RabbitMq, rabbitMq

PASSWORD = "password-of-rabbit-CANARY"


class AtRabbitMq:
    """What both cases need; an exchange and a queue of the test's own, all calls in the latter."""

    broker: RabbitMq

    async def broker_(self, queue: str = "classic") -> None:
        self.broker = rabbitMq()
        await self.broker.ready()
        self.exchange = self.queue = f"calls-{secrets.token_hex(4)}"
        channel = self.broker.channel()
        channel.exchange_declare(self.exchange, "topic", durable=True)
        channel.queue_declare(self.queue, durable=True, arguments={"x-queue-type": queue})
        channel.queue_bind(self.queue, self.exchange, "#")
        channel.connection.close()
        self.messages: list[Any] = []

    def drained(self) -> list[Any]:
        self.messages += self.broker.drain(self.queue)
        return self.messages


class TestAmqp(AtRabbitMq, testing.SinkConformance):
    """What every sink promises."""

    skip = SKIP
    timeout = 120
    provider = AmqpSinks()
    secrets = (PASSWORD,)
    wrongArguments = (
        "",
        "http://h.test/",
        "amqp://127.0.0.1:x/?exchange=e",
        f"amqp://guest:{PASSWORD}@127.0.0.1/?exchange=e",
        "amqp://h.test/?exchange=e",
        "amqp://127.0.0.1/",
        "amqp://127.0.0.1/?exchange=",
        "amqp://127.0.0.1/?exchange=e&exchange=e",
        "amqp://127.0.0.1/?exhange=e",
        "amqp://127.0.0.1/?exchange=e&routing-key={room}",
        "amqp://127.0.0.1/?exchange=e&declare=maybe",
        "amqp://127.0.0.1/?exchange=&routing-key=q&declare=topic",
        "amqp://127.0.0.1/?exchange=e&heartbeat=no",
        "amqp://127.0.0.1/?exchange=e&timeout=0",
        "amqp://127.0.0.1/?exchange=e&password-file=/no/where",
        "amqp://iris@127.0.0.1/?exchange=e",
        "amqps://127.0.0.1/?exchange=e&key-file=/no/where",
        "amqps://127.0.0.1/?exchange=e&certificate-file=/no/where",
        "amqp://127.0.0.1/?" + "exchange=" + "e" * 256,
        "amqp://127.0.0.1/?exchange=&routing-key=" + "q" * 256,
        f"amqp://127.0.0.1/{'v' * 256}?exchange=e",
    )

    async def place(self) -> str:
        await self.broker_()
        self.proxy = await Proxy(reactor, self.broker.port).start()
        self.addCleanup(self.proxy.stop)
        return f"amqp://127.0.0.1:{self.proxy.port}/?exchange={self.exchange}&timeout=5"

    async def arrived(self, count: int) -> list[Any]:
        return [json.loads(body) for _, _, body in self.drained()]

    async def takeAway(self) -> None:
        await self.proxy.stop()

    async def bringBack(self) -> None:
        self.proxy = await Proxy(reactor, self.broker.port).start(self.proxy.port)
        self.addCleanup(self.proxy.stop)

    async def poison(self) -> CallRecord:
        # Which no routing key has room for.
        return self.record(f"{'a' * 300}@x.test")

    async def wrongPlaces(self) -> list[str]:
        place = f"amqp://127.0.0.1:{self.broker.port}"
        return [
            f"{place}/?exchange=nowhere",
            f"{place}/?exchange=&routing-key=nowhere",
            f"{place}/nowhere?exchange={self.exchange}",
        ]


class RabbitMqTests(AtRabbitMq, NetworkCase):
    """What only a broker of its kind does."""

    skip = SKIP
    timeout = 180
    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def sink(self, rest: str = "", *, where: str = "", port: int = 0, **settings: Any) -> Any:
        where = where or f"amqp://127.0.0.1:{port or self.broker.port}/"
        argument = f"{where}?exchange={self.exchange}{rest}"
        context = SinkContext(
            reactor=reactor, write=lambda line: None, settings=Settings(**settings)
        )
        sink: Any = AmqpSinks().make(argument, context)
        self.addCleanup(sink.stop)
        return sink

    async def user(self, name: str, *permissions: str) -> str:
        """A user with these permissions; gives the parameter that names the password's file."""
        existing = await self.broker.control("list_users", "--silent")
        if name not in existing:
            await self.broker.control("add_user", name, PASSWORD)
        if permissions:
            await self.broker.control("set_permissions", name, *permissions)
        path = Path(self.mktemp()).absolute()
        path.write_text(PASSWORD + "\n")
        return f"&password-file={path}"

    async def test_page(self) -> None:
        """The commands that the page about brokers gives make a queue, and show what is in it."""
        program = shutil.which("rabbitmqadmin")
        if program is None:
            raise SkipTest("rabbitmqadmin is missing: apt-get install rabbitmq-server")
        await self.broker_()
        port = await self.broker.management()
        said: list[str] = []
        (commands,) = fences(DOCS / "how-to" / "brokers.md", "sh")
        for command in commands.splitlines():
            name, *arguments = shlex.split(command)
            self.assertEqual(name, "rabbitmqadmin")
            if arguments[0] == "get":
                self.exchange = "calls"
                await self.sink().take(self.record("alice@example.com"))
            out, err, status = await getProcessOutputAndValue(
                program, ["--host", "127.0.0.1", "--port", str(port), *arguments], reactor=reactor
            )
            self.assertEqual(status, 0, (out + err).decode())
            said.append(out.decode())
        self.assertIn("iris.alice@example.com.notify", said[-1])
        self.assertEqual(len(self.broker.drain("calls")), 1)

    async def test_message(self) -> None:
        """Persistent, with the key, time, kind and account where AMQP has a place for them."""
        await self.broker_()
        sink = self.sink("&routing-key=calls.{type}.{account}")
        record = self.record("{type}@x.test")
        await sink.take(record)
        ((method, properties, body),) = self.drained()
        self.assertEqual(method.routing_key, "calls.notify.{type}@x.test")
        self.assertEqual(properties.message_id, record.key)
        self.assertEqual(properties.delivery_mode, 2)
        self.assertEqual(properties.timestamp, 1_700_000_000)
        self.assertEqual(properties.app_id, "iris-twisted")
        self.assertEqual(properties.content_type, "application/json")
        self.assertEqual(properties.headers, {"account": "{type}@x.test", "type": "notify"})
        self.assertEqual(body, record.line.encode())
        with self.assertRaises(SinkRefused) as caught:
            await sink.take(self.record("x" * 250 + "@x.test"))
        self.assertIn("longer than 255 bytes", caught.exception.message)

    async def test_cloudEvents(self) -> None:
        """Both modes, as the reader of CloudEvents' own project reads them."""
        await self.broker_()
        record = self.record()
        for mode in ("cloudevents", "cloudevents-binary"):
            context = attrs.evolve(self.context(), format=formatNamed(mode))
            argument = f"amqp://127.0.0.1:{self.broker.port}/?exchange={self.exchange}"
            sink: Any = AmqpSinks().make(argument, context)
            self.addCleanup(sink.stop)
            await sink.take(record)
            _, properties, body = self.drained()[-1]
            event = amqp.from_amqp_event(
                amqp.AMQPMessage(
                    {"content-type": properties.content_type}, properties.headers, body
                )
            )
            self.assertEqual(event.get_id(), record.key)
            self.assertEqual(event.get_data(), record.notification)

    async def test_queue(self) -> None:
        """By the default exchange into a queue that must be there."""
        await self.broker_()
        queue, self.exchange = self.queue, ""
        sink = self.sink(f"&routing-key={queue}")
        await sink.check()
        await sink.take(self.record())
        self.assertEqual(len(self.drained()), 1)
        with self.assertRaises(IncorrectParameters) as caught:
            await self.sink("&routing-key=no-such-queue").check()
        self.assertIn("no queue 'no-such-queue'", caught.exception.message)

    async def test_unroutable(self) -> None:
        """A call that no queue gets is refused; those beside it, at the same time, are taken."""
        await self.broker_()
        channel = self.broker.channel()
        channel.queue_unbind(self.queue, self.exchange, "#")
        channel.queue_bind(self.queue, self.exchange, "iris.#.notify")
        channel.connection.close()
        sink = self.sink()
        await sink.check()
        logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("pika").addHandler(handler)
        self.addCleanup(logging.getLogger("pika").removeHandler, handler)
        records = [self.record(type="notify" if n % 3 else "cancel") for n in range(64)]
        outcomes: list[Any] = []
        for record in records:
            taking: Deferred[Any] = maybeDeferred(sink.take, record)
            outcomes.append(taking.addErrback(lambda failure: failure.value))
        found = await gatherResults(outcomes)
        for record, outcome in zip(records, found, strict=True):
            if record.notification["type"] == "notify":
                self.assertIsNone(outcome)
            else:
                self.assertIsInstance(outcome, SinkRefused)
                self.assertIn("no queue is bound for the routing key", outcome.message)
        keys = {properties.message_id for _, properties, _ in self.drained()}
        self.assertEqual(keys, {r.key for r in records if r.notification["type"] == "notify"})
        self.assertEqual([line for line in logged if "CANARY" in line], [])

    async def test_mistakes(self) -> None:
        """What is wrong is found before the first call, and told without a secret."""
        await self.broker_()
        password = await self.user("iris", ".*", ".*", ".*")
        wrong = Path(self.mktemp()).absolute()
        wrong.write_text("wrong-CANARY")
        here = f"127.0.0.1:{self.broker.port}"
        exchange, self.exchange = self.exchange, "no-such-exchange"
        for sink, words in (
            (self.sink(), "404 NOT_FOUND - no exchange 'no-such-exchange'"),
            (
                self.sink(f"&password-file={wrong}", where=f"amqp://iris@{here}/"),
                "refused the user 'iris' or its password",
            ),
            (
                self.sink(password, where=f"amqp://iris@{here}/no-such-host"),
                "into the virtual host 'no-such-host'",
            ),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                await sink.check()
            self.assertIn(words, caught.exception.message)
            self.assertIn(f"amqp:amqp://{here}", caught.exception.message)
            self.assertNotIn("CANARY", caught.exception.message)
            # A call waits until somebody has mended it.
            with self.assertRaises(NotTaken) as late:
                await sink.take(self.record())
            self.assertNotIsInstance(late.exception, SinkRefused)
            self.assertIn(words, late.exception.message)
        self.exchange = exchange
        with self.assertRaises(IncorrectParameters) as caught:
            await self.sink("&declare=fanout").check()
        self.assertIn("406 PRECONDITION_FAILED", caught.exception.message)
        self.exchange = f"made-{secrets.token_hex(4)}"
        await self.sink("&declare=fanout").check()
        await self.sink().check()

    async def test_notAmqp(self) -> None:
        """Something else that listens there is told as that, or as silence."""
        await self.broker_()
        with self.assertRaises(NotTaken) as caught:
            await self.sink("&timeout=1", port=self.broker.tls).check()
        self.assertIn(f"amqp://127.0.0.1:{self.broker.tls}", caught.exception.message)

    async def test_noPermission(self) -> None:
        """Who may not write is told so at the first call, which waits for the permission."""
        await self.broker_()
        password = await self.user("reader", "", "", ".*")
        sink = self.sink(password, where=f"amqp://reader@127.0.0.1:{self.broker.port}/")
        await sink.check()
        record = self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(record)
        self.assertNotIsInstance(caught.exception, SinkRefused)
        self.assertIn("403 ACCESS_REFUSED", caught.exception.message)
        await self.user("reader", "", ".*", ".*")
        await self.takenAgain(sink, record)
        self.assertEqual(len(self.drained()), 1)

    def context(self) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None)

    async def test_tls(self) -> None:
        """By TLS, with the CA that is given; another's certificate is refused."""
        await self.broker_()
        where = f"amqps://127.0.0.1:{self.broker.tls}/"
        sink = self.sink(where=where, trustRoot=self.broker.caFile)
        await sink.check()
        await sink.take(self.record())
        self.assertEqual(len(self.drained()), 1)
        sink = self.sink(where=where)
        with self.assertRaises(IncorrectParameters) as caught:
            await sink.check()
        self.assertIn("a certificate that cannot be verified", caught.exception.message)
        # A call waits until somebody has mended it.
        with self.assertRaises(NotTaken) as late:
            await sink.take(self.record())
        self.assertNotIsInstance(late.exception, SinkRefused)

    async def test_certificate(self) -> None:
        """It gets the certificate that it asks for, and does not take one of another CA."""
        await self.broker_()
        where = f"amqps://127.0.0.1:{self.broker.tls}/"
        for ca, subject in ((self.broker.ca, "O=trustme"), (trustme.CA(), None)):
            path = str(Path(self.mktemp()).absolute())
            issued = ca.issue_cert("iris.test").private_key_and_cert_chain_pem
            issued.write_to_path(path)
            rest = f"&certificate-file={path}"
            sink = self.sink(rest, where=where, trustRoot=self.broker.caFile)
            if subject is None:
                with self.assertRaises(IncorrectParameters) as caught:
                    await sink.check()
                self.assertIn("wants a certificate of ours", caught.exception.message)
                continue
            await sink.take(self.record())
            shown = await self.broker.control("list_connections", "--silent", "peer_cert_subject")
            self.assertIn(subject, shown)

    async def test_newPassword(self) -> None:
        """SIGHUP reads the password again; what cannot be read is told, and the old one stays."""
        await self.broker_()
        rest = await self.user("changing", ".*", ".*", ".*")
        path = Path(rest.partition("=")[2])
        sink = self.sink(rest, where=f"amqp://changing@127.0.0.1:{self.broker.port}/")
        await sink.take(self.record())
        await self.broker.control("change_password", "changing", "another-CANARY")
        path.write_text("another-CANARY\n")
        with capturedLogs() as events:
            sink.reopen()
            path.unlink()
            sink.reopen()
        (event,) = events
        words = eventAsText(event, includeSystem=False)
        self.assertIn("sink amqp: the password in ", words)
        self.assertIn("cannot be read: No such file or directory; the old one stays", words)
        await self.broker.control("close_all_user_connections", "changing", "because")
        await self.takenAgain(sink, self.record())
        self.assertEqual(len(self.drained()), 2)

    async def test_passwordOfEnvironment(self) -> None:
        """The password may stand in the environment."""
        await self.broker_()
        await self.user("iris", ".*", ".*", ".*")
        self.patch(os, "environ", {**os.environ, "IRIS_AMQP_PASSWORD": PASSWORD})
        await self.sink(where=f"amqp://iris@127.0.0.1:{self.broker.port}/").check()

    async def test_heartbeats(self) -> None:
        """A connection on which nothing comes any more is lost by its heartbeats."""
        await self.broker_()
        proxy = await Proxy(reactor, self.broker.port).start()
        self.addCleanup(proxy.stop)
        sink = self.sink("&heartbeat=1&timeout=1", port=proxy.port)
        await sink.take(self.record())
        proxy.fault = Fault(cutAfter=0, how="blackhole", happened=True)
        with self.assertRaises(NotTaken) as caught:
            await sink.take(self.record())
        self.assertIn("did not confirm the call", caught.exception.message)
        await self.until(lambda: not proxy.sides)
        proxy.fault = Fault()
        await self.takenAgain(sink, self.record())

    async def test_memoryAlarm(self) -> None:
        """While the broker is out of memory calls wait, and none is sent that it will not read."""
        await self.broker_()
        sink = self.sink("&timeout=2")
        await sink.take(self.record())
        await self.broker.control("set_vm_memory_high_watermark", "0.0001")
        self.addCleanup(self.broker.control, "set_vm_memory_high_watermark", "0.4")
        # The broker says so to who publishes.
        second = self.record()
        with self.assertRaises(NotTaken) as caught:
            await sink.take(second)
        self.assertIn("blocked by the broker (low on memory)", caught.exception.message)
        waiting = [Deferred.fromCoroutine(self.takenAgain(sink, self.record())) for _ in range(10)]
        await self.broker.control("set_vm_memory_high_watermark", "0.4")
        await gatherResults(waiting)
        await self.takenAgain(sink, second)
        # The one that it had not read yet came once more, with its key.
        keys = [properties.message_id for _, properties, _ in self.drained()]
        self.assertEqual(len(set(keys)), 12)
        self.assertLessEqual(len(keys), 13)

    async def give(self, sink: Any, queue: list[Any], confirmed: set[str]) -> None:
        """Give one after the other until there is none."""
        while queue:
            record = queue.pop()
            await self.takenAgain(sink, record)
            confirmed.add(record.key)

    async def restarted(self, kind: str, end: Callable[[], Any]) -> None:
        await self.broker_(kind)
        sink = self.sink("&timeout=5")
        records = [self.record(f"user{n % 7}@x.test") for n in range(600)]
        queue, confirmed = list(records), set[str]()
        giving = [
            Deferred.fromCoroutine(self.give(sink, queue, confirmed))
            for _ in range(sink.concurrency)
        ]
        await self.until(lambda: len(confirmed) >= 200)
        before = set(confirmed)
        await maybeDeferred(end)
        self.assertLess(len(confirmed), len(records))
        self.broker.start()
        await gatherResults(giving)
        await self.broker.ready()
        keys = {properties.message_id for _, properties, _ in self.drained()}
        self.assertLessEqual(before, keys)
        self.assertEqual(keys, {record.key for record in records})

    async def test_restart(self) -> None:
        """The broker is killed under load: what was confirmed is there, the rest comes later."""
        await self.restarted("classic", lambda: self.broker.kill())

    async def test_restartQuorum(self) -> None:
        """A quorum queue's broker is stopped under load, by a service manager."""
        # RabbitMQ 3.10 forgets a quorum queue that was made in the seconds before a kill.
        await self.restarted("quorum", lambda: Deferred.fromCoroutine(self.broker.stop()))
