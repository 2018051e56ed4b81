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
# Each page in a frame as wide as a telephone: what is cut, and cannot be scrolled to?
FRAMES = """<!doctype html><title>measuring</title><body><script>
const found = [];
async function measure(page, width) {
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
(async () => {
  try {
    for (const page of PAGES) await measure(page, 400);
  } catch (e) {
    found.push({failed: String(e)});
  }
  await fetch("/measured", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


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
        self.assertIn("--email is missing", self.read("reference/errors.html"))
        self.assertIn("or --anonymous", self.read("reference/errors.html"))

    def test_messages(self) -> None:
        """A message stands as it is printed: quotes and underscores too."""
        text = html.unescape(re.sub(r"<[^>]+>", "", self.read("reference/errors.html")))
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
        if CHROMIUM is None:
            raise SkipTest("Chromium is missing: apt-get install chromium")
        pages = sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*.html")
            if "_modules" not in path.parts
        )
        root = Resource()
        root.putChild(b"pages", File(str(self.folder)))
        measuring = Path(self.mktemp())
        measuring.write_text(FRAMES.replace("PAGES", json.dumps(pages)))
        told = Told()
        root.putChild(b"measured", told)
        root.putChild(b"measure.html", File(str(measuring), defaultType="text/html"))
        port = reactor.listenTCP(0, QuietSite(root), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        profile = Path(self.mktemp()).absolute()
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        url = f"http://127.0.0.1:{port.getHost().port}/measure.html"
        browser = Program()
        # With a port to be debugged at, it stays until it is told to go.
        command = [CHROMIUM, *options, "--remote-debugging-port=0", url]
        reactor.spawnProcess(browser, CHROMIUM, command, env=None)  # type: ignore[attr-defined]
        self.addCleanup(browser.signal, "TERM")
        measured = json.loads(await told.body)
        self.assertEqual([m["failed"] for m in measured if "failed" in m], [])
        self.assertEqual(len(measured), len(pages))
        self.assertEqual([(m["page"], m["over"]) for m in measured if m["over"] > 0], [])
        tables = [table for m in measured for table in m["tables"]]
        self.assertTrue(any(table["wide"] for table in tables), "nothing was measured")
        self.assertTrue(all(table["scrolls"] for table in tables if table["wide"]))
