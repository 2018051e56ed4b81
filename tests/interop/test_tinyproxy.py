"""
Through tinyproxy, an HTTP proxy that we did not write.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.internet import reactor

from iris_twisted.errors import ConnectionFailed

from ..network import RID, NetworkCase
from ..processes import Program
from .prosody import freePort

TINYPROXY = shutil.which("tinyproxy")


class Tinyproxy(NetworkCase):
    """Discovery and websocket through its tunnels."""

    timeout = 60
    skip = None if TINYPROXY else "tinyproxy is missing: apt-get install tinyproxy"

    async def proxy(self) -> str:
        port = freePort()
        config = Path(self.mktemp()).absolute()
        config.write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth iris word-CANARY\nLogLevel Info\n"
        )
        program = Program()
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program, str(TINYPROXY), ["tinyproxy", "-d", "-c", str(config)], env={}
        )

        async def end() -> None:
            if not program.ended.called:
                await program.signal("TERM")

        self.addCleanup(end)
        await program.until("Accepting connections.")
        return f"127.0.0.1:{port}"

    async def test_call(self) -> None:
        """A call arrives through it, plain and TLS; without the password it says what it wants."""
        where = await self.proxy()
        for tls in (False, True):
            sandbox = await self.sandbox(tls=tls)
            connection = self.connection(
                proxy=f"http://iris:word-CANARY@{where}", trustRoot=sandbox.caFile
            )
            await connection.connect(sandbox.token(RID), RID, sandbox.url)
            rang = self.next("onNotification")
            sandbox.placeCall(RID)
            await rang
            await connection.close()
        refused = self.connection(proxy=f"http://{where}", trustRoot=sandbox.caFile)
        with self.assertRaises(ConnectionFailed) as caught:
            await refused.connect(sandbox.token(RID), RID, sandbox.url)
        self.assertIn(f"the proxy http://{where}", caught.exception.message)
        self.assertIn("a user and a password", caught.exception.message)
