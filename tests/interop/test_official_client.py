"""
The official JavaScript client, unmodified, on our sandbox; and beside ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue

from iris_twisted.sandbox import Sandbox

from ..network import RID, NetworkCase
from ..processes import Program
from ..test_documentation import DOCS

HERE = Path(__file__).resolve().parent / "javascript"
NODE, NPM, CHROMIUM = map(shutil.which, ("node", "npm", "chromium"))
PACKAGES = ("axe-core", "iris-js-sdk", "playwright-core", "ws")
# Installed once for all interpreters of a CI run, outside of the checkout.
MODULES = Path(tempfile.gettempdir()) / f"iris-twisted-interop-{os.getuid()}"


class Official(Program):
    """The official client in Node."""

    def events(self, name: str) -> list[list[Any]]:
        """The arguments of each event of that name so far."""
        lines = [json.loads(line) for line in self.stdout.splitlines() if line.endswith("}")]
        return [line["args"] for line in lines if line["name"] == name]

    def do(self, name: str, *args: Any) -> None:
        """Give it a command."""
        self.transport.write(json.dumps({"name": name, "args": args}).encode() + b"\n")

    async def next(self, name: str, count: int) -> list[Any]:
        """The arguments of the event number C{count} of that name."""
        while len(self.events(name)) < count:
            before = len(self.stdout)
            happened: Deferred[None] = Deferred()
            self._hear = happened
            if len(self.stdout) == before:
                await happened
        return self.events(name)[count - 1]

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        heard, self._hear = self._hear, None
        if heard is not None:
            heard.callback(None)

    _hear: Deferred[None] | None = None


async def modules() -> Path:
    """The folder with the packages from npm and our scripts, made where it is missing."""
    MODULES.mkdir(mode=0o700, exist_ok=True)
    for script in HERE.iterdir():
        shutil.copy(script, MODULES)
    if not all((MODULES / "node_modules" / name).exists() for name in PACKAGES):
        install = ["install", "--no-audit", "--no-fund", "--no-save", "--silent"]
        out, err, status = await getProcessOutputAndValue(
            str(NPM), install, env=dict(os.environ), path=str(MODULES)
        )
        if status != 0:
            raise AssertionError(f"npm install: {(out + err).decode()}")
    shutil.copy(MODULES / "node_modules" / "iris-js-sdk" / "dist" / "iris-js-sdk.js", MODULES)
    return MODULES


class OfficialCase(NetworkCase):
    """iris-js-sdk 3.5.23 from npm, on the sandbox."""

    timeout = 120
    skip = None if NODE and NPM else "Node is missing: apt-get install nodejs npm"

    async def launch(self, script: str, **environment: str) -> Official:
        folder = str(await modules())
        program = Official()
        env = {**os.environ, "DEADLINE": "90", **environment}
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program, str(NODE), [str(NODE), script], env=env, path=folder
        )
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        await program.until("ready")
        return program

    async def start(self, sandbox: Sandbox) -> Official:
        return await self.launch(
            "harness.js",
            SCHEME=sandbox.url.partition("//")[0],
            NODE_EXTRA_CA_CERTS=sandbox.caFile or "",
        )

    async def lives(self, sandbox: Sandbox, official: Official) -> None:
        """It gets a call, rejects it, is dropped, comes back, and ends."""
        call = sandbox.placeCall(RID, caller="+49123")
        (info,) = await official.next("onNotification", 1)
        self.assertEqual(info["userdata"]["data"]["cid"], "+49123")
        official.do("reject", info)
        while call.state != "rejected":
            await official.next("sent", len(official.events("sent")) + 1)
        sandbox.drop("abort")
        await official.next("onConnected", 2)
        self.assertEqual(official.events("onConnectionError"), [])
        self.assertEqual(official.events("pageError"), [])
        official.transport.closeStdin()
        self.assertEqual(await official.ended, 0)

    async def session(self, sandbox: Sandbox) -> Official:
        official = await self.start(sandbox)
        official.do("connect", sandbox.token(RID), RID, sandbox.url.partition("//")[2])
        await official.next("onConnected", 1)
        return official


class InNode(OfficialCase):
    """The bundle under Node."""

    async def test_onTheSandbox(self) -> None:
        """It connects, plain and by TLS, gets a call, rejects it, is dropped and comes back."""
        for tls in (False, True):
            sandbox = await self.sandbox(tls=tls)
            official = await self.session(sandbox)
            await self.lives(sandbox, official)

    async def test_page(self) -> None:
        """Each of its methods, callbacks, events, error codes and settings is on our page about it."""
        bundle = (await modules() / "iris-js-sdk.js").read_text(encoding="utf-8")
        page = (DOCS / "how-to" / "coming-from-iris-js-sdk.md").read_text(encoding="utf-8")
        methods = re.findall(r"^IrisRtcConnection\.prototype\.([a-zA-Z]\w*) =", bundle, re.M)
        codes = re.findall(r"^    (ERR_\w+) ?: ?(-\d+)", bundle, re.M)
        settings = re.search(r"^RtcConfig\.json = \{(.*?)^\}", bundle, re.M | re.S)
        assert settings is not None
        names = {*re.findall(r"^    (\w+):", settings[1], re.M)} - {"urls"}
        urls = re.findall(r"^        (?:/\*)?(\w+): ''", settings[1], re.M)
        events = {*re.findall(r"\bSDK_[A-Za-z]+\b", bundle)}
        self.assertTrue(methods and codes and names and urls and len(events) > 7)
        for method in methods:
            self.assertRegex(page, rf"`{method}[`(]")
        for name in (*names, *(f"urls.{url}" for url in urls), *events):
            self.assertIn(f"`{name}`", page)
        for name, code in codes:
            self.assertRegex(page, rf"`{name}` (?:\| |\(){code}\b")

    async def test_pingsFor20Seconds(self) -> None:
        """Its pings are answered: after 20 seconds it is still connected."""
        sandbox = await self.sandbox()
        official = await self.session(sandbox)
        while len([1 for (sent,) in official.events("sent") if "urn:xmpp:ping" in sent]) < 6:
            await official.next("sent", len(official.events("sent")) + 1)
        self.assertEqual(len(official.events("onConnected")), 1)
        self.assertEqual(official.events("onConnectionError"), [])

    async def test_besideOurs(self) -> None:
        """One call for both gives the same notification, and the same reject."""
        sandbox = await self.sandbox()
        official = await self.session(sandbox)
        ours = self.connection()
        await ours.connect(sandbox.token(RID), RID, sandbox.url)
        ringing = self.next("onNotification")
        sandbox.placeCall(RID)
        (theirs,) = await official.next("onNotification", 1)
        (info,) = await ringing
        self.assertEqual(info, theirs)
        sent: list[bytes] = []
        transport = ours._driver._link._transport
        send = transport.send
        self.patch(transport, "send", lambda message: (sent.append(message), send(message)))
        await ours.rejectSession(info)
        before = len(official.events("sent"))
        official.do("reject", theirs)
        while not (rejects := [s for (s,) in official.events("sent") if 'action="reject"' in s]):
            before += 1
            await official.next("sent", before)
        self.assertEqual(self.normal(sent[0].decode()), self.normal(rejects[0]))

    @staticmethod
    def normal(stanza: str) -> list[str]:
        """An IQ's tags, with its id left out and its attributes in order."""
        tags = re.findall(r"<[^>]*>", re.sub(r' id="[^"]*"', "", stanza))
        return [" ".join(sorted(re.findall(r'[^\s<>/]+(?:="[^"]*")?|/', tag))) for tag in tags]


class InABrowser(OfficialCase):
    """The bundle on a page that the sandbox serves, in Chromium."""

    skip = OfficialCase.skip or (None if CHROMIUM else "Chromium: apt-get install chromium")

    async def start(self, sandbox: Sandbox) -> Official:
        return await self.launch(
            "browser.js", CHROMIUM=str(CHROMIUM), PAGE=f"{sandbox.url}/pages/page.html"
        )

    async def test_onTheSandbox(self) -> None:
        """The same as in Node, plain and by TLS."""
        for tls in (False, True):
            sandbox = await self.sandbox(tls=tls, pages=str(await modules()))
            await self.lives(sandbox, await self.session(sandbox))
