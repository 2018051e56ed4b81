"""
The daemon: connections, sinks, health, metrics, logins and reloads, put together.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool
from zope.interface.verify import verifyObject

from iris_twisted.connection.state import ConnectionState
from iris_twisted.daemon import account_set as accountSetModule
from iris_twisted.daemon import daemon as daemonModule
from iris_twisted.daemon.callback_fan_out import CallbackFanOut
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.daemon.daemon import Daemon
from iris_twisted.daemon.named_files import tokensOf
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.daemon.systemd import SystemdNotifier
from iris_twisted.daemon.terminal_output import TerminalOutput
from iris_twisted.errors import ConnectionFailed, IncorrectParameters
from iris_twisted.interfaces import IIrisListener
from iris_twisted.sandbox import Sandbox
from iris_twisted.sinks.webhook import readSecret, signature
from iris_twisted.tap import Options, makeService

from ..doubles import DriftingClock, Recorder
from ..network import NetworkCase
from ..peers import WebServer
from ..processes import Program, startTwist
from .test_services import Output, Reactor

RID = "alice@sandbox.test"


def full(output: Output, text: str) -> int:
    """In the place of C{Output.write}."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class DaemonCase(NetworkCase):
    """A daemon in this process, and a sandbox."""

    async def begin(self, **given: Any) -> Sandbox:
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        given = {"event_manager": sandbox.url, **given}
        await self.run_(sandbox, **given)
        return sandbox

    def configuration(self, token: str | None = None, **given: Any) -> Configuration:
        options = {name.replace("_", "-"): value for name, value in given.items()}
        return Configuration.read(options, {}, options.pop("config", None), token)

    async def run_(self, sandbox: Sandbox, **given: Any) -> None:
        if "accounts" not in given and "config" not in given and "email" not in given:
            given = {"routing_id": RID, **given}
            given.setdefault("token", sandbox.token(RID))
        configuration = self.configuration(**given)
        self.output, self.errors, self.reactor = Output(), Output(), Reactor()
        self.daemon = Daemon(
            configuration,
            tokensOf(configuration),
            self.reactor,
            TerminalOutput(self.output, {}),
            lambda line: self.errors.write(line + "\n") and None,
            {},
        )
        self.daemon.startService()
        self.addCleanup(lambda: self.daemon.running and self.daemon.stopService())
        await self.daemon.started

    async def get(self, url: str) -> tuple[int, str]:
        pool = HTTPConnectionPool(reactor, persistent=False)
        response = await treq.get(url, pool=pool)
        return response.code, await response.text()


