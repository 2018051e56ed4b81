"""
The outbox on the console: depths and dead letters over HTTP, with a real spool and webhook.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.logger import capturedLogs
from twisted.web.client import HTTPConnectionPool

from iris_twisted.console import CallHistory, consoleRoot
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.fleet.fleet import IrisFleet
from iris_twisted.outbox import Outbox

from ..network import NetworkCase
from .refusing import RefusingOutbox

ALICE, BOB = "alice@sandbox.test", "bob@sandbox.test"


class Letters(NetworkCase):
    """An outbox whose webhook refuses what comes."""

    async def begin(self, *sinks: str, kept: bool = True) -> None:
        self.refusing = await RefusingOutbox.start(self, *sinks, kept=kept)
        self.server, self.hook = self.refusing.server, self.refusing.hook
        self.offer = self.refusing.offer
        self.outbox: Outbox | None = self.refusing.outbox
        fleet = IrisFleet("https://evm.example.test", reactor=reactor)
        root = consoleRoot(reactor, CallHistory(reactor), fleet, outbox=lambda: self.outbox)
        site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        self.url = await site.listen()
        self.addCleanup(site.stop)

    async def ask(self, path: str, **options: Any) -> tuple[int, str]:
        pool = HTTPConnectionPool(reactor, persistent=False)
        method = "POST" if "json" in options else "GET"
        response = await treq.request(method, self.url + path, pool=pool, **options)
        return response.code, await response.text()

    async def look(self, account: str = "") -> dict[str, Any]:
        status, text = await self.ask("outbox.json", params={"account": account})
        self.assertEqual(status, 200, text)
        found: dict[str, Any] = json.loads(text)
        return found

    async def decide(self, what: str, value: object, **headers: str) -> tuple[int, str]:
        if "token" not in headers:
            _, page = await self.ask("outbox")
            found = re.search(r'name="console-token" content="([^"]+)"', page)
            assert found is not None
            headers["token"] = found[1]
        headers["x-console-token"] = headers.pop("token")
        status, text = await self.ask(what, json=value, headers=headers)
        return status, json.loads(text)["message"]

    async def test_depths(self) -> None:
        """Each sink has its depth, also one that holds nothing; no secret is told."""
        path = f"file:{Path(self.mktemp()).absolute()}"
        await self.begin(path)
        await self.offer((ALICE, "r1"), (BOB, "r2"))
        found = await self.look()
        shown = f"{self.hook.rpartition('/hook')[0]}/..."
        self.assertEqual(
            [(s["sink"], s["waiting"], s["dead"], s["configured"]) for s in found["sinks"]],
            [(shown, 0, 2, True), (path, 0, 0, True)],
        )
        self.assertEqual([x["account"] for x in found["letters"]], [ALICE, BOB])
        self.assertIn("410", found["letters"][0]["reason"])
        self.assertEqual([x["account"] for x in (await self.look(BOB))["letters"]], [BOB])
        self.assertNotIn("CANARY", json.dumps(found))
        self.assertNotIn("TOKEN", json.dumps(found))

    async def test_retry(self) -> None:
        """A dead letter that is tried again is given at once; who asked for it is logged."""
        await self.begin()
        await self.offer((ALICE, "r1"), (ALICE, "r2"))
        self.server.answer = lambda _, __: (200, {})
        first = (await self.look())["letters"][0]
        with capturedLogs() as logs:
            answer = await self.decide("retry", {"id": first["id"], "sink": first["handle"]})
        self.assertEqual(answer, (200, "1 dead letter is tried again"))
        self.assertIn(("somebody", 1), [(log.get("who"), log.get("count")) for log in logs])
        # Long before the sink's worker would have looked by itself.
        await self.until(lambda: len(self.server.received) == 3)
        notification = json.loads(self.server.received[2][1])["notification"]
        self.assertEqual(notification["roomid"], "r1")
        self.assertEqual([x["id"] for x in (await self.look())["letters"]], [first["id"] + 1])
        again = {"id": first["id"], "sink": first["handle"]}
        self.assertEqual((await self.decide("retry", again))[0], 404)

    async def test_purge(self) -> None:
        """One is forgotten, or all of an account, or all; nothing is given to the sink."""
        await self.begin()
        await self.offer((ALICE, "r1"), (ALICE, "r2"), (BOB, "r3"), (BOB, "r4"))
        first = (await self.look())["letters"][0]
        answer = await self.decide("purge", {"id": first["id"], "sink": first["handle"]})
        self.assertEqual(answer, (200, "1 dead letter is purged"))
        answer = await self.decide("purge", {"all": True, "account": BOB})
        self.assertEqual(answer, (200, "2 dead letters are purged"))
        (left,) = (await self.look())["letters"]
        self.assertEqual(left["account"], ALICE)
        self.assertEqual((await self.decide("purge", {"all": True}))[0], 200)
        self.assertEqual((await self.look())["letters"], [])
        self.assertEqual(len(self.server.received), 4)

    async def test_strangers(self) -> None:
        """Without the page's token, from another page, or of no letter: nothing is changed."""
        await self.begin()
        await self.offer((ALICE, "r1"))
        (letter,) = (await self.look())["letters"]
        good = {"id": letter["id"], "sink": letter["handle"]}
        for what in ("retry", "purge"):
            for value, headers, status in (
                (good, {"token": ""}, 403),
                (good, {"token": "wrong"}, 403),
                (good, {"origin": "http://evil.test"}, 403),
                ({"id": letter["id"], "sink": "other"}, {}, 404),
                ({"id": letter["id"]}, {}, 404),
                ({"id": True, "sink": letter["handle"]}, {}, 404),
                ({"id": 2**70, "sink": letter["handle"]}, {}, 404),
                ({"all": "yes"}, {}, 404),
                ([1], {}, 404),
            ):
                answered = await self.decide(what, value, **headers)
                self.assertEqual(answered[0], status, (what, value))
        self.assertEqual((await self.look())["letters"], [letter])
        self.assertEqual(len(self.server.received), 1)
        status, _ = await self.ask("outbox.json", headers={"Host": "evil.test"})
        self.assertEqual(status, 403)

    async def test_notOpen(self) -> None:
        """While there is none yet, or its store fails, it says so."""
        await self.begin()
        outbox, self.outbox = self.outbox, None
        self.assertEqual(
            await self.ask("outbox.json"), (503, '{"message": "the outbox is not open"}\n')
        )
        answer = await self.decide("purge", {"all": True})
        self.assertEqual(answer, (503, "the outbox is not open"))
        self.outbox = outbox
        assert outbox is not None
        outbox.store._connection.execute("DROP TABLE deliveries")  # type: ignore[attr-defined]
        status, text = await self.ask("outbox.json")
        self.assertEqual(status, 503)
        self.assertIn("no such table", text)

    async def test_inMemory(self) -> None:
        """Without a spool it says that nothing is kept."""
        await self.begin(kept=False)
        found = await self.look()
        self.assertEqual((found["keeps"], found["letters"]), (False, []))

    async def test_linked(self) -> None:
        """The page of the connections names it where there is an outbox, and there only."""
        await self.begin()
        self.assertIn('href="outbox"', (await self.ask(""))[1])
        self.assertIn('id="letters"', (await self.ask("outbox"))[1])
        fleet = IrisFleet("https://evm.example.test", reactor=reactor)
        site = OperatorSite(
            reactor,
            "tcp:0:interface=127.0.0.1",
            consoleRoot(reactor, CallHistory(reactor), fleet),
        )
        self.url = await site.listen()
        self.addCleanup(site.stop)
        self.assertNotIn('href="outbox"', (await self.ask(""))[1])
        self.assertEqual((await self.ask("outbox"))[0], 404)
