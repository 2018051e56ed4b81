"""
A daemon that is killed again and again, under load: every call that it acknowledged
reaches the sink.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from iris_twisted.sandbox import platform

from ..network import RID, NetworkCase
from ..peers import WebServer
from ..processes import Program, startTwist

KILLS = 50
BURST = 20


class Kills(NetworkCase):
    """kill -9, fifty times."""

    timeout = 540

    async def test_nothingAcknowledgedIsLost(self) -> None:
        """Each acknowledged call arrives at least once, and always with the same key."""
        random.seed(5)
        sandbox = await self.sandbox()
        # What was under way in a process that is gone shall ring nobody else.
        sandbox.platform.streamManagement = False
        self.patch(platform, "_CALLS_KEPT", 2 * KILLS * BURST)
        server = await WebServer.start(reactor)
        self.addCleanup(server.stop)
        flaky = random.Random(7)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        token = folder / "token"
        token.write_text(sandbox.token(RID))
        calls: list[Any] = []
        keys: dict[str, set[str]] = {}
        taken: set[str] = set()

        def answer(headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
            record = json.loads(body)
            room = record["notification"]["roomid"]
            keys.setdefault(room, set()).add(record["key"])
            if flaky.random() < 0.1:
                return 503, {}
            taken.add(room)
            return 204, {}

        server.answer = answer

        def acknowledged(some: list[Any]) -> int:
            return sum(call.state == "acknowledged" for call in some)

        async def start() -> Program:
            await self.until(lambda: not sandbox.sessions)
            program = startTwist(
                self, "iris", "-e", sandbox.url, "-r", RID, "-t", str(token),
                "--spool", str(folder / "spool"), "--sink", f"webhook:{server.url}",
            )  # fmt: skip
            await self.until(lambda: sandbox.sessions or program.ended.called)
            self.assertFalse(program.ended.called, program.stderr)
            return program

        for number in range(KILLS):
            program = await start()
            now = [sandbox.placeCall(RID, room=f"room-{number}-{n}") for n in range(BURST)]
            calls += now
            # Somewhere between none and all of them, and a moment more.
            some = random.randrange(BURST + 1)
            await self.until(lambda now=now, some=some: acknowledged(now) >= some)  # type: ignore[misc]
            # And a few that it may have heard of, or not.
            calls += [sandbox.placeCall(RID, room=f"late-{number}-{n}") for n in range(5)]
            for _ in range(random.randrange(100)):
                await deferLater(reactor, 0)
            self.assertEqual(await program.signal("KILL"), -9)
        program = await start()
        owed = {c.info["roomid"] for c in calls if c.state == "acknowledged"}
        await self.until(lambda: owed <= taken)
        last = sandbox.placeCall(RID)
        await self.until(lambda: last.state == "acknowledged" and last.info["roomid"] in taken)
        await program.signal("TERM")
        self.assertEqual({room for room, known in keys.items() if len(known) != 1}, set())
        # The load was one: some were acknowledged, some were cut.
        self.assertEqual(len(calls), KILLS * (BURST + 5))
        self.assertGreater(len(owed), KILLS)
        self.assertLess(len(owed), len(calls))