class Running(DaemonCase):
    """What happens to calls, and to accounts."""

    async def test_everySink(self) -> None:
        """A call reaches all sinks with one key, and is acknowledged."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        path = Path(self.mktemp()).absolute()
        spool = Path(self.mktemp()).absolute()
        sandbox = await self.begin(
            sink=["stdout", f"file:{path}", f"webhook:{server.url}"], spool=str(spool)
        )
        await self.until(lambda: sandbox.sessions)
        call = sandbox.placeCall(RID, caller="+4412345")
        await self.until(lambda: server.received and path.exists() and path.read_text())
        await self.output.until("+4412345")
        await self.until(lambda: call.state == "acknowledged")
        records = [json.loads(self.output.getvalue()), json.loads(path.read_text())]
        records.append(json.loads(server.received[0][1]))
        self.assertEqual(records[0], records[1])
        self.assertEqual(records[0], records[2])
        self.assertEqual(records[0]["account"], RID)
        self.assertEqual(records[0]["notification"]["roomId"], call.info["roomid"])
        await self.daemon.stopService()

    async def test_notKept(self) -> None:
        """No room in the spool: the caller's server is told so, and nothing is lost on the way."""
        path = Path(self.mktemp()).absolute()
        sandbox = await self.begin(sink=[f"file:{path}"], spool=str(self.mktemp()))
        await self.until(lambda: sandbox.sessions)
        assert self.daemon._outbox is not None
        connection = self.daemon._outbox._store._connection
        connection.execute("PRAGMA query_only = 1")
        answers: list[Any] = []
        answered = sandbox.platform._answered
        self.patch(
            type(sandbox.platform),
            "_answered",
            lambda platform, iq: (answers.append(iq), answered(iq))[1],
        )
        sandbox.placeCall(RID)
        await self.until(lambda: answers)
        (error,) = answers[0].children
        self.assertEqual(error.children[0].name, "resource-constraint")
        self.assertEqual(error.get("type"), "wait")
        connection.execute("PRAGMA query_only = 0")
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged")
        await self.daemon.stopService()
        self.flushLoggedErrors()

    async def test_manyNotKept(self) -> None:
        """However many are refused, the log says so once, and how many at the end."""
        sandbox = await self.begin(sink=["stdout"], spool=str(self.mktemp()))
        await self.until(lambda: sandbox.sessions)
        assert self.daemon._outbox is not None
        self.daemon._outbox._store._connection.execute("PRAGMA query_only = 1")
        with capturedLogs() as logs:
            for _ in range(40):
                sandbox.placeCall(RID)
            await self.until(lambda: self.daemon.fleet.stats.callbackErrors == 40)
            await self.daemon.stopService()
        told = [eventAsText(log, includeTimestamp=False, includeSystem=False) for log in logs]
        lines = [line for line in told if "readonly" in line]
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("onNotification failed: the outbox", lines[0])
        self.assertIn("39 more calls were refused in the last", lines[1])

    async def test_notTaken(self) -> None:
        """Without a spool, what the sink refuses is not acknowledged."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        server.answer = lambda _, __: (404, {})
        sandbox = await self.begin(sink=[f"webhook:{server.url}"])
        await self.until(lambda: sandbox.sessions)
        call = sandbox.placeCall(RID)
        await self.until(lambda: server.received)
        server.answer = lambda _, __: (204, {})
        good = sandbox.placeCall(RID)
        await self.until(lambda: good.state == "acknowledged")
        self.assertEqual(call.state, "ringing")
        self.assertEqual(self.daemon.fleet.stats.callbackErrors, 1)
        await self.daemon.stopService()
        self.flushLoggedErrors()

    async def test_fullStdout(self) -> None:
        """It keeps a call neither from its sinks nor from being acknowledged, if there are some."""
        for output in ("text", "json"):
            for sinks in (True, False):
                sandbox = await self.sandbox()
                path = Path(self.mktemp()).absolute()
                with capturedLogs() as events:
                    given = {"sink": [f"file:{path}"]} if sinks else {}
                    self.patch(Output, "write", full)
                    await self.run_(sandbox, event_manager=sandbox.url, output=output, **given)
                    await self.until(lambda sandbox=sandbox: sandbox.sessions)
                    call = sandbox.placeCall(RID)
                    answered = self.answered(call, events)
                    await self.until(answered)
                    await self.daemon.stopService()
                told = [e for e in events if e["log_level"] >= LogLevel.warn]
                words = [eventAsText(e, includeSystem=False, includeTimestamp=False) for e in told]
                cannot = "stdout cannot be written: No space left on device"
                self.assertEqual(call.state, "acknowledged" if sinks else "ringing")
                self.assertEqual(path.exists(), sinks)
                refused = [] if sinks else [f"onNotification failed: {cannot}"]
                self.assertEqual(sorted(words), [*refused, f"{cannot}; everything else goes on"])

    @staticmethod
    def answered(call: Any, events: list[Any]) -> Callable[[], bool]:
        """Whether a call was acknowledged, or a callback failed."""
        return lambda: call.state != "ringing" or any("callback" in event for event in events)

    async def test_closedStdout(self) -> None:
        """Without a word to anybody it goes on if there are sinks; otherwise it says why not."""
        sandbox = await self.sandbox()
        path = Path(self.mktemp()).absolute()
        arguments = ("iris", "--event-manager", sandbox.url, "--routing-id", RID)
        environment = {"IRIS_TOKEN": sandbox.token(RID)}

        def start(*more: str) -> Program:
            return startTwist(self, *arguments, *more, env=environment, childFDs={0: "w", 2: "r"})

        for more, words in (
            ((), "stdout is closed, and there is no --sink"),
            (("--sink", "stdout+cloudevents"), "sink stdout: stdout is closed"),
        ):
            program = start(*more)
            self.assertEqual(await program.ended, 64)
            self.assertIn(words, program.stderr)
            self.assertNotIn("Traceback", program.stderr)
        program = start("--sink", f"file:{path}")
        await self.until(lambda: program.ended.called or sandbox.sessions)
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged")
        self.assertEqual(len(path.read_text().splitlines()), 1)
        await program.signal("TERM")
        self.assertEqual(program.stderr.count("stdout cannot be written: it is closed"), 1)
        self.assertEqual(program.stderr.count("\n"), 1, program.stderr)

    async def test_metrics(self) -> None:
        """Prometheus reads everything; health and readiness say how it is."""
        path = Path(self.mktemp()).absolute()
        sandbox = await self.begin(
            sink=[f"file:{path}"], spool=str(self.mktemp()), metrics="tcp:0:interface=127.0.0.1"
        )
        port = self.daemon._sites.sites[0]._port.getHost().port
        url = f"http://127.0.0.1:{port}"
        self.assertEqual((await self.get(f"{url}/healthz"))[0], 200)
        await self.until(lambda: sandbox.sessions)
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged" and path.exists())
        sandbox.drop()
        await self.until(lambda: len(sandbox.discoveries) > 1 and sandbox.sessions)
        await self.until(lambda: self.daemon.fleet.stats.reconnects)
        status, text = await self.get(f"{url}/metrics")
        self.assertEqual(status, 200)
        for line in (
            'iris_connections{state="connected"} 1.0',
            'iris_connections{state="reconnecting"} 0.0',
            "iris_connects_total 2.0",
            "iris_reconnects_total 1.0",
            "iris_notifications_total 1.0",
            "iris_callback_errors_total 0.0",
            "iris_acknowledgement_seconds_count 1.0",
            f'iris_sink_deliveries_total{{outcome="taken",sink="file:{path}"}} 1.0',
            f'iris_outbox_calls{{sink="file:{path}",state="waiting"}} 0.0',
            'iris_ping_round_trip_seconds_bucket{le="+Inf"}',
            'iris_build_info{autobahn="',
            "process_resident_memory_bytes",
        ):
            self.assertIn(line, text)
        status, text = await self.get(f"{url}/readyz")
        self.assertEqual((status, json.loads(text)["connections"]["connected"]), (200, 1))
        sandbox.answerDiscovery(503)
        sandbox.drop()
        await self.until(lambda: self.daemon.fleet.stats and not sandbox.sessions)
        await self.until(lambda: self.daemon._readiness()[0] is False)
        status, text = await self.get(f"{url}/readyz")
        self.assertEqual((status, json.loads(text)["ok"]), (503, False))
        self.assertEqual((await self.get(f"{url}/nothing"))[0], 404)
        await self.daemon.stopService()

    async def test_readyShare(self) -> None:
        """Exactly the share that is wanted is enough, and one account less is not."""
        await self.begin()
        configuration, states = self.daemon.configuration, Counter[ConnectionState]()
        self.patch(self.daemon.fleet._totals, "states", states)
        for share, accounts, enough in (
            (0.07, 100, 7),
            (0.55, 100, 55),
            (0.28, 25, 7),
            (0.9, 10, 9),
            (0.0, 10, 1),
            (1 / 3, 10, 4),
            (1.0, 10, 10),
        ):
            self.daemon.configuration = attrs.evolve(
                configuration,
                values={**configuration.values, "ready-share": share},
                accounts=configuration.accounts * accounts,
            )
            found = []
            for connected in (enough - 1, enough):
                states[ConnectionState.CONNECTED] = connected
                found.append(self.daemon._readiness()[0])
            self.assertEqual(found, [False, True], (share, accounts))

    async def test_portInUse(self) -> None:
        """A port that is taken, or a spool that another process has, ends it with a sentence."""
        sandbox = await self.sandbox()
        port = sandbox.url.rpartition(":")[2]
        await self.run_(
            sandbox, event_manager=sandbox.url, metrics=f"tcp:{port}:interface=127.0.0.1"
        )
        await self.reactor.stopped
        self.assertIn(f"cannot listen on tcp:{port}", self.errors.getvalue())
        self.assertIn("is another program using it?", self.errors.getvalue())

    async def test_login(self) -> None:
        """From an app key to a ringing call; a platform that is late is waited for."""
        sandbox = await self.sandbox()
        directory = sandbox.platform.directory
        directory.passwords["alice@mail.test"] = "pass word"
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "app").write_text("app-secret")
        (folder / "password").write_text("pass word\n")
        sandbox.platform.answer = None
        await self.run_(
            sandbox,
            event_manager=sandbox.url,
            auth_manager=sandbox.url,
            identity_manager=sandbox.url,
            notification_manager=sandbox.url,
            app_key="key",
            app_secret_file=str(folder / "app"),
            email="alice@mail.test",
            password_file=str(folder / "password"),
            topics="pstn",
        )
        await self.output.until(f"Connected:     as {RID}")
        sandbox.placeCall(RID, caller="+4412345")
        await self.output.until("+4412345")
        self.assertEqual(len(directory.subscriptions), 1)
        token = next(iter(self.daemon.fleet.accounts.values()))._token
        sandbox.platform.refusedTokens.add(token)
        sandbox.drop()
        await self.until(lambda: directory.logins == 2 and sandbox.sessions)
        await self.daemon.stopService()

    async def test_loginRefused(self) -> None:
        """A wrong password ends it with the status of a refused token."""
        sandbox = await self.sandbox()
        sandbox.platform.directory.passwords["alice@mail.test"] = "other"
        secret = Path(self.mktemp()).absolute()
        secret.write_text("x")
        await self.run_(
            sandbox,
            event_manager=sandbox.url,
            auth_manager=sandbox.url,
            app_key="key",
            app_secret_file=str(secret),
            email="alice@mail.test",
            password_file=str(secret),
            routing_id=RID,
        )
        await self.reactor.stopped
        self.assertIn("Error -116", self.output.getvalue())
        self.assertIn("refused the login", self.output.getvalue())
        await self.daemon.stopService()

    async def test_tokenThatCannotSubscribe(self) -> None:
        """A token file whose token is refused is read again until it is good."""
        sandbox = await self.sandbox()
        path = Path(self.mktemp()).absolute()
        path.write_text(sandbox.token(RID, -1))
        await self.run_(
            sandbox,
            event_manager=sandbox.url,
            routing_id=RID,
            token=None,
            token_file=str(path),
            notification_manager=sandbox.url,
        )
        await self.output.until("Waiting:")
        self.assertIn("Error -116", self.output.getvalue())
        path.write_text(sandbox.token(RID))
        await self.output.until(f"Connected:     as {RID}")
        await self.daemon.stopService()

    async def test_stoppedWhileLoggingIn(self) -> None:
        """Stopping while nobody answers leaves nothing behind."""
        sandbox = await self.sandbox()
        await self.run_(
            sandbox,
            event_manager=sandbox.url,
            token=sandbox.token(RID),
            notification_manager="http://127.0.0.1:1",
        )
        await self.output.until("Waiting:")
        await deferLater(reactor, 0)  # It says so before it waits.
        self.assertIn("the notification manager http://127.0.0.1:1 refused", self.output.getvalue())
        await self.daemon.stopService()


class Reloading(DaemonCase):
    """SIGHUP: the unchanged accounts do not notice."""

    def write(self, sandbox: Sandbox, *names: str, more: str = "", sink: str = "") -> str:
        path = self.folder / "iris.toml"
        text = f'event-manager = "{sandbox.url}"\n{more}\n'
        for name in names:
            token = self.folder / f"{name}.token"
            if not token.exists():
                token.write_text(sandbox.token(f"{name}@sandbox.test"))
            text += f'[[account]]\nrouting-id = "{name}@sandbox.test"\ntoken-file = "{token}"\n'
            text += f"{sink}\n"
        path.write_text(text)
        return str(path)

    def users(self, sandbox: Sandbox) -> list[str]:
        return sorted(session.routingId.partition("@")[0] for session in sandbox.sessions)

    async def test_accounts(self) -> None:
        """Those that left are closed, those that came are connected, the others stay."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b")
        await self.run_(sandbox, config=config)
        await self.until(lambda: self.users(sandbox) == ["a", "b"])
        kept = {s.routingId: s.id for s in sandbox.sessions}
        self.write(sandbox, "b", "c", more="exec-timeout = 3")
        with capturedLogs() as logs:
            new = self.configuration(config=config)
            await self.daemon.adopt(new, tokensOf(new))
        await self.until(lambda: self.users(sandbox) == ["b", "c"])
        ids = {s.routingId: s.id for s in sandbox.sessions}
        self.assertEqual(ids["b@sandbox.test"], kept["b@sandbox.test"])
        said = [
            log["log_format"].format(**log) for log in logs if log["log_level"] is LogLevel.warn
        ]
        self.assertEqual(
            said,
            ["exec-timeout has changed, and needs a restart",
             "reloaded: 2 accounts, 1 of them new, 1 gone"],
        )  # fmt: skip
        # The token of one that stayed is still read again, and of one that left it is not.
        (self.folder / "b.token").write_text(sandbox.token("b@sandbox.test"))
        await self.daemon.stopService()

    async def test_theSameTwice(self) -> None:
        """Who turns out to be an account that is there already is refused, and told so."""
        sandbox = await self.sandbox()
        sandbox.platform.directory.passwords["x@mail.test"] = "pass word"
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        secret = self.folder / "secret"
        secret.write_text("pass word")
        managers = "".join(
            f'{name} = "{sandbox.url}"\n' for name in ("auth-manager", "identity-manager")
        )
        keys = f'app-key = "key"\napp-secret-file = "{secret}"\n'
        config = self.write(sandbox, "x", more=managers + keys)
        await self.run_(sandbox, config=config, console="tcp:0:interface=127.0.0.1")
        await self.until(lambda: self.users(sandbox) == ["x"])
        with open(config, "a") as file:
            file.write(f'[[account]]\nemail = "x@mail.test"\npassword-file = "{secret}"\n')
        new = self.configuration(config=config, console="tcp:0:interface=127.0.0.1")
        with capturedLogs():
            await self.daemon.adopt(new, tokensOf(new))
        await self.output.until("another account is connected as x@sandbox.test already")
        (history,) = self.daemon._callHistory.accounts.values()
        self.assertEqual(history.state.value, "connected")
        await self.daemon.stopService()

    async def test_together(self) -> None:
        """Accounts that go are closed together, not one after the other; it is told meanwhile."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b", "c")
        await self.run_(sandbox, config=config)
        await self.until(lambda: len(self.users(sandbox)) == 3)
        self.write(sandbox, "a")
        new = self.configuration(config=config)
        closing: list[Deferred[None]] = []
        remove = self.daemon.fleet.remove

        def slowly(routingId: str) -> Deferred[None]:
            closed: Deferred[None] = Deferred()
            closing.append(closed)
            return closed.addCallback(lambda _: remove(routingId))

        self.patch(self.daemon.fleet, "remove", slowly)
        self.patch(accountSetModule, "_TELL", 0.01)
        with capturedLogs() as logs:
            adopting = self.daemon.adopt(new, tokensOf(new))
            self.assertEqual(len(closing), 2)
            closing.pop().callback(None)
            await self.until(
                lambda: any(log.get("closed") == 1 and log.get("all") == 2 for log in logs)
            )
            closing.pop().callback(None)
            await adopting
        await self.until(lambda: self.users(sandbox) == ["a"])
        await self.daemon.stopService()

    async def test_stoppedWhileReloading(self) -> None:
        """Who stops while a new sink is asked whether it is there adopts nobody."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a")
        await self.run_(sandbox, config=config, sink=[f"file:{self.folder}/calls"])
        await self.until(lambda: len(self.users(sandbox)) == 1)
        self.write(sandbox, "a", "b")
        more = [f"file:{self.folder}/{name}" for name in ("calls", "more")]
        new = self.configuration(config=config, sink=more)
        checked: Deferred[None] = Deferred()
        self.patch(daemonModule, "checkSinks", lambda sinks: checked)
        with capturedLogs() as logs:
            adopting = self.daemon.adopt(new, tokensOf(new))
            stopping = self.daemon.stopService()
            checked.callback(None)
            await adopting
            await stopping
        self.assertEqual([log for log in logs if "come" in log], [])

    async def test_stoppedWhileClosing(self) -> None:
        """Stopped while those that left are closed: those that were to come do not come."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b")
        await self.run_(sandbox, config=config)
        await self.until(lambda: len(self.users(sandbox)) == 2)
        self.write(sandbox, "b", "c")
        new = self.configuration(config=config)
        closed: Deferred[None] = Deferred()
        self.patch(self.daemon.fleet, "remove", lambda routingId: closed)
        with capturedLogs():
            adopting = self.daemon.adopt(new, tokensOf(new))
            await self.daemon.stopService()
            closed.callback(None)
            await adopting
        self.assertNotIn("c@sandbox.test", self.daemon.fleet.accounts)

    async def test_endedWhileReloading(self) -> None:
        """The last account ends while others are closed: one that is to come keeps it running."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b")
        await self.run_(sandbox, config=config)
        await self.until(lambda: len(self.users(sandbox)) == 2)
        self.write(sandbox, "b", "c")
        new = self.configuration(config=config)
        closed: Deferred[None] = Deferred()
        remove = self.daemon.fleet.remove
        self.patch(
            self.daemon.fleet,
            "remove",
            lambda routingId: closed.addCallback(lambda _: remove(routingId)),
        )
        ended = self.daemon.fleet.accounts["b@sandbox.test"].ended
        with capturedLogs():
            adopting = self.daemon.adopt(new, tokensOf(new))
            ended.callback(ConnectionFailed("no retry cures it"))
            self.assertFalse(self.reactor.stopped.called)
            closed.callback(None)
            await adopting
        await self.until(lambda: self.users(sandbox) == ["b", "c"])
        self.assertFalse(self.reactor.stopped.called)
        await self.daemon.stopService()

    async def test_tokenWrittenWhileReloading(self) -> None:
        """A token that is written while others are closed is used; one that is none is not."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b")
        await self.run_(sandbox, config=config)
        await self.until(lambda: len(self.users(sandbox)) == 2)
        (self.folder / "c.token").write_text(sandbox.token("c@sandbox.test", -5))
        self.write(sandbox, "a", "c", "d")
        new = self.configuration(config=config)
        closed: Deferred[None] = Deferred()
        remove = self.daemon.fleet.remove
        self.patch(
            self.daemon.fleet,
            "remove",
            lambda routingId: closed.addCallback(lambda _: remove(routingId)),
        )
        with capturedLogs() as logs:
            adopting = self.daemon.adopt(new, tokensOf(new))
            (self.folder / "c.token").write_text(sandbox.token("c@sandbox.test"))
            (self.folder / "d.token").write_text("")
            closed.callback(None)
            await adopting
        await self.until(lambda: self.users(sandbox) == ["a", "c", "d"])
        self.assertNotIn("-116", self.output.getvalue())
        said = [log["reason"] for log in logs if "the old token stays" in log["log_format"]]
        self.assertEqual(len(said), 1)
        self.assertIn("d.token", said[0])
        await self.daemon.stopService()

    async def test_readyWhileReloading(self) -> None:
        """Who is ready without those that go is ready while they are closed."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b", "c")
        await self.run_(sandbox, config=config)
        await self.until(lambda: self.daemon._readiness()[0])
        await self.until(lambda: len(self.users(sandbox)) == 3)
        self.write(sandbox, "a")
        new = self.configuration(config=config)
        closed: Deferred[None] = Deferred()
        remove = self.daemon.fleet.remove

        def slowly(routingId: str) -> Deferred[None]:
            removed = remove(routingId)
            return closed.addCallback(lambda _: removed)

        self.patch(self.daemon.fleet, "remove", slowly)
        with capturedLogs():
            adopting = self.daemon.adopt(new, tokensOf(new))
            ready, facts = self.daemon._readiness()
            self.assertEqual((ready, facts["accounts"]), (True, 1))
            closed.callback(None)
            await adopting
        self.assertTrue(self.daemon._readiness()[0])
        await self.daemon.stopService()

    async def test_twice(self) -> None:
        """Two reloads at a time are one after the other."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.write(sandbox, "a", "b", "c")
        await self.run_(sandbox, config=config)
        await self.until(lambda: len(self.users(sandbox)) == 3)
        self.write(sandbox, "d")
        one = self.configuration(config=config)
        self.write(sandbox, "d", "e")
        two = self.configuration(config=config)
        with capturedLogs():
            first = self.daemon.adopt(one, tokensOf(one))
            await self.daemon.adopt(two, tokensOf(two))
            await first
        await self.until(lambda: self.users(sandbox) == ["d", "e"])
        await self.daemon.stopService()

    async def test_sinks(self) -> None:
        """A new sink of an account is used at once."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        more = f'sink = "file:{self.folder}/all"'
        config = self.write(sandbox, "a", more=more)
        await self.run_(sandbox, config=config)
        await self.until(lambda: self.users(sandbox) == ["a"])
        self.write(sandbox, "a", more=more, sink=f'sink = "file:{self.folder}/own"')
        new = self.configuration(config=config)
        with capturedLogs():
            await self.daemon.adopt(new, tokensOf(new))
        await self.until(lambda: self.users(sandbox) == ["a"])
        sandbox.placeCall("a@sandbox.test")
        await self.until(lambda: (self.folder / "own").exists())
        self.assertFalse((self.folder / "all").exists())
        await self.daemon.stopService()

    async def test_newSecret(self) -> None:
        """All webhooks, those that come by a reload too, sign with what the file holds now."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        servers = [await WebServer.start(reactor) for _ in range(2)]
        for server in servers:
            self.addCleanup(server.stop)
        secret = self.folder / "secret"
        secret.write_text("the-old-secret-of-webhooks")
        more = f'webhook-secret-file = "{secret}"\nsink = "webhook:{servers[0].url}"'
        config = self.write(sandbox, "a", more=more)
        await self.run_(sandbox, config=config)
        secret.write_text("the-new-secret-of-webhooks")
        sinks = ", ".join(f'"webhook:{server.url}"' for server in servers)
        self.write(sandbox, "a", more=more, sink=f"sink = [{sinks}]")
        self.daemon.reopen()
        new = self.configuration(config=config)
        with capturedLogs():
            await self.daemon.adopt(new, tokensOf(new))
        await self.until(lambda: self.users(sandbox) == ["a"])
        sandbox.placeCall("a@sandbox.test")
        await self.until(lambda: all(server.received for server in servers))
        key = readSecret(secret.read_text())
        for server in servers:
            ((headers, body),) = server.received
            given = {name.lower(): value for name, value in headers.items()}
            stamp = int(given["webhook-timestamp"])
            made = signature(key, given["webhook-id"], stamp, body)
            self.assertEqual(given["webhook-signature"], made)
        await self.daemon.stopService()

    async def test_signal(self) -> None:
        """SIGHUP reads the file again, beside a spool in use; a mistake in it changes nothing."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        more = f'output = "text"\nsink = "file:{self.folder}/calls"\nspool = "{self.folder}/spool"'
        config = self.write(sandbox, "a", more=more)
        options = Options()
        self.patch(os, "environ", {})
        self.patch(sys, "stdout", output := Output())
        options.parseOptions(["--config", config])
        handler = signal.getsignal(signal.SIGHUP)
        service: Any = makeService(options, Reactor())
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        await self.until(lambda: self.users(sandbox) == ["a"])
        with capturedLogs() as logs:
            Path(config).write_text("nonsense")
            os.kill(os.getpid(), signal.SIGHUP)
            await self.until(lambda: any("not reloaded" in log["log_format"] for log in logs))
            self.write(sandbox, "a", "b", more=more)
            os.kill(os.getpid(), signal.SIGHUP)
            await self.until(lambda: self.users(sandbox) == ["a", "b"])
            sandbox.placeCall("b@sandbox.test")
            await output.until("b@sandbox.test  Call:")
        # Looking at the configuration does not need the daemon to be stopped; another does.
        with self.assertRaises(SystemExit):
            Options().parseOptions(["--config", config, "--check"])
        self.patch(sys, "stderr", io.StringIO())
        with self.assertRaises(SystemExit) as caught:
            Options().parseOptions(["--config", config])
        self.assertEqual(caught.exception.code, 75)
        self.assertIn("another process has the outbox", sys.stderr.getvalue())
        await service.stopService()
        self.assertEqual(signal.getsignal(signal.SIGHUP), handler)


