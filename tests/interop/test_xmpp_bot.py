"""
The example of an XMPP bot on floors 2 and 3, on Prosody.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from twisted.internet import reactor

import iris_twisted

from ..processes import Program
from ..test_packaging import ROOT
from .prosody import PASSWORD, ProsodyCase

BOT = ROOT / "examples" / "xmpp_bot.py"


class XmppBot(ProsodyCase):
    """As its user would start it."""

    def start(self, *arguments: str) -> Program:
        program = Program()
        environment = {
            **os.environ,
            "XMPP_PASSWORD": PASSWORD,
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        }
        command = [sys.executable, str(BOT), *arguments]
        reactor.spawnProcess(program, sys.executable, command, env=environment)  # type: ignore[attr-defined]
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        return program

    async def test_talk(self) -> None:
        """It logs in by SCRAM, says back what somebody tells it, and answers what it does not know."""
        await self.prosody("sha1.test")
        bot = self.start(f"ws://127.0.0.1:{self.http}/xmpp-websocket", "alice@sha1.test")
        await bot.until("online as alice@sha1.test/")
        sender = await self.sender("bob@sha1.test")
        sender.transport.write(b"say alice@sha1.test tea & <biscuits>?\n")
        await sender.until("told tea & <biscuits>?")
        jid = bot.stdout.removeprefix("online as ").strip()
        self.ring(sender, jid)
        await sender.until("0 service-unavailable")
        sender.transport.write(f"ping {jid}\n".encode())
        await sender.until("pong")
        await self.server.signal("TERM")
        await bot.ended
        self.assertEqual(bot.stderr, "")

    async def test_plainText(self) -> None:
        """No password goes unencrypted to another machine."""
        bot = self.start("ws://xmpp.example.com/xmpp-websocket", "alice@example.com")
        self.assertEqual(await bot.ended, 1)
        self.assertIn("would not be encrypted", bot.stderr)

    def test_length(self) -> None:
        """Behind its imports it has sixty lines, and of our package it imports no floor but 2 and 3."""
        text = BOT.read_text()
        lines = text[text.index("@implementer") :].splitlines()
        self.assertLessEqual(len([line for line in lines if line.strip()]), 60)
        rooms = set(re.findall(r"^from iris_twisted\.(\w+)", text, re.M))
        self.assertEqual(rooms, {"interfaces", "net", "transport", "xmpp"})
