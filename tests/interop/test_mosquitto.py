"""
The example sink for MQTT, against Mosquitto, through the plugin door.
"""

from __future__ import annotations

import atexit
import getpass
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import trustme
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from twisted.internet import reactor
from twisted.internet.task import deferLater

import twisted.plugins
from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.sinks import CallRecord, SinkContext, makeSink, sinkProviders, testing

from ..faults.proxy import Proxy
from ..network import NetworkCase
from ..processes import Program
from ..samples import sample
from .prosody import freePort

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent.parent / "examples" / "iris-twisted-mqtt"
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PASSWD = shutil.which("mosquitto_passwd")
PASSWORD = "password-of-mosquitto-CANARY"


@lru_cache
def installed() -> str:
    """A folder with the example, installed by pip, which takes its time."""
    folder = tempfile.mkdtemp(prefix="iris-mqtt-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, target = f"{folder}/source", f"{folder}/target"
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target]
    subprocess.run([*command, source], check=True, capture_output=True)
    return target


class AtMosquitto:
    """A Mosquitto of the test's own, and a client of it that has subscribed for calls."""

    skip = None if MOSQUITTO else "Mosquitto is missing: apt-get install mosquitto"

    def install(self: Any) -> Any:
        """Put the example where plugins are found, for this test alone; gives its provider."""
        target = installed()
        self.patch(sys, "path", [*sys.path, target])
        plugins = str(Path(target, "twisted", "plugins"))
        self.patch(twisted.plugins, "__path__", [*twisted.plugins.__path__, plugins])
        return sinkProviders()["mqtt"]

    def asked(self: Any) -> str:
        """The lines of the example's page that ask for a certificate, with our files."""
        lines = "\n".join(sample("examples/iris-twisted-mqtt/README.md", "listener 8883"))
        ours = {
            "listener 8883": f"listener {self.mutual} 127.0.0.1",
            "/etc/mosquitto/clients-ca.pem": self.caFile,
            "/etc/mosquitto": str(self.folder),
        }
        for theirs, our in ours.items():
            lines = lines.replace(theirs, our)
        return lines

    async def mosquitto(self: Any) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.port, self.tls, self.mutual = freePort(), freePort(), freePort()
        self.folder, self.ca = folder, trustme.CA()
        ca = self.ca
        issued = ca.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        self.caFile = str(folder / "ca.pem")
        ca.cert_pem.write_to_path(self.caFile)
        self.passwordFile = folder / "password"
        self.passwordFile.write_text(PASSWORD + "\n")
        users = folder / "users"
        users.write_text(f"iris:{PASSWORD}\n")
        subprocess.run([str(PASSWD), "-U", str(users)], check=True, capture_output=True)
        config = folder / "mosquitto.conf"
        config.write_text(
            # As who started it, who may read what a test wrote.
            f"user {getpass.getuser()}\n"
            f"allow_anonymous false\npassword_file {users}\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nmax_packet_size 300000\n"
            f"listener {self.port} 127.0.0.1\n"
            f"listener {self.tls} 127.0.0.1\n"
            f"certfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n"
            f"{self.asked()}\n"
        )
        program = Program()
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program, str(MOSQUITTO), [str(MOSQUITTO), "-c", str(config)], env={}
        )
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        while "running" not in program.stderr:
            self.assertFalse(program.ended.called, program.stderr)
            await deferLater(reactor, 0)
        self.messages: list[Any] = []
        subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.username_pw_set("iris", PASSWORD)
        client.on_message = lambda _, __, message: self.messages.append(message)
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", self.port)
        client.subscribe("iris/#", qos=1)
        client.loop_start()
        self.addCleanup(client.loop_stop)
        self.addCleanup(client.disconnect)
        self.assertTrue(subscribed.wait(10))


