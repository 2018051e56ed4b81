"""
SIGHUP, whenever it comes.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.logger import capturedLogs

from iris_twisted.daemon.daemon import Daemon
from iris_twisted.daemon.named_files import tokensOf
from iris_twisted.daemon.terminal_output import TerminalOutput
from iris_twisted.sandbox import Sandbox

from ..processes import startTwist
from .test_daemon import DaemonCase
from .test_services import Output, Reactor


class Early(DaemonCase):
    """Before everything runs, and when it does not any more."""

    timeout = 60

    def text(self, sandbox: Sandbox, *names: str) -> str:
        text = f'event-manager = "{sandbox.url}"\n'
        for name in names:
            token = self.folder / f"{name}.token"
            token.write_text(sandbox.token(f"{name}@sandbox.test"))
            text += f'[[account]]\nrouting-id = "{name}@sandbox.test"\ntoken-file = "{token}"\n'
        return text

    def users(self, sandbox: Sandbox) -> list[str]:
        return sorted(session.routingId.partition("@")[0] for session in sandbox.sessions)

    async def test_startingAndStopping(self) -> None:
        """While options are read it is noted, and obeyed later; while it stops it ends nothing."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.folder / "iris.toml"
        os.mkfifo(config)
        program = startTwist(self, "iris", "--config", str(config))
        opened: list[int] = []

        def isRead() -> bool:
            try:
                opened.append(os.open(config, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as e:
                self.assertEqual(e.errno, errno.ENXIO)
                return False
            return True

        await self.until(isRead)
        program.transport.signalProcess("HUP")
        new = self.folder / "new.toml"
        new.write_text(self.text(sandbox, "a", "b"))
        new.replace(config)
        os.write(opened[0], self.text(sandbox, "a").encode())
        os.close(opened[0])
        await self.until(lambda: program.ended.called or self.users(sandbox) == ["a", "b"])
        self.assertFalse(program.ended.called, program.stderr)
        program.transport.signalProcess("TERM")

        def hangUpAgain() -> bool:
            try:
                program.transport.signalProcess("HUP")
            except ProcessExitedAlready:
                pass
            return program.ended.called

        await self.until(hangUpAgain)
        self.assertEqual(await program.ended, -signal.SIGTERM)

    async def test_whileItStarts(self) -> None:
        """What is adopted before all is there waits for that; after the end it changes nothing."""
        sandbox = await self.sandbox()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        path = self.folder / "iris.toml"
        path.write_text(self.text(sandbox, "a"))
        one = self.configuration(config=str(path))
        path.write_text(self.text(sandbox, "a", "b"))
        two = self.configuration(config=str(path))
        daemon = Daemon(
            one, tokensOf(one), Reactor(), TerminalOutput(Output(), {}), lambda line: None, {}
        )
        self.addCleanup(lambda: daemon.running and daemon.stopService())
        starting: Deferred[None] = Deferred()

        async def slowly() -> None:
            await starting
            await start()

        start = daemon._start
        self.patch(daemon, "_start", slowly)
        daemon.startService()
        with capturedLogs():
            adopting = daemon.adopt(two, tokensOf(two))
            self.assertNoResult(adopting)
            starting.callback(None)
            await adopting
        await self.until(lambda: self.users(sandbox) == ["a", "b"])
        await daemon.stopService()
        await daemon.adopt(one, tokensOf(one))
        self.assertEqual(len(daemon.fleet.accounts), 2)
