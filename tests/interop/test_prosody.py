"""
Our client on Prosody: SASL, bind, ping, notifications from a client that is not
ours, rejects, and resumption (XEP-0198); by websocket and by a transport that is a
distribution of its own.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import twisted.plugins
from iris_twisted import IrisRtcConnection
from iris_twisted.transport.websocket import WebSocketTransport

from ..doubles import FixedDelay
from ..processes import startTwist
from .prosody import HERE, PASSWORD, Fixed, ProsodyCase

URL = "http://127.0.0.1:1"
TRUSTED = ["bob@sha1.test"]


class Prosody(ProsodyCase):
    """What our client does on it."""

    def place(self) -> dict[str, Any]:
        """Where and how to connect."""
        return {
            "dialect": "framed",
            "discovery": Fixed(f"ws://127.0.0.1:{self.http}/xmpp-websocket"),
        }

    async def connected(self, host: str, **settings: Any) -> IrisRtcConnection:
        options = {**self.place(), "retryPolicy": FixedDelay(0.05), **settings}
        connection = self.connection(**options)
        await connection.connect("any", f"alice@{host}", URL)
        return connection

    async def resumable(self, connection: IrisRtcConnection) -> None:
        await self.until(lambda: connection._driver._link.session.resumption is not None)

    def rooms(self) -> list[str]:
        return [info["roomid"] for (info,) in self.recorder.of("onNotification")]

    async def test_mechanisms(self) -> None:
        """SCRAM-SHA-1, SCRAM-SHA-256, PLAIN and ANONYMOUS; bind; our ping is answered."""
        await self.prosody("sha1.test", "sha256.test", "plain.test")
        for host, anonymous in (
            ("sha1.test", False),
            ("sha256.test", False),
            ("plain.test", False),
            ("anonymous.test", True),
        ):
            connection = await self.connected(host, anonymous=anonymous, pingInterval=0.05)
            self.assertIn(f"@{host}/", connection.jid)
            await self.until(lambda it=connection: it.stats.pingRoundTrip is not None)

    async def test_notifications(self) -> None:
        """Private IQs of a stranger are forbidden, those of a trusted sender ring."""
        await self.prosody("sha1.test")
        for trusted, answer in (([], "forbidden"), (TRUSTED, "result")):
            connection = await self.connected("sha1.test", trustedSenders=trusted)
            sender = await self.sender("bob@sha1.test")
            self.ring(sender, connection.jid)
            await sender.until("all answered")
            self.assertIn(f"0 {answer}", sender.stdout)
            self.assertEqual(connection.stats.forbidden, int(answer == "forbidden"))
        ((info,),) = self.recorder.of("onNotification")
        self.assertEqual(info["userdata"], {"data": {"cname": '<é&">'}})

    async def test_reject(self) -> None:
        """A reject reaches who called, whose answer fires its Deferred."""
        await self.prosody("sha1.test")
        connection = await self.connected("sha1.test", trustedSenders=TRUSTED)
        # ROOM@RTCSERVER/RID: the caller's own full JID, here.
        sender = await self.sender("bob@sha1.test/alice@sha1.test")
        ringing = self.next("onNotification")
        self.ring(sender, connection.jid, room="bob", server="sha1.test")
        (info,) = await ringing
        await connection.rejectSession(info)
        self.assertIn("heard reject bob trace-0", sender.stdout)
        self.assertEqual(connection.stats.rejected, 1)

    async def test_ping(self) -> None:
        """XEP-0199 the other way round: somebody else's ping is answered."""
        await self.prosody("sha1.test")
        connection = await self.connected("sha1.test")
        sender = await self.sender("bob@sha1.test")
        sender.transport.write(f"ping {connection.jid}\n".encode())
        await sender.until("pong")

    async def test_resumption(self) -> None:
        """Over 50 drops, 1,000 notifications arrive exactly once, in order, and are answered."""
        await self.prosody("sha1.test")
        connection = await self.connected("sha1.test", trustedSenders=TRUSTED)
        await self.resumable(connection)
        jid = connection.jid
        sender = await self.sender("bob@sha1.test")
        self.ring(sender, jid, 0, 1000, 0.005)
        chance = random.Random(7)
        for _ in range(50):
            goal = connection.stats.notifications + chance.randrange(1, 30)
            await self.until(lambda goal=goal: connection.stats.notifications >= min(goal, 1000))
            back = self.next("onConnected")
            connection._driver._link._transport.abort()
            await back
        await sender.until("all answered")
        self.assertEqual(self.rooms(), [f"room-{n}" for n in range(1000)])
        self.assertEqual(sender.stdout.count(" result"), 1000)
        self.assertEqual(connection.jid, jid)
        self.assertEqual(connection.stats.reconnects, 50)
        self.assertNotIn("SDK_SessionNotResumed", self.recorder.states())

    async def test_restart(self) -> None:
        """Prosody is restarted under load: the client comes back, and the gap is told."""
        await self.prosody("sha1.test")
        connection = await self.connected("sha1.test", trustedSenders=TRUSTED)
        await self.resumable(connection)
        sender = await self.sender("bob@sha1.test")
        self.ring(sender, connection.jid, 0, 100_000, 0.001)
        await self.until(lambda: connection.stats.notifications > 100)
        lost, back = self.next("onDisconnected"), self.next("onConnected")
        await self.server.signal("KILL")
        await lost
        before = connection.stats.notifications
        # In order and without a gap up to the last one that came.
        self.assertEqual(self.rooms(), [f"room-{n}" for n in range(before)])
        await self.startProsody()
        await back
        (gap,) = [
            e for (e,) in self.recorder.of("onEvent") if e["state"] == "SDK_SessionNotResumed"
        ]
        self.assertGreater(gap["details"]["lostSince"], 0)
        again = await self.sender("bob@sha1.test")
        self.ring(again, connection.jid, 5000, 10)
        await again.until("all answered")
        self.assertEqual(self.rooms()[before:], [f"room-{n}" for n in range(5000, 5010)])