class TestMqtt(AtMosquitto, testing.SinkConformance):
    """What every sink promises."""

    timeout = 120
    # Whoever has subscribed gets it later.
    atOnce = False
    secrets = (PASSWORD,)
    wrongArguments = (
        "",
        "mqtt://127.0.0.1/",
        "mqtt://127.0.0.1/iris/+",
        "mqtt://127.0.0.1/iris/{room}",
        "mqtt://h.test/iris",
        f"mqtt://iris:{PASSWORD}@127.0.0.1/iris",
        "mqtt://iris@127.0.0.1/iris",
        "mqtt://127.0.0.1/iris?durable=perhaps",
        "mqtt://127.0.0.1/iris?qos=2",
        "mqtts://127.0.0.1/iris?certificate-file=/no/where",
        "mqtts://127.0.0.1/iris?key-file=/no/where",
    )

    def setUp(self) -> None:
        super().setUp()
        self.provider = self.install()  # type: ignore[misc]

    async def place(self) -> str:
        await self.mosquitto()
        self.proxy = await Proxy(reactor, self.port).start()
        self.addCleanup(self.proxy.stop)
        rest = f"iris/{{account}}?password-file={self.passwordFile}&timeout=5"
        return f"mqtt://iris@127.0.0.1:{self.proxy.port}/{rest}"

    async def arrived(self, count: int) -> list[Any]:
        while len(self.messages) < count:
            await deferLater(reactor, 0)  # type: ignore[arg-type]
        return [json.loads(message.payload) for message in self.messages]

    async def poison(self) -> CallRecord:
        # Longer than the broker says that it takes.
        return self.record(userdata="x" * 300_000)

    async def wrongPlaces(self) -> list[str]:
        another = Path(self.mktemp()).absolute()
        another.write_text("another\n")
        return [f"mqtt://iris@127.0.0.1:{self.port}/iris/calls?password-file={another}"]

    async def takeAway(self) -> None:
        await self.proxy.stop()

    async def bringBack(self) -> None:
        self.proxy = await Proxy(reactor, self.port).start(self.proxy.port)
        self.addCleanup(self.proxy.stop)


