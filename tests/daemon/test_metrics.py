"""
The text that Prometheus reads, over real sockets.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.metrics import Metrics
from iris_twisted.daemon.operator_site import OperatorSite
from iris_twisted.fleet.fleet import IrisFleet

from ..interop.prosody import freePort
from ..network import NetworkCase
from ..processes import startTwist

# At a time, and so many connections to the event manager are kept at most.
ATTEMPTS = 5


class Scraper(Protocol):
    """Writes down the answer; C{gone} fires when the connection is closed."""

    def __init__(self) -> None:
        self.answer = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


class Looking(SynchronousTestCase):
    """What a look costs."""

    def test_manyScrapers(self) -> None:
        """However often somebody scrapes, all accounts are looked at once in five seconds."""
        clock = Clock()
        fleet = IrisFleet("https://evm.example.test", reactor=clock)
        metrics = Metrics(clock, fleet)
        looks: list[float] = []

        def looked(seconds: float) -> int:
            looks.append(clock.seconds())
            return len(looks)

        self.patch(fleet, "tokensExpiringWithin", looked)

        def scraped() -> float | None:
            self.successResultOf(Deferred.fromCoroutine(metrics.look()))
            return metrics.registry.get_sample_value("iris_tokens_expiring")

        seen = []
        for _ in range(20):
            seen.append(scraped())
            clock.advance(0.5)
        self.assertEqual(looks, [0.0, 5.0])
        self.assertEqual(seen, [1.0] * 10 + [2.0] * 10)


class Scraping(NetworkCase):
    """What is asked for, and by whom."""

    async def begin(self) -> None:
        self.metrics = Metrics(reactor, IrisFleet("https://evm.example.test", reactor=reactor))
        root = self.metrics.resource(reactor)
        self.site = OperatorSite(reactor, "tcp:0:interface=127.0.0.1", root)
        self.addCleanup(self.site.stop)
        await self.site.listen()
        self.port = self.site._port.getHost().port

    async def scrape(self, method: str = "GET", query: str = "", *headers: str) -> Scraper:
        scraper = Scraper()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        await connectProtocol(endpoint, scraper)
        lines = [f"{method} /metrics{query} HTTP/1.1", "Host: x", "Connection: close", *headers]
        scraper.transport.write("\r\n".join([*lines, "", ""]).encode())
        return scraper

    async def text(self, *asked: str) -> tuple[str, bytes]:
        """The head and the body of an answer."""
        scraper = await self.scrape(*asked)
        await scraper.gone
        head, _, body = scraper.answer.partition(b"\r\n\r\n")
        return head.decode(), body

    async def test_gone(self) -> None:
        """A scraper that goes away meanwhile harms nothing, and the next one gets everything."""
        await self.begin()
        looked: list[Deferred[None]] = []
        look = self.metrics.look

        async def slowly() -> None:
            waiting: Deferred[None] = Deferred()
            looked.append(waiting)
            await waiting
            await look()

        self.patch(self.metrics, "look", slowly)
        scraper, other = await self.scrape(), await self.scrape()
        await self.until(lambda: len(looked) == 2)
        scraper.transport.abortConnection()
        await scraper.gone
        await self.until(lambda: len(self.site._connections.protocols) == 1)
        for waiting in looked:
            waiting.callback(None)
        await other.gone
        self.assertIn(b"200 OK", other.answer)
        self.assertIn(b"iris_connections", other.answer)

    async def test_asked(self) -> None:
        """All of it, or what was named, in the format and the encoding that was asked for."""
        await self.begin()
        head, body = await self.text()
        self.assertIn("Content-Type: text/plain; version=0.0.4", head)
        self.assertIn(b"iris_build_info", body)
        _, body = await self.text("GET", "?name[]=iris_repeated_calls_total")
        self.assertIn(b"iris_repeated_calls_total 0.0", body)
        self.assertNotIn(b"iris_build_info", body)
        head, body = await self.text("GET", "", "Accept: application/openmetrics-text")
        self.assertIn("Content-Type: application/openmetrics-text", head)
        self.assertIn(b"# EOF", body)
        head, _ = await self.text("GET", "", "Accept-Encoding: gzip")
        self.assertIn("Content-Encoding: gzip", head)
        head, body = await self.text("HEAD")
        self.assertIn("200 OK", head)
        self.assertEqual(body, b"")
        self.assertIn("405", (await self.text("POST", "", "Content-Length: 0"))[0])

    async def test_bug(self) -> None:
        """What fails is logged, and told as such."""
        await self.begin()
        self.patch(self.metrics, "look", lambda: 1 / 0)
        self.assertIn("500 ", (await self.text())[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Descriptors(NetworkCase):
    """What the page about sizes says of them."""

    timeout = 60

    async def opened(self, accounts: int) -> int:
        """How many a daemon has open that does nothing but keep so many connections."""
        sandbox = await self.sandbox()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        rows = ["routing-id,token-file"]
        (folder / "token").write_text("any")
        rows += [f"u{number}@sandbox.test,token" for number in range(accounts)]
        (folder / "accounts.csv").write_text("\n".join(rows))
        port = freePort()
        program = startTwist(
            self,
            "iris",
            *("--event-manager", sandbox.url, "--accounts", str(folder / "accounts.csv")),
            *("--attempts", str(ATTEMPTS), "--metrics", f"tcp:{port}:interface=127.0.0.1"),
        )
        await self.until(lambda: len(sandbox.sessions) == accounts or program.ended.called)
        answer = await treq.get(f"http://127.0.0.1:{port}/metrics", persistent=False)
        found = re.search(r"^process_open_fds (\S+)", await answer.text(), re.M)
        assert found is not None
        await program.signal("INT")
        return int(float(found[1]))

    async def test_oneEach(self) -> None:
        """One for each connection, those to the event manager that are kept, and a few."""
        few, many = await self.opened(10), await self.opened(40)
        self.assertIn(many - few, range(30 - ATTEMPTS, 30 + ATTEMPTS + 1))
        self.assertIn(many, range(40, 40 + ATTEMPTS + 20))
