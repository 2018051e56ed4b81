"""
Operators of a daemon: when they are needed, what each may do, what a reload changes.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import ssl
import sys
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import treq
import trustme
from twisted.internet import reactor
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool
from twisted.web.resource import Resource

from iris_twisted.daemon.operator_site import OperatorSite, checkEndpoint
from iris_twisted.errors import IncorrectParameters
from iris_twisted.tap import Options, makeService

from ..daemon.test_daemon import RID, DaemonCase
from ..daemon.test_services import Output, Reactor
from ..peers import WebServer
from .test_file import HASH, PASSWORD, write

HERE = "tcp:0:interface=127.0.0.1"


class Needed(SynchronousTestCase):
    """When somebody must be asked who they are."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.operators = write(self.folder / "operators", f"bob:read:{HASH}\n")
        (self.folder / "token").write_text("a-token")
        self.patch(os, "environ", {})

    def parse(self, *arguments: str) -> None:
        token = str(self.folder / "token")
        base = ("-e", "https://evm.example.test", "-r", RID, "-t", token)
        Options().parseOptions([*base, *arguments])

    def refusal(self, *arguments: str) -> str:
        with self.assertRaises(UsageError) as caught:
            self.parse(*arguments)
        self.assertNotIn("\n", str(caught.exception))
        return str(caught.exception)

    def test_endpoints(self) -> None:
        """Loopback and unix sockets need none; what other machines can reach does, in a sentence."""
        for endpoint, here in (
            (HERE, True),
            ("tcp:0:127.0.0.1", True),
            ("tcp:0:interface=localhost", True),
            ("tcp6:0:interface=\\:\\:1", True),
            ("unix:/tmp/x.socket", True),
            ("tcp:0", False),
            ("tcp:0:interface=0.0.0.0", False),
            ("tcp:0:interface=192.0.2.1", False),
            ("tcp6:0", False),
            ("tcp6:0:interface=\\:\\:", False),
        ):
            for name in ("console", "metrics"):
                option = f"--{name}={endpoint}"
                if here:
                    self.parse(option)
                    continue
                self.assertEqual(
                    self.refusal(option),
                    f"--{name} on {endpoint} can be reached from other machines, and needs "
                    "--operators FILE (twist iris-operator makes it), or --open-to-all where a "
                    "proxy asks who may",
                )
                self.parse(option, "--open-to-all")
                self.parse(option, "--operators", self.operators)

    def test_tls(self) -> None:
        """TLS alone lets nobody in who should not be."""
        path = self.folder / "server.pem"
        pem = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem
        pem.write_to_path(str(path))
        text = f"ssl:0:privateKey={path}"
        self.assertIn("needs --operators", self.refusal("--console", text))
        self.parse("--console", text + ":interface=127.0.0.1")

    def test_conflict(self) -> None:
        """Operators of whom nobody is asked are a mistake."""
        words = self.refusal("--operators", self.operators, "--open-to-all")
        self.assertEqual(words, "--operators and --open-to-all exclude each other")

    def test_check(self) -> None:
        """--check reads the file, names the line that is wrong, and shows the path."""
        self.patch(sys, "stdout", output := io.StringIO())
        self.assertRaises(SystemExit, self.parse, "--operators", self.operators, "--check")
        self.assertIn(f'operators = "{self.operators}"', output.getvalue())
        self.assertNotIn("argon2", output.getvalue())
        bad = write(self.folder / "bad", f"bob:read:{HASH}\nal:read:CANARY\n")
        for more in ((), ("--check",)):
            words = self.refusal("--operators", bad, *more)
            self.assertEqual(words.partition(" has")[0], f"{bad}, line 2")
            self.assertNotIn("CANARY", words)
        self.assertIn("cannot be read", self.refusal("--operators", "/no/where"))