class MosquittoTests(AtMosquitto, NetworkCase):
    """What only MQTT does."""

    timeout = 120
    record = staticmethod(testing.SinkConformance.record)
    takenAgain = testing.SinkConformance.takenAgain

    def context(self) -> SinkContext:
        return SinkContext(reactor=reactor, write=lambda line: None)

    def sink(
        self,
        rest: str = "",
        *,
        where: str = "",
        topic: str = "iris/{account}/{type}",
        **settings: Any,
    ) -> Any:
        where = where or f"mqtt://iris@127.0.0.1:{self.port}"
        context = SinkContext(
            reactor=reactor, write=lambda line: None, settings=Settings(**settings)
        )
        if not rest.startswith("?") and "@" in where:
            rest = f"?password-file={self.passwordFile}{rest}"
        spec = f"mqtt+cloudevents-binary:{where}/{topic}{rest}"
        sink: Any = makeSink(spec, context)
        self.addCleanup(sink.stop)
        return sink

    def setUp(self) -> None:
        super().setUp()
        self.install()

    async def test_message(self) -> None:
        """A topic of one's own for each account; a CloudEvent has its attributes beside it."""
        await self.mosquitto()
        record = self.record("a/+#b@x.test")
        sink = self.sink("&durable=yes")
        self.assertTrue(sink.durable)
        await sink.take(record)
        await self.until(lambda: self.messages)
        (message,) = self.messages
        self.assertEqual(message.topic, "iris/a%2F%2B%23b@x.test/notify")
        self.assertEqual(message.qos, 1)
        self.assertEqual(json.loads(message.payload), record.notification)
        self.assertEqual(message.properties.ContentType, "application/json")
        attributes = dict(message.properties.UserProperty)
        self.assertEqual(attributes["id"], record.key)
        self.assertEqual(attributes["subject"], record.account)

    async def test_mistakes(self) -> None:
        """What is wrong is told, without a secret."""
        await self.mosquitto()
        self.passwordFile.write_text("wrong-CANARY")
        wrong = self.sink()
        with self.assertRaises(IncorrectParameters) as caught:
            await wrong.check()
        self.assertIn("refused the user or its password", caught.exception.message)
        self.passwordFile.write_text(PASSWORD)
        # SIGHUP reads it again.
        wrong.reopen()
        await self.takenAgain(wrong, self.record())
        with self.assertRaises(SinkRefused) as refused:
            await self.sink(topic="elsewhere").take(self.record())
        self.assertIn("nobody has subscribed", refused.exception.message)
        with self.assertRaises(SinkRefused):
            await self.sink().take(self.record("x" * 70_000 + "@x.test"))

    async def test_lost(self) -> None:
        """Whoever hears that a record's connection is lost may give another, and may stop."""
        await self.mosquitto()
        proxy = await Proxy(reactor, self.port).start()
        self.addCleanup(proxy.stop)
        sink = self.sink(where=f"mqtt://iris@127.0.0.1:{proxy.port}")
        await sink.take(self.record())
        again: list[Any] = []

        def failed(failure: Any) -> None:
            failure.trap(NotTaken)
            again.append(sink.take(self.record()))
            again.append(sink.stop())

        taking = sink.take(self.record()).addErrback(failed)
        await proxy.stop()
        await taking
        with self.assertRaises(NotTaken) as caught:
            await again[0]
        # It waits for another connection.
        self.assertIsNotNone(caught.exception.retryAfter)
        await again[1]

    async def test_tls(self) -> None:
        """By TLS, with the CA that is given; another's certificate is refused."""
        await self.mosquitto()
        where = f"mqtts://iris@127.0.0.1:{self.tls}"
        await self.sink(where=where, trustRoot=self.caFile).take(self.record())
        with self.assertRaises(IncorrectParameters) as caught:
            await self.sink(where=where).check()
        self.assertIn("a certificate that cannot be verified", caught.exception.message)

    def certificate(self, ca: trustme.CA, name: str, **how: Any) -> str:
        """The path of one, with its key."""
        path = self.folder / f"{name}.pem"
        issued = ca.issue_cert(common_name=name, **how)
        path.write_bytes(issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes())
        return str(path)

    async def test_certificate(self) -> None:
        """
        It gets the certificate that it asks for, in one file or two, and takes its name for the
        user; without one, or with another's, it is not spoken to.
        """
        await self.mosquitto()
        path = self.certificate(self.ca, "iris")
        where = f"mqtts://127.0.0.1:{self.mutual}"
        key = self.folder / "our-key.pem"
        key.write_bytes(Path(path).read_bytes())
        for rest in f"?certificate-file={path}", f"?certificate-file={path}&key-file={key}":
            await self.sink(rest, where=where, trustRoot=self.caFile).take(self.record())
        await self.until(lambda: len(self.messages) == 2)
        other = self.certificate(trustme.CA(), "other")
        for rest in "", f"?certificate-file={other}":
            sink = self.sink(rest, where=where, trustRoot=self.caFile)
            for asking in sink.check, lambda sink=sink: sink.take(self.record()):
                # The broker's alert may be lost on its way.
                with self.assertRaises((IncorrectParameters, NotTaken)) as caught:
                    await asking()
                self.assertRegex(caught.exception.message, "wants? a certificate of ours")

    async def test_oldTls(self) -> None:
        """In TLS 1.2 the broker says so before we are connected, and it is told all the same."""
        await self.mosquitto()
        make = ssl.create_default_context

        def old(**options: Any) -> ssl.SSLContext:
            context = make(**options)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context

        self.patch(ssl, "create_default_context", old)
        other = self.certificate(trustme.CA(), "other")
        where = f"mqtts://127.0.0.1:{self.mutual}"
        sink = self.sink(f"?certificate-file={other}", where=where, trustRoot=self.caFile)
        with self.assertRaises(IncorrectParameters) as caught:
            await sink.check()
        self.assertRegex(caught.exception.message, "wants? a certificate of ours")

    async def test_renewedCertificate(self) -> None:
        """Its files are read for each connection: what is wrong with them is told, and mended."""
        await self.mosquitto()
        path = self.certificate(self.ca, "iris")
        good = Path(path).read_bytes()
        sink = self.sink(
            f"?certificate-file={path}",
            where=f"mqtts://127.0.0.1:{self.mutual}",
            trustRoot=self.caFile,
        )
        Path(path).write_text("nothing")
        with self.assertRaises(IncorrectParameters) as caught:
            await sink.check()
        self.assertIn(f"certificate in {path!r} cannot be used", caught.exception.message)
        Path(path).write_bytes(good)
        while not self.messages:
            try:
                await sink.take(self.record())
            except NotTaken as e:
                await deferLater(reactor, e.retryAfter or 0.0)  # type: ignore[arg-type]

    async def test_noPlainCertificate(self) -> None:
        """A certificate is for TLS: to ask for one without is a mistake."""
        await self.mosquitto()
        path = self.certificate(self.ca, "iris")
        with self.assertRaises(IncorrectParameters) as caught:
            self.sink(f"?certificate-file={path}", where=f"mqtt://127.0.0.1:{self.port}")
        self.assertIn("mqtt:// is none", caught.exception.message)

    def test_imports(self) -> None:
        """paho is not imported before a sink connects: listing the plugins costs nothing."""
        script = (
            f"import sys; sys.path[:0] = {sys.path!r}\n"
            "from iris_twisted_mqtt import MqttSinks\n"
            "print('paho' in sys.modules)"
        )
        command = [sys.executable, "-c", script]
        out = subprocess.run(command, capture_output=True, check=True, text=True)
        self.assertEqual(out.stdout, "False\n")
