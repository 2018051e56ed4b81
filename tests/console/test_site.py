"""
The console without a browser: what it sends, and whom it answers.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import treq
from twisted.internet import reactor
from twisted.web.client import HTTPConnectionPool

from iris_twisted.console import CallHistory, consoleRoot
from iris_twisted.console.entrance import isOurs
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.fleet.fleet import IrisFleet

from ..network import NetworkCase

RID = "alice@sandbox.test"


class Serving(NetworkCase):
    """The page, its events and its rejects over HTTP."""

    async def begin(self, connected: bool = True) -> None:
        self.box = await self.sandbox()
        self.fleet = IrisFleet(self.box.url, reactor=reactor)
        self.callHistory = CallHistory(reactor)
        history = self.callHistory.open(RID)
        history.connection = self.fleet.add(RID, self.box.token(RID), history).connection
        root = consoleRoot(reactor, self.callHistory, self.fleet)
        site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        self.url = await site.listen()
        self.addCleanup(site.stop)
        self.addCleanup(self.fleet.stopService)
        if connected:
            self.fleet.startService()
            await self.until(lambda: self.box.sessions)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[Any, str]:
        pool = HTTPConnectionPool(reactor, persistent=False)
        response = await treq.request(method, self.url + path, pool=pool, **options)
        return response, await response.text()

    async def token(self) -> str:
        _, page = await self.ask("GET", "")
        found = re.search(r'name="console-token" content="([^"]+)"', page)
        assert found is not None
        return found[1]

    async def reject(self, body: bytes, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response, text = await self.ask("POST", "reject", data=body, headers=named)
        return response.code, json.loads(text)["message"]

    async def test_page(self) -> None:
        """Its files, with headers that let nobody else in; a token of this process."""
        await self.begin(connected=False)
        for path, kind in (
            ("", "text/html"),
            ("account", "text/html"),
            ("shared.js", "text/javascript"),
            ("connection.js", "text/javascript"),
            ("calls.js", "text/javascript"),
            ("account.js", "text/javascript"),
            ("console.js", "text/javascript"),
            ("console.css", "text/css"),
            ("icon.svg", "image/svg+xml"),
        ):
            response, text = await self.ask("GET", path)
            self.assertEqual(response.code, 200)
            header = response.headers.getRawHeaders
            self.assertIn(kind, header("content-type")[0])
            self.assertIn("default-src 'none'", header("content-security-policy")[0])
            self.assertIn("frame-ancestors 'none'", header("content-security-policy")[0])
            # The name space of SVG is a name, and nothing that is asked for.
            self.assertNotIn("http", text.replace("http://www.w3.org/2000/svg", ""))
            for place in ("@TOKEN@", "@LINKS@", "@MORE@"):
                self.assertNotIn(place, text)
        self.assertEqual((await self.ask("GET", "nothing"))[0].code, 404)

    async def test_rebinding(self) -> None:
        """A page of somebody whose DNS says that it is here gets nothing."""
        await self.begin(connected=False)
        for path in ("", "events", "reject"):
            response, _ = await self.ask("GET", path, headers={"Host": "evil.test"})
            self.assertEqual(response.code, 403, path)
        for host, ours in (
            ("127.0.0.1:80", True),
            ("[::1]:80", True),
            ("localhost", True),
            (f"{socket.gethostname()}:8088", True),
            ("evil.test", False),
            ("127.0.0.1.evil.test", False),
            ("", False),
        ):
            self.assertEqual(isOurs(host), ours, host)
        response, _ = await self.ask("GET", "", headers={"Host": "["})
        self.assertIn(response.code, (400, 403))

    async def test_events(self) -> None:
        """A snapshot at once and with each change, for the view that was asked for."""
        await self.begin()
        pool = HTTPConnectionPool(reactor, persistent=False)
        response = await treq.get(
            self.url + "events?words=ALICE&page=x", pool=pool, unbuffered=True
        )
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["text/event-stream"])
        pieces: list[bytes] = []
        ending = treq.collect(response, pieces.append)
        self.box.placeCall(RID)
        await self.until(lambda: b"+12155550100" in b"".join(pieces))
        events = b"".join(pieces).decode().split("\n\n")
        first = json.loads(events[0].removeprefix("data: "))
        self.assertEqual(first["connections"][0]["account"], RID)
        self.assertNotIn("roomtoken", b"".join(pieces).decode())
        self.assertEqual(len(self.callHistory.watchers), 1)
        response.original._transport._producer.abortConnection()
        await ending.addErrback(lambda _: None)
        await self.until(lambda: not self.callHistory.watchers)

    async def test_eventsOfAnAccount(self) -> None:
        """The events may be those of one account: its calls, and nobody else's."""
        await self.begin()
        self.callHistory.called("bob@sandbox.test", {"type": "notify", "roomid": "BOBS"})
        pool = HTTPConnectionPool(reactor, persistent=False)
        query = {"account": RID}
        response = await treq.get(self.url + "events", params=query, pool=pool, unbuffered=True)
        pieces: list[bytes] = []
        ending = treq.collect(response, pieces.append)
        self.box.placeCall(RID)
        await self.until(lambda: b"+12155550100" in b"".join(pieces))
        text = b"".join(pieces).decode()
        first = json.loads(text.split("\n\n")[0].removeprefix("data: "))
        self.assertEqual(first["connection"]["account"], RID)
        self.assertEqual(first["calls"], [])
        self.assertNotIn("BOBS", text)
        self.assertNotIn("roomtoken", text)
        response.original._transport._producer.abortConnection()
        await ending.addErrback(lambda _: None)
        await self.until(lambda: not self.callHistory.watchers)

    async def test_reject(self) -> None:
        """With the token of the page, from the page itself, for a call that there is."""
        await self.begin()
        call = self.box.placeCall(RID)
        await self.until(lambda: self.callHistory.calls)
        token = await self.token()
        origin = self.url.rstrip("/")
        for body, headers, status, words in (
            (b'{"id": 1}', {}, 403, "not from this process"),
            (b'{"id": 1}', {"x_console_token": "wrong"}, 403, "not from this process"),
            (b'{"id": 1}', {"x_console_token": token, "origin": "http://evil.test"}, 403, "another page"),
            (b'{"id": 9}', {"x_console_token": token}, 404, "no such call"),
            (b'{"id": "1"}', {"x_console_token": token}, 404, "no such call"),
            (b"[1]", {"x_console_token": token}, 404, "no such call"),
            (b"nonsense", {"x_console_token": token}, 404, "no such call"),
        ):  # fmt: skip
            answered = await self.reject(body, **headers)
            self.assertEqual(answered[0], status, body)
            self.assertIn(words, answered[1])
        self.assertEqual(call.state, "acknowledged")
        good = {"x_console_token": token, "origin": origin}
        self.assertEqual(await self.reject(b'{"id": 1}', **good), (200, "rejected"))
        self.assertEqual((call.state, self.callHistory.calls[1].state), ("rejected", "rejected"))

    async def test_rejectThatFails(self) -> None:
        """The server's word, or what the notification lacks, is the answer."""
        await self.begin()
        token = await self.token()
        call = self.box.placeCall(RID)
        await self.until(lambda: self.callHistory.calls)
        del self.box.platform.calls[call.id]
        status, words = await self.reject(b'{"id": 1}', x_console_token=token)
        self.assertEqual(status, 502)
        self.assertIn("item-not-found", words)
        self.assertIn("item-not-found", self.callHistory.calls[1].state)
        self.callHistory.called(RID, {"type": "notify"})
        status, words = await self.reject(b'{"id": 2}', x_console_token=token)
        self.assertEqual(status, 409)
        self.callHistory.called("gone@sandbox.test", {})
        self.assertEqual((await self.reject(b'{"id": 3}', x_console_token=token))[0], 404)