class FoundOut(DaemonCase):
    """Endpoints that do not say beforehand where they listen."""

    async def refused(self, site: OperatorSite) -> None:
        with self.assertRaises(IncorrectParameters) as caught:
            await site.listen()
        self.assertIn("needs --operators", caught.exception.message)
        self.assertIsNone(site._port)

    async def test_wrapped(self) -> None:
        """One around another is asked when it listens, before anybody is let in."""
        for endpoint, here in (("haproxy:" + HERE, True), ("haproxy:tcp:0", False)):
            checkEndpoint(endpoint, reactor, "--console")
            site = OperatorSite(reactor, endpoint, Resource(), "--console")
            if here:
                self.assertIn("http://127.0.0.1:", await site.listen())
                await site.stop()
            else:
                await self.refused(site)

    async def test_adopted(self) -> None:
        """So is a socket that systemd made."""
        for address, here in (("127.0.0.1", True), ("0.0.0.0", False)):
            listening = socket.socket()
            listening.bind((address, 0))
            listening.listen()
            site = OperatorSite(reactor, HERE, Resource(), "--console")
            # What the endpoint systemd: gives; it closes the descriptor.
            site._listener = AdoptedStreamServerEndpoint(
                reactor, listening.detach(), socket.AF_INET
            )
            if here:
                self.assertIn("http://127.0.0.1:", await site.listen())
                await site.stop()
            else:
                await self.refused(site)


