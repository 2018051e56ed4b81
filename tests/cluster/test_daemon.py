"""
C{twist iris --cluster}: how it starts, what it says, and what operators see.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from iris_twisted.cluster import accounts
from iris_twisted.cluster.conninfo import connect
from iris_twisted.cluster.daemon_member import DaemonMember
from iris_twisted.cluster.interfaces import IPlaceRunner
from iris_twisted.cluster.key_file import Keys
from iris_twisted.cluster.values import ClusterAccount
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.daemon.interfaces import ICluster
from iris_twisted.errors import IncorrectParameters
from iris_twisted.tap import checkCluster

from ..processes import startTwist
from .farm import FarmCase


class _Waiting(FarmCase):
    async def pause(self) -> None:
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]


class Starts(_Waiting):
    """How a member starts, or does not."""

    async def test_empty(self) -> None:
        """Two that start at the same time on an empty database: both join, and share."""
        for name in "ab":
            self.start(name)
        await self.until(lambda: self.shares() == {"a": 0, "b": 0})
        self.add(10)
        await self.balanced(2, 10)

    async def refused(self, *options: str, conninfo: str | None = None) -> str:
        """Start a member that cannot; what it says, in one line."""
        program = self.start("x", *options, conninfo=conninfo)
        self.assertEqual(await program.ended, 69, program.stderr)
        (line,) = program.stderr.splitlines()
        self.assertNotIn("CANARY", line)
        return line

    async def test_password(self) -> None:
        """A wrong password is told, and where to look."""
        self.server.execute("CREATE ROLE someone LOGIN PASSWORD 'right'")
        rules = self.server.folder / "data" / "pg_hba.conf"
        rules.write_text("local all someone scram-sha-256\n" + rules.read_text())
        self.server.execute("SELECT pg_reload_conf()")
        passwords = self.folder / "pgpass"
        passwords.write_text("*:*:*:someone:CANARY\n")
        passwords.chmod(0o600)
        conninfo = f"{self.conninfo} user=someone passfile={passwords}"
        line = await self.refused(conninfo=conninfo)
        self.assertIn("the database refuses the password: check .pgpass", line)

    async def test_readOnly(self) -> None:
        """A standby is told, and what to name instead."""
        self.add(1)
        self.server.stop(signal.SIGINT)
        self.server.beStandby()
        self.server.start()
        line = await self.refused()
        self.assertIn("a read-only standby: name the primary", line)

    async def test_newer(self) -> None:
        """An older program that meets newer tables ends."""
        self.add(1)
        self.server.execute("UPDATE iris_cluster SET version = 99", self.conninfo)
        self.assertIn("use a newer program", await self.refused())

    async def test_sameName(self) -> None:
        """A second process of the same name ends; the first does not notice."""
        self.add(2)
        self.start("x")
        await self.balanced(1, 2)
        first = self.members["x"]
        second = self.start("x")
        self.assertEqual(await second.ended, 69)
        self.assertIn("choose another name with --member", second.stderr)
        self.assertFalse(first.ended.called)
        self.members["x"] = first

    async def test_restartedAtOnce(self) -> None:
        """Who is killed and started again takes its own place when its lease is over."""
        self.add(5)
        self.start("x")
        await self.balanced(1, 5)
        await self.signal("x", "KILL")
        self.start("x")
        await self.until(lambda: not self.sandbox.sessions)
        await self.balanced(1, 5)

    async def test_databaseLater(self) -> None:
        """A member that starts before its database waits for it; SIGTERM ends the wait."""
        self.add(3)
        self.server.stop(signal.SIGINT)
        for name in "xy":
            self.start(name)
        for program in self.members.values():
            while "trying again" not in program.stderr:
                await self.pause()
        self.assertEqual(await self.members.pop("y").signal("TERM"), -signal.SIGTERM)
        self.server.start()
        await self.balanced(1, 3)

    async def test_strictOrder(self) -> None:
        """With --strict-order the calls of an account wait for one that is tried again."""
        self.add(1)
        self.start("x", "--strict-order")
        await self.balanced(1, 1)
        calls = [self.sandbox.placeCall(*self.accounts) for _ in range(3)]
        first, *others = [call.info["traceid"] for call in calls]
        self.receiver.refused.add(first)
        # All are kept, and whatever waited for nothing would have come by then.
        await self.until(lambda: all(call.state == "acknowledged" for call in calls))
        await self.until(lambda: len(self.receiver.tried) > 3)
        self.receiver.refused.clear()
        await self.until(lambda: len(self.receiver.traces) == 3)
        tried = self.receiver.tried
        self.assertEqual(tried, [first] * (len(tried) - 2) + others)

    async def test_reload(self) -> None:
        """SIGHUP reads files again; the accounts are the database's."""
        self.add(3)
        program = self.start("x")
        await self.balanced(1, 3)
        program.transport.signalProcess("HUP")
        self.add(4)
        await self.balanced(1, 4)


