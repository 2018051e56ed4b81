"""
A call that the platform tells of more than once: sinks get it once.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from iris_twisted.outbox import Outbox
from iris_twisted.sandbox import Sandbox
from iris_twisted.sandbox.platform import Platform
from iris_twisted.sinks import SinkContext, makeSink

from ..network import RID, NetworkCase
from ..processes import Program, startTwist


class ToldAgain(NetworkCase):
    """Twice, to two sessions, after a loss, and after a crash."""

    timeout = 60

    async def platform(self, **options: Any) -> Sandbox:
        """A sandbox; C{self.answers} are what its notifications were answered with."""
        sandbox = await self.sandbox(**options)
        self.answers: list[str | None] = []
        answered = Platform._answered

        def remembering(platform: Platform, iq: Any) -> None:
            self.answers.append(iq.get("type"))
            answered(platform, iq)

        self.patch(Platform, "_answered", remembering)
        return sandbox

    def session(self, sandbox: Sandbox, outbox: Outbox, sink: str) -> Deferred[Any]:
        """Another connection of the same user, whose calls go into the same outbox."""
        connection = self.connection()
        offer = partial(outbox.offer, RID, specs=[sink])
        self.recorder.react["onNotification"] = offer
        return connection.connect(sandbox.token(RID), RID, sandbox.url)

    async def tellEverywhere(self, spool: str | None) -> None:
        sandbox = await self.platform()
        # Then a loss is one: what was under way rings again only when it is told again.
        sandbox.platform.streamManagement = False
        path = Path(self.mktemp()).absolute()
        sink = f"file:{path}"
        context = SinkContext(reactor=reactor, write=print)
        outbox = Outbox(reactor, spool, partial(makeSink, context=context))
        self.addCleanup(lambda: Deferred.fromCoroutine(outbox.stop()))
        outbox.use([sink])
        for _ in range(2):
            await self.session(sandbox, outbox, sink)
        call = sandbox.placeCall(RID)
        sandbox.tellAgain(call.id)
        await self.until(lambda: len(self.answers) == 4)
        sandbox.drop()
        await self.until(lambda: not sandbox.sessions)
        await self.until(lambda: len(sandbox.sessions) == 2)
        sandbox.tellAgain(call.id)
        await self.until(lambda: len(self.answers) == 6)
        self.assertEqual(call.state, "acknowledged")
        sandbox.cancelCall(call.id)
        await self.until(lambda: len(self.answers) == 8)
        self.assertEqual(set(self.answers), {"result"})
        # With a spool that is sooner than the sink has it.
        await self.until(lambda: path.read_text().count("\n") >= 2)
        records = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([r["notification"]["type"] for r in records], ["notify", "cancel"])
        self.assertEqual(len({r["key"] for r in records}), 2)

    async def test_spool(self) -> None:
        """One line in a file, and one for its cancel; each telling is acknowledged."""
        await self.tellEverywhere(str(Path(self.mktemp()).absolute()))

    async def test_inMemory(self) -> None:
        """The same without a spool."""
        await self.tellEverywhere(None)

    @staticmethod
    def owed(spool: Path) -> int:
        """How many deliveries a spool holds."""
        with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM deliveries").fetchone()
        return int(count)

    async def test_afterACrash(self) -> None:
        """A daemon that was killed and started again still knows the call."""
        sandbox = await self.platform()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "token").write_text(sandbox.token(RID))

        async def start() -> Program:
            await self.until(lambda: not sandbox.sessions)
            program = startTwist(
                self, "iris", "-e", sandbox.url, "-r", RID, "-t", str(folder / "token"),
                "--spool", str(folder / "spool"), "--sink", f"file:{folder / 'calls'}",
            )  # fmt: skip
            await self.until(lambda: sandbox.sessions or program.ended.called)
            self.assertFalse(program.ended.called, program.stderr)
            return program

        sandbox.platform.streamManagement = False
        program = await start()
        call = sandbox.placeCall(RID)
        await self.until(lambda: (folder / "calls").exists() and (folder / "calls").read_text())
        # What is under way at the end comes again: until that is settled.
        await self.until(lambda: not self.owed(folder / "spool"))
        await program.signal("KILL")
        program = await start()
        sandbox.tellAgain(call.id)
        other = sandbox.placeCall(RID)
        await self.until(lambda: "acknowledged" == call.state == other.state)
        self.assertEqual(await program.signal("TERM"), -15)
        records = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
        rooms = [record["notification"]["roomid"] for record in records]
        self.assertEqual(rooms, [call.info["roomid"], other.info["roomid"]])
