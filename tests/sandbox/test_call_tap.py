"""
C{twist iris-call}, as somebody types it.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.server import Site
from twisted.web.static import Data

from ..network import RID, NetworkCase
from ..processes import Program, startTwist


class CallCommand(NetworkCase):
    """Real processes, and a sandbox."""

    timeout = 60

    def call(self, *arguments: str) -> Program:
        return startTwist(self, "iris-call", *arguments)

    async def test_acknowledged(self) -> None:
        """The call is placed as it was asked for; who was there acknowledges it."""
        sandbox = await self.sandbox()
        connection = self.connection()
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        options = ("--from", "bob@x.test", "--caller", "+1555", "--room", "tea", "--topic", "video")
        program = self.call("--sandbox", sandbox.url, *options, RID)
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertEqual(program.stdout, "tea  rings\ntea  was acknowledged\n")
        ((info,),) = self.recorder.of("onNotification")
        self.assertEqual((info["routingid"], info["roomid"]), ("bob@x.test", "tea"))
        self.assertEqual(info["userdata"]["data"]["cid"], "+1555")

    async def test_rejectedAndHungUp(self) -> None:
        """A reject is told; with --hang-up the user hears that the caller is gone."""
        sandbox = await self.sandbox()
        connection = self.connection()
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        self.recorder.react["onNotification"] = connection.rejectSession
        program = self.call("--sandbox", sandbox.url, "--room", "offer", RID)
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertIn("offer  was rejected", program.stdout)
        self.recorder.react.clear()
        cancelled = self.next("onNotification")
        program = self.call("--sandbox", sandbox.url, "--hang-up", "--wait", "0", RID)
        await cancelled
        self.assertEqual(await program.ended, 0, program.stderr)
        self.assertIn("was cancelled", program.stdout)
        self.assertEqual(self.recorder.of("onNotification")[-1][0]["type"], "cancel")

    async def test_tls(self) -> None:
        """A sandbox with TLS is verified by --ca-file."""
        sandbox = await self.sandbox(tls=True)
        program = self.call("--sandbox", sandbox.url, "--ca-file", str(sandbox.caFile), RID)
        self.assertEqual(await program.ended, 69)
        self.assertIn(f"nobody is connected as {RID}", program.stdout)

    async def test_mistakes(self) -> None:
        """Each says what was wrong: 64 for what was typed, 69 for what is not there."""
        sandbox = await self.sandbox()
        for arguments, status, words in (
            ((), 64, "whom to call is missing: USER@DOMAIN"),
            ((RID, "--wait", "1"), 64, "'--wait' stands after the user"),
            (("alice",), 64, "routingId must look like user@domain"),
            (("--wait", "long", RID), 64, "--wait must be a number of seconds"),
            (("--sandbox", "http://sandbox.example.com", RID), 64, "is not encrypted"),
            (("--sandbox", "http://127.0.0.1:1", RID), 69, "refused the connection"),
            (("--sandbox", f"{sandbox.url}/v1", RID), 69, "is it a sandbox?"),
            (("--sandbox", sandbox.url, "--room", "\x01", RID), 69, "does not allow"),
        ):
            program = self.call(*arguments)
            self.assertEqual(await program.ended, status, program.stderr)
            self.assertIn(words, program.stderr)

    async def test_noSandbox(self) -> None:
        """JSON that is no call, of something that is no sandbox, ends it in one sentence."""
        for answer in (b"{}", b"[1]", b"null", b'{"id": 1, "to": "", "roomid": "", "state": ""}'):
            resource = Data(answer, "application/json")
            resource.render_POST = resource.render_GET  # type: ignore[attr-defined]
            resource.isLeaf = True
            port = reactor.listenTCP(  # type: ignore[attr-defined]
                0, Site(resource), interface="127.0.0.1"
            )
            self.addCleanup(port.stopListening)
            origin = f"http://127.0.0.1:{port.getHost().port}"
            program = self.call("--sandbox", origin, RID)
            self.assertEqual(await program.ended, 69, program.stderr)
            words = f"twist iris-call: the sandbox {origin} answered 200; is it a sandbox?\n"
            self.assertEqual(program.stderr, words)
            self.assertEqual(program.stdout, "")

    async def test_interruptedInARequest(self) -> None:
        """Signals end it without a word, while the sandbox does not answer."""
        for signal in ("INT", "TERM"):
            asked: Deferred[None] = Deferred()
            silent = Protocol()
            silent.dataReceived = lambda data, asked=asked: (  # type: ignore[method-assign]
                asked.called or asked.callback(None)
            )
            factory = Factory.forProtocol(lambda silent=silent: silent)  # type: ignore[arg-type]
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
            self.addCleanup(port.stopListening)
            program = self.call("--sandbox", f"http://127.0.0.1:{port.getHost().port}", RID)
            await asked
            await program.signal(signal)
            self.assertEqual((program.stdout, program.stderr), ("", ""))

    async def test_interrupted(self) -> None:
        """Ctrl-C ends it without a traceback, while it waits."""
        sandbox = await self.sandbox()
        connection = self.connection()
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        sandbox.hang("ping")
        self.recorder.react["onNotification"] = lambda info: Deferred()
        program = self.call("--sandbox", sandbox.url, "--room", "r", RID)
        await program.until("r  rings")
        await program.signal("INT")
        self.assertEqual(program.stderr, "")
