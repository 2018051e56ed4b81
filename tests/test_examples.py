"""
The examples, run as their authors would.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from twisted.internet import reactor

import iris_twisted

from .network import RID, NetworkCase
from .peers import WebServer
from .processes import Program
from .test_packaging import ROOT


class Examples(NetworkCase):
    """Each against the sandbox."""

    timeout = 60

    def start(self, name: str, *arguments: str, token: str = "any") -> Program:
        program = Program()
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program,
            sys.executable,
            [sys.executable, str(ROOT / "examples" / name), *arguments],
            env={
                **os.environ,
                "IRIS_TOKEN": token,
                "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
            },
        )
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        return program

    async def test_callScreening(self) -> None:
        """Who matches is rejected, by number or sender; others are let through."""
        sandbox = await self.sandbox()
        program = self.start("call_screening.py", sandbox.url, RID, "+1900*", "spam@*")
        await program.until("screening as")
        for caller, sender, rejected in (
            ("+19005550100", "a@x.test", True),
            ("+12155550100", "spam@x.test", True),
            ("+12155550100", "a@x.test", False),
        ):
            call = sandbox.placeCall(RID, caller=caller, sender=sender)
            wanted = "rejected" if rejected else "acknowledged"
            await self.until(lambda call=call, wanted=wanted: call.state == wanted)  # type: ignore[misc]
        await program.until("let through ['a@x.test', '+12155550100'")
        self.assertEqual(program.stderr, "")

    async def test_webhookBridge(self) -> None:
        """A call is posted and acknowledged; Ctrl-C leaves nothing behind."""
        sandbox = await self.sandbox()
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        spool = os.path.abspath(self.mktemp())
        program = self.start("webhook_bridge.py", sandbox.url, RID, server.url, spool)
        await program.until("connected")
        call = sandbox.placeCall(RID)
        await self.until(lambda: server.received and call.state == "acknowledged")
        record = json.loads(server.received[0][1])
        self.assertEqual(record["notification"]["roomid"], call.info["roomid"])
        await program.signal("INT")
        self.assertEqual(program.stderr, "")

    async def test_probe(self) -> None:
        """0 when healthy, 1 when slow, 2 when not there or not ours."""
        sandbox = await self.sandbox()
        for arguments, status, words in (
            ((sandbox.url, RID), 0, "OK: connected in"),
            ((sandbox.url, RID, "0"), 1, "WARNING: connected in"),
            (("http://127.0.0.1:1", RID), 2, "CRITICAL: the event manager"),
        ):
            program = self.start("probe.py", *arguments)
            self.assertEqual(await program.ended, status, program.stderr)
            self.assertTrue(program.stdout.startswith(words), program.stdout)
            self.assertEqual(program.stderr, "")
        sandbox.answerDiscovery(401, b'{"error": {}}')
        program = self.start("probe.py", sandbox.url, RID)
        self.assertEqual(await program.ended, 2)
        self.assertIn("(-116)", program.stdout)

    async def test_usage(self) -> None:
        """Without arguments each says what it wants."""
        for name in ("call_screening.py", "webhook_bridge.py", "probe.py"):
            program = self.start(name)
            self.assertEqual(await program.ended, 1)
            self.assertIn(f"python {name} EVENT-MANAGER ROUTING-ID", program.stderr)