class Seen(_Waiting):
    """What operators see of it."""

    async def get(self, port: int, path: str) -> tuple[int, str]:
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = Agent(reactor, pool=pool)
        answer = await treq.get(f"http://127.0.0.1:{port}{path}", agent=agent)
        return answer.code, await answer.text()

    def port(self) -> int:
        """One that is free."""
        from twisted.internet.protocol import Factory

        port: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")  # type: ignore[attr-defined]
        number: int = port.getHost().port
        self.addCleanup(lambda: None)
        port.stopListening()
        return number

    async def test_metrics(self) -> None:
        """Members, places, claims, and whether it is in touch with the database."""
        self.add(4)
        port = self.port()
        self.start("x", "--metrics", f"tcp:{port}:interface=127.0.0.1")
        await self.balanced(1, 4)
        text = ""
        for _ in range(100):
            _, text = await self.get(port, "/metrics")
            # It is what was seen last, perhaps before the claims.
            if "iris_cluster_places_waiting 0.0" in text:
                break
            await self.pause()
        for line in (
            "iris_cluster_in_touch 1.0",
            "iris_cluster_places_owned 4.0",
            "iris_cluster_places_claimed_total 4.0",
            "iris_cluster_calls_fenced_total 0.0",
            'iris_cluster_members{state="live"} 1.0',
            "iris_cluster_places_waiting 0.0",
            "iris_cluster_capacity_missing 0.0",
        ):
            self.assertIn(line, text)
        code, text = await self.get(port, "/readyz")
        self.assertEqual(code, 200)
        facts = json.loads(text)
        self.assertEqual((facts["accounts"], facts["cluster"]["members"]), (4, 1))
        self.server.stop(signal.SIGINT)
        for _ in range(200):
            code, text = await self.get(port, "/readyz")
            if code == 503:
                break
            await self.until(lambda: True)
            await self.pause()
        self.assertEqual(code, 503)
        self.assertFalse(json.loads(text)["cluster"]["inTouch"])
        self.server.start()

    async def test_console(self) -> None:
        """The console of any member shows all members, and of each account where it is."""
        self.add(30)
        port = self.port()
        self.start("a", "--console", f"tcp:{port}:interface=127.0.0.1")
        self.start("b")
        await self.balanced(2, 30)
        code, text = await self.get(port, "/")
        self.assertEqual(code, 200)
        self.assertIn('<a href="cluster">', text)
        for path in ("/cluster", "/cluster.js"):
            code, text = await self.get(port, path)
            self.assertEqual(code, 200, path)
        code, text = await self.get(port, "/cluster.json?words=USER1&page=0")
        seen = json.loads(text)
        self.assertEqual(seen["me"], "a")
        self.assertEqual([m["name"] for m in seen["cluster"]["members"]], ["a", "b"])
        # user1, and user10 to user19.
        self.assertEqual(seen["found"], 11)
        self.assertEqual({a["places"][0]["member"] for a in seen["accounts"]} - {"a", "b"}, set())
        _, text = await self.get(port, "/cluster.json?page=1")
        self.assertEqual(len(json.loads(text)["accounts"]), 5)
        self.server.stop(signal.SIGINT)
        code, text = await self.get(port, "/cluster.json")
        self.assertEqual(code, 503)
        self.assertIn("database", json.loads(text)["message"])
        self.server.start()

    async def test_changes(self) -> None:
        """Another token, other sinks and other accounts arrive within a second or so."""
        self.add(2)
        self.start("x")
        await self.balanced(1, 2)
        name, other = self.accounts
        changed = ClusterAccount(name, "other", sinks=())
        with connect(self.conninfo, "test") as connection, connection.transaction():
            self.assertTrue(accounts.change(connection, Keys(self.key), changed))
        for _ in range(20):
            call = self.sandbox.placeCall(name)
            await self.until(lambda call=call: call.state == "acknowledged", 5)
            marker = self.sandbox.placeCall(other)
            await self.until(
                lambda marker=marker: marker.info["traceid"] in self.receiver.traces, 5
            )
            if call.info["traceid"] not in self.receiver.traces:
                break
            await self.pause()
        else:
            self.fail("its calls still go where all go")
        with connect(self.conninfo, "test") as connection, connection.transaction():
            accounts.remove(connection, [name])
        await self.up(1, 5)

    async def test_drainCommand(self) -> None:
        """A member that is told to hand everything over does, and goes on."""
        self.add(6)
        for name in "ab":
            self.start(name)
        await self.balanced(2, 6)
        self.callAll(20)
        program = startTwist(self, "iris-cluster", "--cluster", self.conninfo, "drain", "a")
        self.assertEqual(await program.ended, 0, program.stderr)
        await self.until(lambda: self.shares() == {"b": 6})
        await self.settled()
        self.assertEqual(self.missed(), [])