class Systemd(SynchronousTestCase):
    """sd_notify."""

    def socket(self, name: str) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        listening.bind(name)
        self.addCleanup(listening.close)
        return listening

    def heard(self, listening: socket.socket) -> list[str]:
        words = []
        while True:
            try:
                words.append(listening.recv(1000).decode())
            except BlockingIOError:
                return words

    def test_words(self) -> None:
        """READY once, the watchdog at half its time, STOPPING last; by path or abstract name."""
        path = self.mktemp()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        for name, address in ((path, path), (f"\0iris-{os.getpid()}", f"@iris-{os.getpid()}")):
            listening = self.socket(name)
            clock = Clock()
            environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "4000000"}
            notifier = SystemdNotifier(clock, environment, lambda: "all is well")
            notifier.startService()
            clock.advance(2)
            notifier.stopService()
            beat = "STATUS=all is well\nWATCHDOG=1"
            self.assertEqual(self.heard(listening), ["READY=1", beat, beat, "STOPPING=1"])
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_clockSetBack(self) -> None:
        """The watchdog is fed as before while the wall clock is set back: nobody kills us."""
        path = self.mktemp()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        listening, clock = self.socket(path), DriftingClock()
        environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000"}
        notifier = SystemdNotifier(clock, environment, lambda: "all is well")
        clock.advance(1_700_000_000)
        notifier.startService()
        clock.jump(-3600)
        clock.pump([1] * 8)
        notifier.stopService()
        self.assertEqual(len([w for w in self.heard(listening) if "WATCHDOG=1" in w]), 5)

    def test_nobody(self) -> None:
        """Without the variable, or for another process, nothing is said; a lost socket is logged."""
        clock = Clock()
        notifier = SystemdNotifier(clock, {}, str)
        notifier.startService()
        notifier.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])
        other = {
            "NOTIFY_SOCKET": "/nowhere/socket",
            "WATCHDOG_USEC": "4000000",
            "WATCHDOG_PID": "1",
        }
        notifier = SystemdNotifier(clock, other, str)
        with capturedLogs() as logs:
            notifier.startService()
            notifier.stopService()
        self.assertFalse(notifier._watchdog)
        self.assertEqual(len(logs), 3)


class Small(SynchronousTestCase):
    """The small rooms."""

    def test_recipient(self) -> None:
        """Every listener hears everything; the offer answers for the notification."""
        offered: list[Any] = []
        taken: Deferred[None] = Deferred()
        recorders = [Recorder(), Recorder()]
        recipient = CallbackFanOut(recorders, lambda info: (offered.append(info), taken)[1])
        self.assertTrue(verifyObject(IIrisListener, recipient))
        recipient.onConnected()
        recipient.onConnectionError(-106, "x")
        recipient.onDisconnected()
        recipient.onReconnecting()
        recipient.onEvent({})
        recipient.onTokenAboutToExpire(1.0)
        self.assertIs(recipient.onNotification({"a": 1}), taken)
        self.assertEqual(recorders[0].calls, recorders[1].calls)
        self.assertEqual(len(recorders[0].calls), 7)
        self.assertEqual(offered, [{"a": 1}])
        self.assertIsNone(CallbackFanOut([], None).onNotification({}))

    def test_site(self) -> None:
        """A site of which there is no endpoint is refused at once."""
        with self.assertRaises(IncorrectParameters):
            OperatorSite(reactor, "nonsense", None)  # type: ignore[arg-type]
