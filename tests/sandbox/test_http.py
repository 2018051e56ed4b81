"""
The sandbox's control API.
"""

from __future__ import annotations

import json
from typing import Any

import treq
from twisted.internet import reactor

from iris_twisted import IrisRtcConnection
from iris_twisted.sandbox import SandboxError

from ..network import RID, NetworkCase


class SandboxControl(NetworkCase):
    """The control API and its Python face."""

    async def request(self, method: str, path: str, body: Any = None, **kw: Any) -> tuple[int, Any]:
        data = (
            None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        response = await treq.request(
            method, self.url + path, data=data, reactor=reactor, persistent=False, **kw
        )
        content = await response.content()
        return response.code, json.loads(content) if content.strip() else None

    async def test_calls(self) -> None:
        """Place, list, tell again and cancel a call; list and drop a session."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        status, call = await self.request("POST", "/control/calls", {"to": RID})
        self.assertEqual((status, call["state"]), (201, "missed"))
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        status, call = await self.request(
            "POST",
            "/control/calls",
            {"to": RID, "from": "bob@b.test", "room": "r9", "caller": "+5"},
        )
        (info,) = await ringing
        self.assertEqual(
            (info["roomid"], info["routingid"], call["state"]), ("r9", "bob@b.test", "ringing")
        )
        self.assertNotIn("roomtoken", call)
        status, calls = await self.request("GET", "/control/calls")
        self.assertEqual((status, len(calls)), (200, 2))
        ringing = self.next("onNotification")
        status, call = await self.request("POST", f"/control/calls/{call['id']}")
        self.assertEqual((status, call["roomid"]), (201, "r9"))
        self.assertEqual((await ringing)[0], info)
        status, call = await self.request("DELETE", f"/control/calls/{call['id']}")
        self.assertEqual((status, call["state"]), (200, "cancelled"))
        status, sessions = await self.request("GET", "/control/sessions")
        self.assertEqual([s["jid"] for s in sessions], [connection.jid])
        self.assertEqual(sessions[0]["dialect"], "stream")
        lost = self.next("onDisconnected")
        status, _ = await self.request("DELETE", f"/control/sessions/{sessions[0]['id']}?how=close")
        self.assertEqual(status, 204)
        await lost

    async def test_trouble(self) -> None:
        """Discovery's answer, hanging, tokens."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        answer = {"status": 401, "body": {"error": {"code": 401, "message": "no"}}}
        self.assertEqual((await self.request("PUT", "/control/discovery", answer))[0], 204)
        error = await self.refused(self.connection(), "any", sandbox.url)
        self.assertEqual(error.code, -116)
        self.assertEqual((await self.request("DELETE", "/control/discovery"))[0], 204)
        self.assertEqual((await self.request("PUT", "/control/hang", {"step": "bind"}))[0], 204)
        self.assertEqual(sandbox.platform.hanging, {"bind"})
        self.assertEqual((await self.request("DELETE", "/control/hang"))[0], 204)
        self.assertEqual(sandbox.platform.hanging, set())
        status, made = await self.request(
            "POST", "/control/tokens", {"routingId": RID, "lifetime": -5}
        )
        self.assertEqual(status, 201)
        error = await self.refused(self.connection(), made["token"], sandbox.url)
        self.assertEqual(error.code, -116)
        self.assertEqual((await self.request("DELETE", "/control/tokens/bad"))[0], 204)
        error = await self.refused(self.connection(), "bad", sandbox.url)
        self.assertEqual(error.code, -116)

    async def test_mistakes(self) -> None:
        """Each mistake is answered with a sentence."""
        sandbox = await self.sandbox()
        self.url = sandbox.url
        for method, path, body, status, word in (
            ("POST", "/control/calls", {}, 400, "to must"),
            ("POST", "/control/calls", {"to": "alice"}, 400, "to must"),
            ("POST", "/control/calls", {"to": 5}, 400, "to must"),
            ("POST", "/control/calls", {"to": RID, "room": "\0"}, 400, "roomid holds"),
            ("POST", "/control/calls", b"{", 400, "not JSON"),
            ("POST", "/control/calls", b"[]", 400, "object"),
            ("DELETE", "/control/calls/x", None, 400, "no call 'x'"),
            ("POST", "/control/calls/x", None, 400, "no call 'x'"),
            ("DELETE", "/control/sessions/x", None, 400, "no session 'x'"),
            ("PUT", "/control/hang", {"step": "lunch"}, 400, "step must"),
            ("PUT", "/control/discovery", {"status": 99}, 400, "status must"),
            ("POST", "/control/tokens", {"routingId": RID, "lifetime": "x"}, 400, "lifetime must"),
            ("PATCH", "/control/calls", None, 404, "nothing that"),
            ("GET", "/control/calls/1/2", None, 404, "nothing that"),
        ):
            code, answer = await self.request(method, path, body)
            self.assertEqual(code, status)
            self.assertIn(word, answer["error"])
        for path in ("/", "/v1/nothing", "/v1.1/x/y/z", "/elsewhere"):
            response = await treq.get(self.url + path, reactor=reactor, persistent=False)
            await response.content()
            self.assertEqual(response.code, 404)
        for path in ("/xmpp-websocket/x", "/xmpp-websocket/routingid/a/timestamp/1/token/t"):
            response = await treq.get(self.url + path, reactor=reactor, persistent=False)
            await response.content()
            self.assertIn(response.code, (403, 404))
        self.assertRaises(SandboxError, sandbox.platform.drop, "x")
        connection = self.connection()
        await connection.connect("any", RID, sandbox.url)
        self.assertRaises(SandboxError, sandbox.drop, "gently")

    async def test_preflight(self) -> None:
        """A browser may ask from anywhere."""
        sandbox = await self.sandbox()
        response = await treq.request(
            "OPTIONS",
            sandbox.url + f"/v1/wsturnserverinfo/routingid/{RID}",
            headers={
                "Access-Control-Request-Headers": "authorization,trace-id",
                "Origin": "http://x",
            },
            reactor=reactor,
            persistent=False,
        )
        await response.content()
        self.assertEqual(response.code, 204)
        headers = {k.lower(): v for k, v in response.headers.getAllRawHeaders()}
        self.assertEqual(headers[b"access-control-allow-origin"], [b"*"])
        self.assertEqual(headers[b"access-control-allow-headers"], [b"authorization,trace-id"])

    async def test_betweenUsers(self) -> None:
        """A private IQ from one user reaches another, and the answer comes back."""
        from iris_twisted.rtc.namespaces import IRIS, PRIVATE
        from iris_twisted.xmpp.elements import Element

        sandbox = await self.sandbox()
        alice = self.connection(trustedSenders=["bob@sandbox.test"])
        await alice.connect("any", RID, sandbox.url)
        ringing = self.next("onNotification")
        bob = IrisRtcConnection(reactor)
        self.addCleanup(bob.close)
        await bob.connect("any", "bob@sandbox.test", sandbox.url)
        link = bob._driver._link
        data = Element("data", IRIS, {"type": "notify", "roomid": "r"})
        query = Element("query", PRIVATE, children=[data])
        answer = link.sendIq([query], alice.jid)
        (info,) = await ringing
        self.assertEqual(info["roomid"], "r")
        self.assertEqual((await answer).get("from"), alice.jid)
        from iris_twisted.errors import StanzaError

        for to in ("nobody@sandbox.test/x", "sandbox.test"):
            with self.assertRaises(StanzaError):
                await link.sendIq([query], to)
