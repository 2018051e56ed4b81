"""
The console in headless Chromium, as a person sees it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import succeed

from iris_twisted.console import CallHistory, consoleRoot
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.fleet.fleet import IrisFleet
from iris_twisted.operators import Access
from iris_twisted.outbox import Outbox
from iris_twisted.sandbox import Sandbox

from ..console.refusing import RefusingOutbox
from ..operators.test_file import HASH, PASSWORD, write
from ..processes import Program, startTwist
from .test_official_client import CHROMIUM, Official, OfficialCase

DEMO = "demo@sandbox.test"


class ConsoleCase(OfficialCase):
    """One browser."""

    skip = OfficialCase.skip or (None if CHROMIUM else "Chromium: apt-get install chromium")

    async def browse(self, url: str, operator: str = ":") -> Official:
        self.answers = 0
        self.browser = await self.launch(
            "console.js", CHROMIUM=str(CHROMIUM), PAGE=url, OPERATOR=operator
        )
        return self.browser

    async def do(self, name: str, *args: Any) -> Any:
        """What the browser saw; a failure of its is one of ours."""
        self.browser.do(name, *args)
        self.answers += 1
        while len(self.browser.events("did")) < self.answers:
            await self.browser.next("did", self.answers)
        self.assertEqual(self.browser.events("failed"), [])
        return self.browser.events("did")[self.answers - 1][0]

    async def well(self) -> None:
        """No script failed, nothing stops anybody, and nobody else was asked for anything."""
        self.assertEqual(self.browser.events("pageError"), [])
        self.assertEqual(await self.do("barriers"), [])
        self.assertEqual(await self.do("strangers"), [])

    async def shot(self, name: str, scheme: str) -> str:
        """A picture, kept where CI collects them; its path."""
        folder = Path(os.environ.get("IRIS_ARTEFACTS") or self.mktemp()).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / f"{name}-{scheme}.png")
        await self.do("shot", path, scheme)
        return path


class Console(ConsoleCase):
    """One browser, one daemon."""

    async def demo(self) -> Program:
        program = startTwist(self, "iris")
        await program.until("Call: ")
        found = re.search(r"^Console: +(\S+)$", program.stdout, re.M)
        assert found is not None, program.stdout
        await self.browse(found[1])
        return program

    async def test_demonstration(self) -> None:
        """The two-command demo serves it: a connection, calls, a reject by keyboard, both colours."""
        program = await self.demo()
        await self.do("until", "#calls button:visible")
        (title,) = await self.do("text", "article h3")
        self.assertEqual(title, DEMO)
        (state,) = await self.do("text", "article .state")
        self.assertRegex(state, r"^connected for \d+ s$")
        facts = "\n".join(await self.do("text", "article .facts"))
        self.assertRegex(facts, r"Token expires in 59 min \d+ s")
        self.assertRegex(facts, r"TURN expires in 59 min \d+ s")
        before = await self.do("text", "#calls tbody tr")
        self.assertIn("+12155550100", before[-1])
        await self.do("evaluate", "document.querySelector('#calls tr:last-child button').focus()")
        self.assertIn("Reject the call of +12155550100", await self.do("focused"))
        await self.do("press", "Enter")
        await self.do("until", "#calls tr.over span:text-is('rejected')")
        (over,) = await self.do("text", "#calls tr.over td:last-child")
        self.assertEqual(over.strip(), "rejected")
        # The focus is where the keyboard goes on.
        self.assertRegex(await self.do("focused"), r"Reject the call of|^<table id=.calls.")
        await program.until("Rejected:")
        for scheme in ("light", "dark"):
            await self.shot("demo", scheme)
        tree = await self.do("tree")
        for words in (
            'heading "Iris connections" [level=1]',
            f'heading "{DEMO}" [level=3]',
            'img "States: ',
            'img "Ping: ',
            'img "Calls a minute: ',
            'table "Calls"',
            'columnheader "From"',
            'radio "all 1" [checked]',
            'searchbox "Find"',
        ):
            self.assertIn(words, tree)
        content = await self.do("content")
        self.assertNotIn("TURN-PASSWORD", content)
        self.assertNotIn("roomtoken", content)
        await self.well()
        await program.signal("KILL")
        await self.do("until", "#live.lost")

    async def many(
        self,
        sandbox: Sandbox,
        count: int,
        outbox: Outbox | None = None,
        access: Access | None = None,
    ) -> str:
        """A fleet of so many on a console; its URL."""
        fleet = IrisFleet(sandbox.url, reactor=reactor, ramp=2000.0)
        self.callHistory = callHistory = CallHistory(reactor)
        callHistory.start()
        self.addCleanup(callHistory.stop)
        for number in range(count):
            routingId = f"user-{number:04}@sandbox.test"
            history = callHistory.open(routingId)
            service = fleet.add(routingId, sandbox.token(routingId), history)
            history.connection = service.connection
        fleet.startService()
        self.addCleanup(fleet.stopService)
        its = None if outbox is None else lambda: outbox
        root = consoleRoot(reactor, callHistory, fleet, access, outbox=its)
        site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        url = await site.listen()
        self.addCleanup(site.stop)
        return url

    async def test_thousand(self) -> None:
        """With 1,000 connections it is paged and filtered, and shows what happens."""
        sandbox = await self.sandbox()
        url = await self.many(sandbox, 1000)
        await self.until(lambda: len(sandbox.sessions) == 1000)
        await self.browse(url)
        await self.do("until", "[data-state=connected]:text-is('connected 1000')")
        self.assertEqual(len(await self.do("text", "article")), 25)
        self.assertIn("Page 1 of 40, 1000 connections", await self.do("text", "#page"))
        await self.do("click", "#after")
        await self.do("until", "h3 a:text('user-0025@sandbox.test')")
        # To the last page by keyboard: the focus stays on a button that leads no further.
        await self.do("evaluate", "setTimeout(() => { location.search = '?page=38'; }); 0")
        await self.do("until", "h3 a:text('user-0950@sandbox.test')")
        await self.do("evaluate", "document.querySelector('#after').focus()")
        await self.do("press", "Enter")
        await self.do("until", "h3 a:text('user-0999@sandbox.test')")
        await self.do("press", "Enter")
        self.assertIn('id="after" aria-disabled="true"', await self.do("focused"))
        self.assertEqual(await self.do("evaluate", "location.search"), "?page=39")
        await self.do("fill", "#words", "USER-0777")
        await self.do("gone", "h3 a:text('user-0999@sandbox.test')")
        self.assertEqual(await self.do("text", "article h3"), ["user-0777@sandbox.test"])
        await self.do("evaluate", "document.querySelector('#words').focus()")
        sandbox.platform.dialects = ()
        (session,) = [s for s in sandbox.sessions if s.routingId.startswith("user-0777")]
        session.abort()
        await self.do("until", "article .state.reconnecting")
        self.assertIn('id="words"', await self.do("focused"))
        await self.do("until", "article .error")
        (facts,) = await self.do("text", "article .facts")
        self.assertIn("Attempt ", facts)
        await self.do("fill", "#words", "")
        await self.do("click", "label:has([data-state=reconnecting])")
        await self.do("until", "[data-state=reconnecting]:text-is('reconnecting 1')")
        self.assertEqual(await self.do("text", "article h3"), ["user-0777@sandbox.test"])
        for scheme in ("light", "dark"):
            await self.shot("thousand", scheme)
        await self.do("size", 400, 800)
        await self.shot("narrow", "light")
        wide = await self.do("evaluate", "document.documentElement.scrollWidth")
        self.assertLessEqual(wide, 400)
        await self.well()

    async def test_strangersWords(self) -> None:
        """What a stranger sends is text, and nothing else; a reject that fails says why."""
        sandbox = await self.sandbox()
        url = await self.many(sandbox, 1)
        await self.until(lambda: sandbox.sessions)
        await self.browse(url)
        evil = "<img src=x onerror=alert(1)>"
        call = sandbox.placeCall("user-0000@sandbox.test", caller=evil, room="gone")
        await self.do("until", "#calls button:visible")
        (row,) = await self.do("text", "#calls tbody tr")
        self.assertIn(evil, row)
        del sandbox.platform.calls[call.id]
        await self.do("click", "#calls button")
        await self.do("until", "td:has-text('item-not-found')")
        await self.well()

    async def test_everyWidth(self) -> None:
        """From 360 px to 2,560 px, with names of 100 letters, nothing is cut and no number is broken."""
        sandbox = await self.sandbox()
        url = await self.many(sandbox, 1)
        await self.until(lambda: sandbox.sessions)
        user = "user-0000@sandbox.test"
        # A call of the day before yesterday has its day, too.
        self.callHistory.called(user, {"type": "notify", "roomid": "old", "routingid": "old@x.y"})
        (old,) = self.callHistory.calls.values()
        old.at -= 2 * 86400
        long = f"{'a' * 50}.{'b' * 30}@{'c' * 13}.test"
        self.assertEqual(len(long), 100)
        for number, sender in (
            ("+442079460958", "taxi@example.org"),
            ("+12155550142", long),
            ("<" * 100, long),
        ):
            sandbox.placeCall(user, caller=number, sender=sender, room=f"room-{'r' * 90}")
        await self.browse(url)
        await self.do("until", "#calls tr:nth-child(4) button:visible")
        times = await self.do("text", "#calls td:first-child")
        self.assertRegex(times[0], r"^\d\d:\d\d:\d\d$")
        self.assertRegex(times[3], r"^\d\d:\d\d:\d\d\s+\d+/\d+/\d{4}$")
        for width in (360, 768, 1280, 2560):
            await self.do("size", width, 900)
            await self.shot(f"calls-{width}", "light")
            wide = await self.do("evaluate", "document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
            over = await self.do(
                "evaluate",
                "[...document.querySelectorAll('#calls td, #calls small, #calls .number')]"
                ".filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth)"
                ".map(one => one.textContent)",
            )
            self.assertEqual(over, [], width)
            lines = await self.do(
                "evaluate",
                "[...document.querySelectorAll('#calls .number')]"
                ".map(one => one.getClientRects().length)",
            )
            self.assertEqual(lines, [1, 1], width)
        tree = await self.do("tree")
        self.assertIn('columnheader "From"', tree)
        await self.do("size", 360, 900)
        self.assertIn('cell "', await self.do("tree"))
        await self.well()

    async def test_address(self) -> None:
        """What was chosen stands in the address, and a reload brings it back; times say their zone."""
        sandbox = await self.sandbox()
        url = await self.many(sandbox, 60)
        await self.until(lambda: len(sandbox.sessions) == 60)
        await self.browse(url)
        await self.do("until", "[data-state=connected]:text-is('connected 60')")
        await self.do("click", "#after")
        await self.do("until", "h3 a:text('user-0025@sandbox.test')")
        self.assertEqual(await self.do("evaluate", "location.search"), "?page=1")
        await self.do("fill", "#words", "user-0042")
        await self.do("gone", "h3 a:text('user-0025@sandbox.test')")
        await self.do("click", "label:has([data-state=connected])")
        wanted = "?words=user-0042&state=connected"
        self.assertEqual(await self.do("evaluate", "location.search"), wanted)
        await self.do("evaluate", "location.reload()")
        await self.do("until", "h3 a:text('user-0042@sandbox.test')")
        self.assertEqual(await self.do("text", "article h3"), ["user-0042@sandbox.test"])
        self.assertEqual(
            await self.do("evaluate", "document.querySelector('#words').value"), "user-0042"
        )
        checked = "document.querySelector('#states :checked').value"
        self.assertEqual(await self.do("evaluate", checked), "connected")
        (zone,) = await self.do("text", "#zone")
        self.assertRegex(zone, r"^Times are in UTC([+-]\d\d:\d\d)?$")

    async def test_outbox(self) -> None:
        """Depths, and dead letters that are tried again and purged, by keyboard, at every width."""
        refusing = await RefusingOutbox.start(self)
        user, other = "user-0000@sandbox.test", "user-0001@sandbox.test"
        await refusing.offer(*((user, f"r{n}") for n in range(3)), (other, "<img src=x>"))
        url = await self.many(await self.sandbox(), 1, refusing.outbox)
        await self.browse(url)
        await self.do("until", "article")
        await self.do("click", "a[href=outbox]")
        await self.do("until", "#letters tr:nth-child(4) button")
        (sink,) = await self.do("text", "#sinks tbody tr")
        self.assertRegex(sink, r"webhook:http://\S+/\.\.\.\s+0\s+none waits\s+4$")
        pieces = "breakable('http://127.0.0.1:80/a.b-c@d').filter((one) => one.length)"
        wanted = ["http:/", "/", "127.0.0.1:80/", "a.", "b-", "c@", "d"]
        self.assertEqual(await self.do("evaluate", pieces), wanted)
        for scheme in ("light", "dark"):
            await self.shot("outbox", scheme)
        tree = await self.do("tree")
        for words in (
            'heading "Iris outbox" [level=1]',
            'table "Sinks"',
            'table "Dead letters"',
            'columnheader "Reason"',
            'group "All dead letters"',
            f'button "Purge the call of x@y to {user} for webhook:',
        ):
            self.assertIn(words, tree)
        # Tried again: its sink has it, and the focus goes on.
        refusing.server.answer = lambda _, __: (200, {})
        await self.do("evaluate", "document.querySelector('#letters tbody button').focus()")
        await self.do("press", "Enter")
        await self.do("gone", "#letters tbody tr:nth-child(4)")
        self.assertEqual(len(refusing.server.received), 5)
        self.assertIn(f"Retry the call of x@y to {user}", await self.do("focused"))
        # Purged: only when it is asked for twice, which a double click does not.
        await self.do("press", "Tab")
        await self.do("press", "Enter")
        self.assertIn("Really purge?", await self.do("focused"))
        await self.do("press", "Enter")
        self.assertIn("Really purge?", await self.do("focused"))
        later = "{ const was = performance.now(); performance.now = () => was + 1000; }"
        await self.do("evaluate", later)
        await self.do("press", "Enter")
        await self.do("gone", "#letters tbody tr:nth-child(3)")
        self.assertEqual(await self.do("text", "#said"), ["1 dead letter is purged"])
        # All of an account, which stands in the address.
        await self.do("fill", "#account", other)
        await self.do("gone", "#letters tbody tr:nth-child(2)")
        search = await self.do("evaluate", "location.search")
        self.assertEqual(search, "?account=user-0001%40sandbox.test")
        await self.do("evaluate", "location.reload()")
        await self.do("until", "#letters tbody tr")
        for width in (360, 768, 1280, 2560):
            await self.do("size", width, 900)
            await self.shot(f"outbox-{width}", "light")
            wide = await self.do("evaluate", "document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
        await self.do("click", "#all button:has-text('Purge all')")
        await self.do("evaluate", later)
        await self.do("click", "#all button:has-text('Really purge?')")
        await self.do("until", "#quiet")
        self.assertEqual(len(refusing.server.received), 5)
        await self.do("fill", "#account", "")
        await self.do("until", "#letters tbody tr")
        self.assertEqual(len(await self.do("text", "#letters tbody tr")), 1)
        self.assertNotIn("CANARY", await self.do("content"))
        await self.well()

    async def test_cluster(self) -> None:
        """Accounts that this member keeps lead to their pages; a link keeps the focus; at every width."""

        def place(member: str | None) -> dict[str, Any]:
            return {"copy": 0, "epoch": 1, "member": member, "successor": None}

        mine, other = "a&b=c@sandbox.test", f"{'o' * 80}@{'s' * 14}.test"
        looks: list[tuple[str, int]] = []

        def overview(words: str, page: int) -> Any:
            looks.append((words, page))
            counts = {"accounts": 2, "places": 2, "waiting": 0, "moving": 0, "shortage": 0}
            accounts = [
                {"routing-id": name, "copies": 1, "places": [place(member)]}
                for name, member in ((mine, "m1"), (other, "m2"))
            ]
            facts = {"places": 1200, "share": 1200, "connected": 1199, "capacity": 5000}
            members = [
                {"name": name, "state": "alive", "zone": zone, "renewed": 1.2, **facts}
                for name, zone in (
                    ("m1", None),
                    (f"iris-{'n' * 60}.example.internal", "eu-central-1a"),
                )
            ]
            cluster = {"members": members, **counts}
            return succeed({"me": "m1", "cluster": cluster, "accounts": accounts, "found": 60})

        fleet = IrisFleet("https://evm.example.test", reactor=reactor)
        root = consoleRoot(reactor, CallHistory(reactor), fleet, overview=overview)
        site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        url = await site.listen()
        self.addCleanup(site.stop)
        await self.browse(url)
        await self.do("click", "a[href=cluster]")
        await self.do("until", "#accounts tbody tr:nth-child(2)")
        self.assertEqual(await self.do("text", "#accounts a"), [mine])
        await self.do("evaluate", "document.querySelector('#accounts tbody a').focus()")
        before = len(looks)
        await self.until(lambda: len(looks) > before + 1)
        self.assertIn("a%26b%3Dc%40sandbox.test", await self.do("focused"))
        tree = await self.do("tree")
        for words in ('table "Members"', 'columnheader "Renewed"', 'cell "m1 (this one)"'):
            self.assertIn(words, tree)
        for width in (360, 800, 1440, 2560):
            await self.do("size", width, 900)
            for scheme in ("light", "dark"):
                await self.shot(f"cluster-{width}", scheme)
            wide = await self.do("evaluate", "document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
        self.assertIn('cell "m1 (this one)"', await self.do("tree"))
        # What is chosen stands in the address.
        await self.do("click", "#after")
        await self.do("until", "#page:text-is('Page 2 of 3, 60 accounts')")
        self.assertEqual(await self.do("evaluate", "location.search"), "?page=1")
        await self.do("fill", "#words", "a&b")
        await self.until(lambda: ("a&b", 0) in looks)
        self.assertEqual(await self.do("evaluate", "location.search"), "?words=a%26b")
        await self.do("evaluate", "location.reload()")
        looks.clear()
        await self.until(lambda: looks)
        self.assertEqual(looks[0], ("a&b", 0))
        await self.do("until", "#accounts tbody a")
        await self.do("evaluate", "document.querySelector('#accounts tbody a').focus()")
        await self.do("press", "Enter")
        await self.do("until", "#unknown")
        self.assertIn(mine, await self.do("evaluate", "document.title"))
        await self.well()

    async def test_account(self) -> None:
        """The page of an account: what it does and did, its calls, errors and sinks, and nobody else's."""
        refusing = await RefusingOutbox.start(self)
        sandbox = await self.sandbox()
        url = await self.many(sandbox, 2, refusing.outbox)
        user, other = "user-0000@sandbox.test", "user-0001@sandbox.test"
        self.callHistory.accounts[user].sinks = [refusing.hook, "stdout"]
        await self.until(lambda: len(sandbox.sessions) == 2)
        evil = "<img src=x onerror=alert(1)>"
        call = sandbox.placeCall(user, caller=evil)
        sandbox.placeCall(other, caller="+442079460958")
        await self.until(lambda: len(self.callHistory.calls) == 2)
        await self.browse(url)
        await self.do("until", f"h3 a:text('{user}')")
        await self.do("evaluate", "document.querySelector('h3 a').focus()")
        await self.do("press", "Enter")
        await self.do("until", "#calls button:visible")
        search = "?id=user-0000%40sandbox.test"
        self.assertEqual(await self.do("evaluate", "location.search"), search)
        (row,) = await self.do("text", "#calls tbody tr")
        self.assertIn(evil, row)
        self.assertNotIn(other, await self.do("content"))
        sinks = await self.do("text", "#sinks li")
        self.assertEqual([sink.partition(":")[0] for sink in sinks], ["webhook", "stdout"])
        # A loss: it stands in the history, and why among the errors.
        (session,) = [s for s in sandbox.sessions if s.routingId == user]
        session.abort()
        await self.do("until", "#errors tbody tr")
        await self.do("until", "#states tr:first-child .connected")
        past = [row.split()[1] for row in await self.do("text", "#states tbody tr")]
        wanted = ["connected", "reconnecting", "disconnected", "connected", "connecting"]
        self.assertEqual(past, wanted)
        tree = await self.do("tree")
        for words in (
            'heading "Iris account" [level=1]',
            f'heading "{user}" [level=3]',
            'table "Errors"',
            'table "History"',
            'table "Calls"',
            'list "Sinks"',
            'img "States: ',
            'link "Dead letters of this account"',
        ):
            self.assertIn(words, tree)
        for scheme in ("light", "dark"):
            await self.shot("account", scheme)
        for width in (360, 768, 2560):
            await self.do("size", width, 900)
            await self.shot(f"account-{width}", "light")
            wide = await self.do("evaluate", "document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
        await self.do("click", "#calls button")
        await self.do("until", "#calls tr.over span:text-is('rejected')")
        self.assertEqual(call.state, "rejected")
        await self.do("evaluate", "location.reload()")
        await self.do("until", "#errors tbody tr")
        self.assertNotIn("CANARY", await self.do("content"))
        await self.do("click", "#letters")
        await self.do("until", "#quiet")
        self.assertEqual(
            await self.do("evaluate", "document.querySelector('#account').value"), user
        )
        await self.well()

    async def test_operators(self) -> None:
        """Who may only read has no Reject; who may reject does it; the password stays in the browser."""
        path = Path(self.mktemp()).absolute()
        write(path, f"bob:read:{HASH}\nzoe:read,reject:{HASH}\n")
        sandbox = await self.sandbox()
        access = Access(reactor, str(path))
        url = await self.many(sandbox, 1, access=access)
        await self.until(lambda: sandbox.sessions)
        call = sandbox.placeCall("user-0000@sandbox.test")
        await self.browse(url, f"bob:{PASSWORD}")
        await self.do("until", "#calls tbody tr")
        await self.do("until", "#live:text-is('Live')")
        self.assertEqual(await self.do("text", "#calls button"), [])
        self.assertNotIn("Reject", await self.do("content"))
        await self.well()
        await self.browse(url, f"zoe:{PASSWORD}")
        await self.do("until", "#calls button:visible")
        self.assertNotIn("CANARY", await self.do("content"))
        await self.do("click", "#calls button")
        await self.do("until", "#calls tr.over span:text-is('rejected')")
        self.assertEqual(call.state, "rejected")
        await self.well()
