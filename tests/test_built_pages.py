"""
The documentation as readers get it: built, and looked at.
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.static import File

from iris_twisted.net.http.serving import QuietSite

from .processes import Program
from .test_documentation import DOCS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDED = {"sphinx": "sphinx", "furo": "furo", "myst_parser": "myst-parser"}
# A page that posts what its script finds.
FINDING = """<!doctype html><title>looking</title><body><script>
const found = [];
SCRIPT
(async () => {
  try {
    for (const each of LIST) await look(each);
  } catch (e) {
    found.push({failed: String(e)});
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""
# Each page in a frame as wide as a telephone: what is cut, and cannot be scrolled to?
MEASURE = """
async function look(page, width = 400) {
  const frame = document.createElement("iframe");
  frame.width = width;
  frame.height = 800;
  frame.src = "/pages/" + page;
  document.body.append(frame);
  await new Promise(done => frame.onload = done);
  const inside = frame.contentDocument, root = inside.documentElement;
  const tables = [...inside.querySelectorAll("article .table-wrapper > table")].map(table => {
    const box = table.parentElement;
    const style = frame.contentWindow.getComputedStyle(box);
    return {wide: table.scrollWidth > box.clientWidth + 1, scrolls: style.overflowX === "auto"};
  });
  found.push({page, width, over: root.scrollWidth - root.clientWidth, tables});
  frame.remove();
}
"""
# What the search page answers, once it has told how much it found.
SEARCH = """
async function look(words) {
  const frame = document.createElement("iframe");
  frame.src = "/pages/search.html?q=" + encodeURIComponent(words);
  document.body.append(frame);
  await new Promise(done => frame.onload = done);
  const inside = frame.contentDocument;
  const summary = () => inside.querySelector("#search-results .search-summary")?.textContent ?? "";
  while (!/found|did not match/.test(summary())) await new Promise(done => setTimeout(done, 20));
  const links = [...inside.querySelectorAll("#search-results ul.search li > a")];
  found.push({words, summary: summary(), pages: links.map(a => a.getAttribute("href"))});
  frame.remove();
}
"""
# What readers type, and the page that answers it.
QUESTIONS = {
    "TokenRefused": "reference/errors/TokenRefused.html",
    "refused the iris token": "reference/errors/TokenRefused.html",
    "another process has the outbox": "reference/errors/IncorrectParameters.html",
    "the server was silent for": "reference/errors/NoAnswer.html",
    "refused the connection: is it running": "reference/errors/ConnectionFailed.html",
    "-116": "reference/errors/TokenRefused.html",
    "--strict-order": "reference/options.html",
    "IRIS_EVENT_MANAGER": "reference/options.html",
    "iris_outbox_calls": "reference/metrics.html",
    "SDK_SessionNotResumed": "reference/callbacks.html",
    "rejectSession": "api/connection.html",
    "spool grows": "production/runbook.html",
    "Django": "how-to/asyncio.html",
    "RabbitMQ": "how-to/brokers.html",
}


class Told(Resource):
    """What a page posts."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.body: Deferred[bytes] = Deferred()

    def render_POST(self, request: Request) -> bytes:
        self.body.callback(request.content.read())
        return b""


class BuiltPages(TestCase):
    """Built once, without warnings."""

    timeout = 180
    output: Path | None = None

    async def setUp(self) -> None:
        for module, package in NEEDED.items():
            if importlib.util.find_spec(module) is None:
                raise SkipTest(f"{package} is missing: pip install 'iris-twisted[docs]'")
        if BuiltPages.output is None:
            output = Path(self.mktemp()).absolute()
            command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-d", f"{output}.trees"]
            out, err, status = await getProcessOutputAndValue(
                sys.executable, [*command, str(DOCS), str(output)], env=None, reactor=reactor
            )
            self.assertEqual(status, 0, (out + err).decode())
            BuiltPages.output = output
        self.folder = BuiltPages.output

    def read(self, page: str) -> str:
        return (self.folder / page).read_text(encoding="utf-8")

    def test_options(self) -> None:
        """An option has two hyphens, and no dash of a typographer's, on every page."""
        for path in self.folder.rglob("*.html"):
            text = path.read_text(encoding="utf-8")
            self.assertEqual(re.findall(r"[\u2013\u2014][a-z]+-?[a-z]*", text), [], path.name)
        page = self.read("reference/errors/IncorrectParameters.html")
        self.assertIn("--email is missing", page)
        self.assertIn("or --anonymous", page)

    def test_messages(self) -> None:
        """A message stands as it is printed: quotes and underscores too."""
        text = html.unescape(
            re.sub(r"<[^>]+>", "", self.read("reference/errors/IncorrectParameters.html"))
        )
        for words in ("roomId must not hold '/' or '@'", "variable IRIS_TOKEN too", "[[account]]"):
            self.assertIn(words, text)

    def test_oneReference(self) -> None:
        """The names of the API are in the search, have the look of the rest, and link to each other."""
        index = self.read("searchindex.js")
        for name in ("asyncioconnection", "irisrtcconnection", "itransportprovider", "fulljitter"):
            self.assertIn(name, index)
        page = self.read("api/connection.html")
        self.assertIn('class="sidebar-tree"', page)
        self.assertIn('href="settings.html#iris_twisted.connection.settings.Settings"', page)
        self.assertIn('href="errors.html#iris_twisted.errors.IncorrectParameters"', page)
        self.assertIn('id="iris_twisted.IrisRtcConnection.connect"', page)
        self.assertIn(
            'href="#iris_twisted.interfaces.IMessageTransport', self.read("api/interfaces.html")
        )

    def test_noEpytext(self) -> None:
        """No mark of the docstrings is left over, and no interface's repr."""
        for path in (self.folder / "api").glob("*.html"):
            text = html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))
            self.assertEqual(re.findall(r"\b[CLBI]\{|@param|@ivar|InterfaceClass", text), [], path)

    async def test_narrow(self) -> None:
        """On 400 px no page is cut: a table that is wider scrolls by itself."""
        pages = sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*.html")
            if "_modules" not in path.parts
        )
        measured = await self.look(MEASURE, pages)
        self.assertEqual([(m["page"], m["over"]) for m in measured if m["over"] > 0], [])
        tables = [table for m in measured for table in m["tables"]]
        self.assertTrue(any(table["wide"] for table in tables), "nothing was measured")
        self.assertTrue(all(table["scrolls"] for table in tables if table["wide"]))

    async def test_search(self) -> None:
        """What readers type into the search leads to the page that answers it, among the first five."""
        answers = await self.look(SEARCH, list(QUESTIONS))
        for answer in answers:
            first = [page.partition("#")[0] for page in answer["pages"][:5]]
            self.assertIn(QUESTIONS[answer["words"]], first, answer)

    async def look(self, script: str, each: list[str]) -> list[dict[str, Any]]:
        """What a script finds of each, in a browser that has the pages."""
        if CHROMIUM is None:
            raise SkipTest("Chromium is missing: apt-get install chromium")
        root = Resource()
        root.putChild(b"pages", File(str(self.folder)))
        looking = Path(self.mktemp())
        looking.write_text(FINDING.replace("SCRIPT", script).replace("LIST", json.dumps(each)))
        told = Told()
        root.putChild(b"found", told)
        root.putChild(b"look.html", File(str(looking), defaultType="text/html"))
        port = reactor.listenTCP(0, QuietSite(root), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        profile = Path(self.mktemp()).absolute()
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        url = f"http://127.0.0.1:{port.getHost().port}/look.html"
        browser = Program()
        # With a port to be debugged at, it stays until it is told to go.
        command = [CHROMIUM, *options, "--remote-debugging-port=0", url]
        reactor.spawnProcess(browser, CHROMIUM, command, env=None)  # type: ignore[attr-defined]
        self.addCleanup(browser.signal, "TERM")
        found: list[dict[str, Any]] = json.loads(await told.body)
        self.assertEqual([f["failed"] for f in found if "failed" in f], [])
        self.assertEqual(len(found), len(each))
        return found
