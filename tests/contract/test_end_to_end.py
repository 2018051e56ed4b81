"""
All floors together, before the sandbox, over real sockets on loopback.
"""

from __future__ import annotations

from typing import Any

from iris_twisted import IrisRtcConnection
from iris_twisted.sandbox import Sandbox
from iris_twisted.transport.websocket import WebSocketTransport

from ..network import RID, NetworkCase


class EndToEnd(NetworkCase):
    """The whole house on a sandbox, plain and with TLS."""

    async def session(self, **options: Any) -> tuple[Sandbox, IrisRtcConnection]:
        sandbox = await self.sandbox(**options)
        connection = self.connection(trustRoot=sandbox.caFile)
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        return sandbox, connection

    async def test_call(self) -> None:
        """A call arrives, is acknowledged, rejected and cancelled, over ws and wss."""
        for tls in (False, True):
            sandbox, connection = await self.session(tls=tls)
            ringing = self.next("onNotification")
            call = sandbox.placeCall(RID, caller="+1 \"<&>'\n", room="room 1")
            ((info,)) = await ringing
            self.assertEqual(
                info[0]["roomId"] if isinstance(info, tuple) else info["roomId"], "room 1"
            )
            self.assertEqual(info["userdata"]["data"]["cid"], "+1 \"<&>'\n")
            await connection.rejectSession(info)
            self.assertEqual(call.state, "rejected")
            ringing = self.next("onNotification")
            sandbox.cancelCall(call.id)
            (info,) = await ringing
            self.assertEqual(info["type"], "cancel")
            turn = connection.serverInfo.turnCredentials
            self.assertTrue(turn.iceServers[0].urls[0].startswith("turn:"))

    async def test_drops(self) -> None:
        """Every kind of drop is survived, on TLS too."""
        sandbox, connection = await self.session(tls=True)
        for how in ("abort", "close", "disconnect"):
            back = self.next("onConnected")
            self.patch(connection._driver._settings.retryPolicy, "_base", 0.01)
            sandbox.drop(how)
            await back
        self.assertEqual(connection.stats.reconnects, 3)
        self.assertEqual(self.recorder.of("onConnectionError"), [])

    async def test_mechanisms(self) -> None:
        """PLAIN, ANONYMOUS and NOAUTH; both dialects."""
        for mechanism, settings in (
            ("PLAIN", {}),
            ("ANONYMOUS", {"anonymous": True}),
            ("NOAUTH", {"dialect": "framed"}),
        ):
            sandbox = await self.sandbox()
            sandbox.platform.mechanisms = (mechanism,)
            connection = self.connection(**settings)
            await connection.connect("any", RID, sandbox.url)
            self.assertTrue(connection.isConnectionAlive())

    async def test_refusedWebsocket(self) -> None:
        """A websocket token that the server refuses is one error."""
        sandbox = await self.sandbox()
        self.patch(sandbox.platform.__class__, "admits", lambda *_: False)
        error = await self.refused(self.connection(), "t", sandbox.url)
        self.assertIn("HTTP 403", error.message)

    async def test_hangs(self) -> None:
        """Hanging at any step ends in time, with nothing left open."""
        for step in ("discovery", "upgrade", "stream", "sasl", "bind", "session"):
            sandbox = await self.sandbox()
            sandbox.hang(step)
            error = await self.refused(self.connection(connectTimeout=0.2), "t", sandbox.url)
            self.assertEqual(error.code, -106)

    async def test_silence(self) -> None:
        """A server that stops answering is found out."""
        sandbox = await self.sandbox()
        connection = self.connection(pingInterval=0.05, pingTimeout=0.2)
        await connection.connect("any", RID, sandbox.url)
        lost = self.next("onDisconnected")
        sandbox.hang("ping")
        await lost

    async def test_deflate(self) -> None:
        """permessage-deflate works when it was asked for."""
        sandbox = await self.sandbox()
        connection = self.connection(transport=WebSocketTransport(perMessageDeflate=True))
        await connection.connect("any", RID, sandbox.url)
        self.assertTrue(connection.isConnectionAlive())