class Asked(DaemonCase):
    """A daemon that asks."""

    async def daemonWith(self, **given: Any) -> None:
        self.path = Path(self.mktemp()).absolute()
        write(self.path, f"bob:read:{HASH}\nzoë:read,reject:{HASH}\n")
        self.box = await self.begin(operators=str(self.path), console=HERE, metrics=HERE, **given)
        self.metrics, self.console = (
            f"http://127.0.0.1:{site._port.getHost().port}/" for site in self.daemon._sites.sites
        )

    async def ask(
        self, url: str, name: str | None = None, method: str = "GET", **kw: Any
    ) -> tuple[int, str]:
        headers = dict(kw.pop("headers", {}))
        if name is not None:
            pair = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        pool = HTTPConnectionPool(reactor, persistent=False)
        self.response = await treq.request(method, url, headers=headers, pool=pool, **kw)
        return self.response.code, await self.response.text("utf-8")

    async def test_metrics(self) -> None:
        """Metrics are for operators, on loopback too; probes need no password, and hear no name."""
        await self.daemonWith()
        self.assertEqual((await self.ask(self.metrics + "metrics"))[0], 401)
        status, text = await self.ask(self.metrics + "metrics", "bob")
        self.assertEqual(status, 200)
        self.assertIn("iris_build_info", text)
        for name in ("healthz", "readyz"):
            status, text = await self.ask(self.metrics + name)
            self.assertIn(status, (200, 503))
            self.assertNotIn(RID, text)
        await self.daemon.stopService()

    async def test_console(self) -> None:
        """Everything of the console is for operators, and its headers stand on the question too."""
        await self.daemonWith()
        for path in ("", "console.js", "events", "reject", "nothing"):
            self.assertEqual((await self.ask(self.console + path))[0], 401, path)
            policy = self.response.headers.getRawHeaders("content-security-policy", [""])[0]
            self.assertIn("default-src 'none'", policy)
            # A name that is not this machine's is not even asked for a password.
            evil = {"Host": "evil.test"}
            for name in (None, "bob"):
                status, _ = await self.ask(self.console + path, name, headers=evil)
                self.assertEqual(status, 403)
                self.assertFalse(self.response.headers.hasHeader("www-authenticate"))
        status, page = await self.ask(self.console, "bob")
        self.assertIn('<meta name="console-token" content="">', page)
        self.assertEqual((await self.ask(self.console + "console.js", "bob"))[0], 200)
        await self.daemon.stopService()

    async def test_rights(self) -> None:
        """Who may only read cannot reject, not even with the token of who may."""
        await self.daemonWith()
        await self.until(lambda: self.box.sessions)
        call = self.box.placeCall(RID)
        await self.until(lambda: self.daemon._callHistory.calls)
        _, page = await self.ask(self.console, "zoë")
        found = re.search(r'name="console-token" content="([^"]+)"', page)
        assert found is not None
        body, url = b'{"id": 1}', self.console + "reject"
        for token in ("", found[1]):
            headers = {"X-Console-Token": token}
            status, text = await self.ask(url, "bob", "POST", data=body, headers=headers)
            self.assertEqual(status, 403)
            self.assertEqual(
                json.loads(text)["message"], "you may read, and not reject: ask for that right"
            )
        status, _ = await self.ask(url, None, "POST", data=body, headers=headers)
        self.assertEqual(status, 401)
        # The other checks stay, for who may.
        status, _ = await self.ask(url, "zoë", "POST", data=body)
        self.assertEqual(status, 403)
        evil = {**headers, "Origin": "http://evil.test"}
        status, _ = await self.ask(url, "zoë", "POST", data=body, headers=evil)
        self.assertEqual(status, 403)
        self.assertEqual(call.state, "acknowledged")
        with capturedLogs() as logs:
            status, text = await self.ask(url, "zoë", "POST", data=body, headers=headers)
        self.assertEqual((status, json.loads(text)["message"]), (200, "rejected"))
        self.assertEqual(call.state, "rejected")
        (said,) = [log for log in logs if "rejects a call" in log["log_format"]]
        self.assertEqual((said["who"], said["account"]), ("zoë", RID))
        await self.daemon.stopService()

    async def test_deadLetters(self) -> None:
        """Who may only read sees dead letters, and cannot decide about them; who may reject can."""
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        server.answer = lambda _, __: (410, {})
        spool = str(Path(self.mktemp()).absolute())
        with capturedLogs():
            await self.daemonWith(sink=[f"webhook:{server.url}"], spool=spool)
            await self.until(lambda: self.box.sessions)
            self.box.placeCall(RID)
            await self.until(lambda: server.received)
        self.flushLoggedErrors()
        found: dict[str, Any] = {"letters": []}
        while not found["letters"]:
            found = json.loads((await self.ask(self.console + "outbox.json", "bob"))[1])
        self.assertEqual(found["letters"][0]["account"], RID)
        shown = self.daemon._callHistory.ofAccount(RID)["sinks"]
        self.assertEqual(shown, [found["sinks"][0]["sink"]])
        for path in ("outbox.json", "account"):
            self.assertEqual((await self.ask(self.console + path))[0], 401)
        _, page = await self.ask(self.console + "outbox", "bob")
        self.assertIn('<meta name="console-token" content="">', page)
        _, page = await self.ask(self.console + "outbox", "zoë")
        token = re.search(r'name="console-token" content="([^"]+)"', page)
        assert token is not None
        ask = {"data": b'{"all": true}', "headers": {"X-Console-Token": token[1]}}
        for verb in ("retry", "purge"):
            status, text = await self.ask(self.console + verb, "bob", "POST", **ask)
            self.assertEqual(status, 403)
            words = f"you may read, and not {verb}: ask for that right"
            self.assertEqual(json.loads(text)["message"], words)
        server.answer = lambda _, __: (200, {})
        status, _ = await self.ask(self.console + "retry", "zoë", "POST", **ask)
        self.assertEqual(status, 200)
        await self.until(lambda: len(server.received) == 2)
        await self.daemon.stopService()

    async def test_reload(self) -> None:
        """What streams to who was removed ends; who came is let in; a broken file changes nothing."""
        await self.daemonWith()
        pool = HTTPConnectionPool(reactor, persistent=False)
        response = await treq.get(
            self.console + "events", auth=("bob", PASSWORD), pool=pool, unbuffered=True
        )
        pieces: list[bytes] = []
        ending = treq.collect(response, pieces.append)
        await self.until(lambda: pieces)
        write(self.path, f"bob:read:{HASH}\nzoë:read,reject:{HASH}\namy:read:{HASH}\n")
        self.daemon.reopen()
        self.assertEqual((await self.ask(self.console, "amy"))[0], 200)
        self.assertFalse(ending.called)
        write(self.path, "CANARY")
        with capturedLogs() as logs:
            self.daemon.reopen()
        (said,) = [log for log in logs if log["log_level"] is LogLevel.error]
        self.assertEqual(
            said["log_format"].format(**said),
            f"{self.path}, line 1 must be NAME:RIGHTS:HASH; the operators stay as they were",
        )
        self.assertEqual((await self.ask(self.console, "bob"))[0], 200)
        self.assertFalse(ending.called)
        write(self.path, f"zoë:read,reject:{HASH}\namy:read:{HASH}\n")
        self.daemon.reopen()
        await self.assertFailure(ending, Exception)
        await self.until(lambda: not self.daemon._callHistory.watchers)
        self.assertEqual((await self.ask(self.console, "bob"))[0], 401)
        self.assertEqual((await self.ask(self.console, "amy"))[0], 200)
        await self.daemon.stopService()

    async def test_signal(self) -> None:
        """SIGHUP reads them too, even where the rest of the configuration cannot be read."""
        box = await self.sandbox()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        write(folder / "operators", f"bob:read:{HASH}\n")
        (folder / "token").write_text(box.token(RID))
        config = folder / "iris.toml"
        config.write_text(
            f'event-manager = "{box.url}"\nrouting-id = "{RID}"\ntoken-file = "token"\n'
            f'console = "{HERE}"\noperators = "operators"\n'
        )
        options = Options()
        self.patch(os, "environ", {})
        self.patch(sys, "stdout", output := Output())
        options.parseOptions(["--config", str(config)])
        service: Any = makeService(options, Reactor())
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        await output.until("Connected:")
        url = re.findall(r"Console: +(\S+)", output.getvalue())[0]
        self.assertEqual((await self.ask(url, "bob"))[0], 200)
        (folder / "token").unlink()
        write(folder / "operators", f"amy:read:{HASH}\n")
        with capturedLogs() as logs:
            os.kill(os.getpid(), signal.SIGHUP)
            await self.until(lambda: any("not reloaded" in log["log_format"] for log in logs))
        self.assertEqual((await self.ask(url, "bob"))[0], 401)
        self.assertEqual((await self.ask(url, "amy"))[0], 200)
        await service.stopService()

    async def test_warnings(self) -> None:
        """Without TLS, and where nobody is asked, it says what others can do."""
        path = Path(self.mktemp()).absolute()
        write(path, f"bob:read:{HASH}\n")
        for endpoint, given, words in (
            (HERE, {"operators": str(path)}, None),
            ("tcp:0", {"operators": str(path)}, "passwords to http://0.0.0.0:"),
            ("tcp:0", {"open_to_all": True}, "whoever can reach http://0.0.0.0:"),
        ):
            with capturedLogs() as logs:
                await self.begin(console=endpoint, **given)
            said = [
                log["log_format"].format(**log) for log in logs if log["log_level"] is LogLevel.warn
            ]
            self.assertEqual([line.startswith(words or "") for line in said], [True] * bool(words))
            self.assertIn("Console:       http://", self.output.getvalue())
            await self.daemon.stopService()

    async def test_encrypted(self) -> None:
        """By TLS too, to clients that offer protocols, as browsers do; of that nobody is warned."""
        path, pem, ca = (Path(self.mktemp()).absolute() for _ in range(3))
        write(path, f"bob:read:{HASH}\n")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(ca))
        issued = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
        issued.write_to_path(str(pem))
        with capturedLogs() as logs:
            await self.begin(console=f"ssl:0:privateKey={pem}", operators=str(path))
        self.assertEqual([log for log in logs if log["log_level"] is LogLevel.warn], [])
        found = re.search(r"Console: +https://0\.0\.0\.0:(\d+)/", self.output.getvalue())
        assert found is not None
        context = ssl.create_default_context(cafile=str(ca))
        context.set_alpn_protocols(["h2", "http/1.1"])

        def ask(headers: dict[str, str]) -> int:
            with closing(HTTPSConnection("127.0.0.1", int(found[1]), context=context)) as client:
                client.request("GET", "/", headers=headers)
                return client.getresponse().status

        pair = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
        for headers, status in (({}, 401), ({"Authorization": f"Basic {pair}"}, 200)):
            self.assertEqual(await deferToThread(ask, headers), status)
        await self.daemon.stopService()

    async def test_refused(self) -> None:
        """A daemon that was given no choice does not start where others can reach it."""
        await self.begin(console="tcp:0")
        await self.reactor.stopped
        self.assertIn("--console on tcp:0 can be reached", self.errors.getvalue())
        self.assertEqual(self.errors.getvalue().count("\n"), 1)
        self.assertIsNone(self.daemon._sites.sites[0]._port)
        await self.daemon.stopService()