class Counting(WebSocketTransport):
    """Counts how often it is opened."""

    opened = 0

    def open(self, *args: Any) -> Any:
        self.opened += 1
        return super().open(*args)


class Dialect(ProsodyCase):
    """The dialect that Prosody speaks."""

    async def test_foundAndRemembered(self) -> None:
        """
        Prosody 0.12 understands both: C{auto} takes the first, and again after a loss.
        """
        await self.prosody("sha1.test")
        transport = Counting()
        connection = self.connection(
            discovery=Fixed(f"ws://127.0.0.1:{self.http}/xmpp-websocket"),
            transport=transport,
            retryPolicy=FixedDelay(0.05),
            connectTimeout=4.0,
        )
        await connection.connect("any", "alice@sha1.test", URL)
        self.assertEqual(transport.opened, 1)
        self.assertEqual(list(connection._driver._dialects.values()), ["stream"])
        back = self.next("onConnected")
        connection._driver._link._transport.abort()
        await back
        self.assertEqual(transport.opened, 2)
        self.assertEqual(connection.stats.reconnects, 1)


class AnotherTransport(Prosody):
    """The same by the transport of examples/, through the plugin door."""

    def place(self) -> dict[str, Any]:
        if not hasattr(self, "installed"):
            self.installed = self.install()
        return {
            "discovery": Fixed(f"xmpps://127.0.0.1:{self.tls}"),
            "trustRoot": self.caFile,
        }

    def install(self) -> str:
        """Install the example by pip, beside the package, for this test alone."""
        target = str(Path(self.mktemp()).absolute())
        source = str(Path(self.mktemp()).absolute())
        shutil.copytree(HERE.parent.parent / "examples" / "iris-twisted-tcp", source)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target]
        subprocess.run([*command, source], check=True, capture_output=True)
        self.patch(sys, "path", [*sys.path, target])
        plugins = str(Path(target, "twisted", "plugins"))
        self.patch(twisted.plugins, "__path__", [*twisted.plugins.__path__, plugins])
        return target


class SelfHosted(ProsodyCase):
    """The how-to on hosting it yourself, with the configuration that it names."""

    async def test_asTheReadmeSays(self) -> None:
        """An event manager before Prosody: a call from any XMPP client is on the terminal."""
        await self.selfHosted("alice@example.test", "bob@example.test")
        self.assertNotIn("error", self.server.stdout)
        accounts = Path(self.mktemp()).absolute()
        accounts.write_text(
            f'[[account]]\nrouting-id = "alice@example.test"\ntoken = "iris-CANARY"\n'
            f'password = "{PASSWORD}"\n'
        )
        backend = f"ws://127.0.0.1:{self.http}/xmpp-websocket"
        manager = startTwist(
            self,
            *("iris-sandbox", "--port", "0", "--backend", backend, "--accounts", str(accounts)),
        )
        await manager.until("Ctrl-C ends.")
        url = manager.stdout.split("--event-manager ")[1].split()[0]
        options = ("--event-manager", url, "--routing-id", "alice@example.test")
        client = startTwist(
            self,
            *("iris", *options, "--trusted-sender", "bob@example.test", "--dialect", "framed"),
            env={"IRIS_TOKEN": "iris-CANARY"},
        )
        await client.until("Connected:")
        jid = client.stdout.split("Connected:")[1].split("as ")[1].split()[0]
        sender = await self.sender("bob@example.test")
        self.ring(sender, jid)
        await client.until("Call:")
        await sender.until("0 result")
        # Another token gets nothing.
        refused = startTwist(self, "iris", *options, env={"IRIS_TOKEN": "wrong"})
        self.assertEqual(await refused.ended, 77)
        self.assertNotIn("CANARY", manager.stdout + manager.stderr + client.stdout + client.stderr)
