"""
Our client on Prosody: SASL, bind, ping, notifications from a client that is not
ours, and resumption (XEP-0198).
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

import twisted.plugins
from iris_twisted import IrisRtcConnection
from iris_twisted.interfaces import IEventManager
from iris_twisted.values import ServerInfo

from ..doubles import FixedDelay
from ..processes import Program
from ..test_network import NetworkCase

HERE = Path(__file__).resolve().parent
PROSODY = shutil.which("prosody")
PASSWORD = "secret-of-alice-CANARY"
URL = "http://127.0.0.1:1"
MISSING = None if PROSODY else "Prosody is missing: apt-get install prosody"


def freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@implementer(IEventManager)
class Fixed:
    """Discovery that always names Prosody."""

    def __init__(self, server: str) -> None:
        self._info = ServerInfo(server, PASSWORD, "1")

    def discover(self, *_: str) -> Deferred[ServerInfo]:
        return succeed(self._info)


class Prosody(NetworkCase):
    """A Prosody of our own, on free ports, gone when the test is."""

    timeout = 120
    skip = MISSING

    async def prosody(self, *hosts: str) -> None:
        data = Path(self.mktemp()).absolute()
        data.mkdir(parents=True)
        self.http, self.c2s, self.tls = freePort(), freePort(), freePort()
        ca = trustme.CA()
        issued = ca.issue_cert("127.0.0.1", "sha1.test")
        issued.private_key_pem.write_to_path(str(data / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        self.caFile = str(data / "ca.pem")
        ca.cert_pem.write_to_path(self.caFile)
        config = (HERE / "prosody.cfg.lua").read_text()
        for word, value in (
            ("DATA", data),
            ("HTTP", self.http),
            ("C2S", self.c2s),
            ("TLS", self.tls),
        ):
            config = config.replace(f"@{word}@", str(value))
        self.config = data / "prosody.cfg.lua"
        self.config.write_text(config)
        for host in hosts:
            for user in ("alice", "bob"):
                subprocess.run(
                    ["prosodyctl", "--config", str(self.config), "register", user, host, PASSWORD],
                    check=True,
                    capture_output=True,
                )
        await self.startProsody()

    async def startProsody(self) -> None:
        self.server = Program()
        arguments = [str(PROSODY), "-F", "--config", str(self.config)]
        reactor.spawnProcess(self.server, str(PROSODY), arguments, env=None)  # type: ignore[attr-defined]
        self.addCleanup(self.stopProsody)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.http)) == 0:
                    return
            await deferLater(reactor, 0.02)
        self.fail(f"Prosody does not listen:\n{self.server.stdout}\n{self.server.stderr}")

    def stopProsody(self) -> Deferred[int] | None:
        return None if self.server.ended.called else self.server.signal("KILL")

    async def connected(self, host: str, **settings: Any) -> IrisRtcConnection:
        options = {
            "dialect": "framed",
            "discovery": Fixed(f"ws://127.0.0.1:{self.http}/xmpp-websocket"),
            "retryPolicy": FixedDelay(0.05),
            **settings,
        }
        connection = self.connection(**options)
        await connection.connect("any", f"alice@{host}", URL)
        return connection

    def sender(self, host: str, to: str | None, count: int, pause: float = 0.0) -> Program:
        program = Program()
        arguments = [
            sys.executable,
            str(HERE / "slixmpp_sender.py"),
            *map(str, (self.c2s, f"bob@{host}", PASSWORD, to, count, pause)),
        ]
        reactor.spawnProcess(program, sys.executable, arguments, env=None)  # type: ignore[attr-defined]
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        return program

    async def test_mechanisms(self) -> None:
        """SCRAM-SHA-1, SCRAM-SHA-256, PLAIN and ANONYMOUS; bind; ping, both dialects asked for."""
        await self.prosody("sha1.test", "sha256.test", "plain.test")
        for host, settings in (
            ("sha1.test", {}),
            ("sha256.test", {}),
            ("plain.test", {}),
            ("anonymous.test", {"anonymous": True}),
            ("sha1.test", {"dialect": "auto", "connectTimeout": 4.0}),
        ):
            connection = await self.connected(host, pingInterval=0.05, **settings)
            self.assertIn(f"@{host}/", connection.jid)
            while connection.stats.pingRoundTrip is None:
                await deferLater(reactor, 0.01)

    async def test_notifications(self) -> None:
        """Private IQs of a stranger are forbidden, those of a trusted sender ring."""
        await self.prosody("sha1.test")
        for trusted, answer in (([], "forbidden"), (["bob@sha1.test"], "result")):
            connection = await self.connected("sha1.test", trustedSenders=trusted)
            sender = self.sender("sha1.test", connection.jid, 1)
            await sender.until("up")
            sender.transport.write(b"go\n")
            await sender.until("all answered")
            self.assertIn(f"0 {answer}", sender.stdout)
            await sender.ended
        ((info,),) = self.recorder.of("onNotification")
        self.assertEqual(info["userdata"], {"data": {"cname": '<é&">'}})
        await connection.close()

    async def test_resumption(self) -> None:
        """Over 50 drops, 1,000 notifications arrive exactly once, in order, and are answered."""
        await self.prosody("sha1.test")
        await self.resumed()

    async def resumed(self, **settings: Any) -> None:
        trusted = ["bob@sha1.test"]
        connection = await self.connected("sha1.test", trustedSenders=trusted, **settings)
        while connection._driver._link.session.resumption is None:
            await deferLater(reactor, 0.01)
        jid = connection.jid
        sender = self.sender("sha1.test", jid, 1000, 0.01)
        await sender.until("up")
        sender.transport.write(b"go\n")
        chance = random.Random(7)
        for _ in range(50):
            await deferLater(reactor, chance.uniform(0.0, 0.2))
            back = self.next("onConnected")
            connection._driver._link._transport.abort()
            await back
        await sender.until("all answered")
        rooms = [info["roomid"] for (info,) in self.recorder.of("onNotification")]
        self.assertEqual(rooms, [f"room-{n}" for n in range(1000)])
        self.assertEqual(sender.stdout.count(" result"), 1000)
        self.assertEqual(connection.jid, jid)
        self.assertNotIn("SDK_SessionNotResumed", self.recorder.states())
        await sender.ended

    async def test_restart(self) -> None:
        """Prosody is restarted: the client comes back, and the gap is told."""
        await self.prosody("sha1.test")
        connection = await self.connected("sha1.test", trustedSenders=["bob@sha1.test"])
        while connection._driver._link.session.resumption is None:
            await deferLater(reactor, 0.01)
        lost, back = self.next("onDisconnected"), self.next("onConnected")
        await self.server.signal("KILL")
        await lost
        await self.startProsody()
        await back
        self.assertIn("SDK_SessionNotResumed", self.recorder.states())
        self.assertTrue(connection.isConnectionAlive())

    async def test_anotherTransport(self) -> None:
        """The transport of examples/, through the plugin door: the same calls, the same drops."""
        await self.prosody("sha1.test")
        self.install()
        discovery = Fixed(f"xmpps://127.0.0.1:{self.tls}")
        await self.resumed(dialect="auto", discovery=discovery, trustRoot=self.caFile)

    def install(self) -> None:
        """Install the example by pip, beside the package, for this test alone."""
        target = str(Path(self.mktemp()).absolute())
        source = str(Path(self.mktemp()).absolute())
        shutil.copytree(HERE.parent.parent / "examples" / "iris-twisted-tcp", source)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            target,
            source,
        ]
        subprocess.run(pip, check=True, capture_output=True)
        self.patch(sys, "path", [*sys.path, target])
        plugins = str(Path(target, "twisted", "plugins"))
        self.patch(twisted.plugins, "__path__", [*twisted.plugins.__path__, plugins])