class Options(FarmCase):
    """What goes with --cluster, and what does not."""

    def configuration(self, **given: Any) -> Configuration:
        common = {"event-manager": "https://evm.test", "cluster": "host=x", "sink": ["stdout"]}
        named = {name.replace("_", "-"): value for name, value in given.items()}
        return Configuration.read({**common, **named}, {}, None)

    def test_interfaces(self) -> None:
        """What the daemon gets provides its interfaces."""
        configuration = self.configuration(cluster_key_file=self.key)
        cluster = DaemonMember(reactor, configuration, lambda error: None)
        verifyObject(ICluster, cluster)
        verifyObject(IPlaceRunner, cluster.connections)

    def test_mistakes(self) -> None:
        """Each is named."""
        for given, words in (
            ({}, "--cluster needs --cluster-key-file"),
            ({"cluster_key_file": "k", "event_manager": None}, "--cluster needs --event-manager"),
            ({"cluster_key_file": "k", "spool": "s"}, "--cluster and --spool exclude each other"),
            ({"cluster_key_file": "k", "routing_id": "a@x"}, "--routing-id exclude each other"),
            ({"cluster_key_file": "k", "accounts": "a"}, "--accounts exclude each other"),
        ):
            with self.assertRaises(IncorrectParameters) as caught:
                self.configuration(**{k: v for k, v in given.items() if v is not None}) if (
                    "event_manager" not in given
                ) else Configuration.read({"cluster": "host=x", "cluster-key-file": "k"}, {}, None)
            self.assertIn(words, caught.exception.message)
        with self.assertRaises(IncorrectParameters) as caught:
            Configuration.read({"member": "m"}, {}, None)
        self.assertIn("--member needs --cluster", caught.exception.message)

    def test_password(self) -> None:
        """A password in the connection string is refused, and not repeated."""
        configuration = self.configuration(
            cluster="host=x password=CANARY", cluster_key_file=self.key
        )
        with self.assertRaises(IncorrectParameters) as caught:
            checkCluster(configuration)
        self.assertIn("--cluster must not hold a password", caught.exception.message)
        self.assertIn(".pgpass", caught.exception.message)
        self.assertNotIn("CANARY", caught.exception.message)
        checkCluster(self.configuration(cluster_key_file=self.key))
