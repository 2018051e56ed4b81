"""
The documentation is true, because it is run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.plugin import getPlugins
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import iris_twisted
from iris_twisted.connection.state import ConnectionState
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.fleet.account_tables import readToml
from iris_twisted.interfaces import IIrisListener

from .interop.prosody import freePort
from .processes import Program
from .test_packaging import README, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def fences(page: Path, kind: str) -> list[str]:
    """The blocks of that kind on a page."""
    return [text for name, text in FENCE.findall(page.read_text(encoding="utf-8")) if name == kind]


class Shell(Program):
    """A command, whose output is one stream."""

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)


class Documented(TestCase):
    """Programs of the documentation, in a folder of their own."""

    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.programs: list[Shell] = []
        self.addCleanup(self.end)

    async def end(self) -> None:
        for program in self.programs:
            if not program.ended.called:
                await program.signal("KILL")

    def run_(self, *command: str) -> Shell:
        program = Shell()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
        }
        reactor.spawnProcess(  # type: ignore[attr-defined]
            program, command[0], list(command), env=environment, path=str(self.folder)
        )
        self.programs.append(program)
        return program


class Snippets(Documented):
    """Every Python snippet is a program that runs."""

    async def test_all(self) -> None:
        """Each ends with 0 and says something; those of the tutorial are run there."""
        count = 0
        for page in PAGES:
            if page.name == "tutorial.md":
                continue
            for text in fences(page, "python"):
                if text.startswith("# test_"):
                    continue  # Run by pytest, in test_testing.
                program = self.run_(sys.executable, "-c", text)
                status = await program.ended
                self.assertEqual(status, 0, f"{page.name}:\n{text}\n{program.stdout}")
                self.assertTrue(program.stdout.strip(), text)
                count += 1
        self.assertGreaterEqual(count, 8)


class Tutorial(Documented):
    """Every command and file of the tutorial, in order, as a reader would."""

    async def test_everyStep(self) -> None:
        """Each command ends with 0, or runs on; what is shown of its output comes."""
        if shutil.which("curl") is None:
            raise SkipTest("curl is missing: apt-get install curl")
        text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
        text = text.replace("8188", str(freePort()))
        blocks = FENCE.findall(text)
        # The first two are those of the README, which CI runs in a fresh clone.
        self.assertIn(blocks[0][1].strip(), README)
        self.assertEqual(blocks[1], ("sh", ". .venv/bin/activate\n"))
        for kind, content in blocks[2:]:
            if kind in ("python", "toml"):
                name = content.splitlines()[0].removeprefix("# ")
                (self.folder / name).write_text(content)
            elif kind == "sh":
                for command in content.splitlines():
                    await self.command(command)
            else:
                self.assertEqual(kind, "text")
                for line in content.splitlines():
                    await self.seen(line)

    def output(self) -> str:
        return "".join(program.stdout for program in self.programs)

    async def command(self, line: str) -> None:
        if line.endswith(" &"):
            program = self.run_("/bin/bash", "-c", f"exec env {line.removesuffix(' &')}")
            while not program.stdout:
                await self.more(program)
            return
        program = self.run_("/bin/bash", "-c", line)
        self.assertEqual(await program.ended, 0, f"{line}\n{program.stdout}")

    async def more(self, program: Shell) -> None:
        """Wait until a program has said more, or has ended."""
        said = len(program.stdout)
        while len(program.stdout) == said and not program.ended.called:
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
            await turn

    async def seen(self, line: str) -> None:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        while not any(pattern.search(program.stdout) for program in self.programs):
            for program in self.programs:
                if program.ended.called and "twist iris" in line:
                    self.fail(self.output())
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
            await turn


class Pages(SynchronousTestCase):
    """What is made from the source, and what must agree with it."""

    def test_errors(self) -> None:
        """Every message of every error stands on the page of its kind, and there is no other page."""
        pages: dict[str, str] = run_path(str(DOCS / "make_errors.py"))["pages"]()
        folder = DOCS / "reference"
        for path, page in pages.items():
            self.assertEqual((folder / path).read_text(encoding="utf-8"), page)
        there = {str(path.relative_to(folder)) for path in (folder / "errors").iterdir()}
        self.assertEqual(there | {"errors.md"}, set(pages))
        self.assertGreater(sum(page.count("\n* ") for page in pages.values()), 300)

    def test_options(self) -> None:
        """Every option stands in the table."""
        page = run_path(str(DOCS / "make_options.py"))["page"]()
        self.assertEqual((DOCS / "reference" / "options.md").read_text(encoding="utf-8"), page)

    def test_callbacks(self) -> None:
        """Every callback stands in the reference."""
        text = (DOCS / "reference" / "callbacks.md").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"^\| `(on\w+)\(", text, re.M)), set(IIrisListener.names()))

    def test_commands(self) -> None:
        """The page about the terminal has each command."""
        text = (DOCS / "how-to" / "terminal.md").read_text(encoding="utf-8")
        named = set(re.findall(r"^\| `twist (iris[a-z-]*)", text, re.M))
        ours = {maker.tapname for maker in getPlugins(IServiceMaker)}
        self.assertEqual(named, {name for name in ours if name.startswith("iris")})

    def test_lifecycle(self) -> None:
        """The drawing has every state of the machine; the page says what each is called outside."""
        module = run_path(str(DOCS / "lifecycle_graph.py"))
        found: list[Any] = module["transitions"]()
        states = {state for begin, _, end in found for state in (begin, end)}
        text = (DOCS / "explanation" / "lifecycle.md").read_text(encoding="utf-8")
        named = re.findall(r"^\| (\w+) \| ([A-Z]+) \|", text, re.M)
        self.assertEqual({state for state, _ in named}, states)
        self.assertEqual({outside for _, outside in named}, set(ConnectionState.__members__))
        self.assertIn(("connected", "sessionLost", "waiting"), found)
        self.assertIn('connecting -> connected [label="attemptUp"]', module["lifecycleGraph"]())

    def test_configurations(self) -> None:
        """Every configuration on a page is one."""
        count = 0
        for page in [*PAGES, ROOT / "README.md"]:
            for text in fences(page, "toml"):
                path = Path(self.mktemp())
                path.write_text(text)
                if "password" in readToml(str(path)).get("account", [{}])[0]:
                    continue  # The sandbox's, which test_prosody uses.
                configuration = Configuration.read({}, {}, str(path))
                # The accounts of a cluster are elsewhere.
                self.assertTrue(configuration.accounts or configuration["cluster"], text)
                count += 1
        self.assertGreaterEqual(count, 4)

    def test_unit(self) -> None:
        """The unit for systemd says what the page says."""
        unit = (DOCS / "systemd" / "iris-twisted.service").read_text()
        page = (DOCS / "how-to" / "systemd.md").read_text()
        for line in ("ExecReload=/bin/kill -HUP $MAINPID", "Type=notify", "WatchdogSec=30"):
            self.assertIn(line, unit)
        (program,) = set(re.findall(r"^ExecStart(?:Pre)?=(\S+)", unit, re.M))
        self.assertIn(str(Path(program).parent.parent), page)
        self.assertIn("/etc/iris-twisted/iris.toml", page)

    def test_verifiedUnits(self) -> None:
        """systemd finds nothing to complain of in the units."""
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("systemd-analyze is missing: apt-get install systemd")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        units = sorted((DOCS / "systemd").iterdir())
        for unit in units:
            # Where it is expected is nothing here.
            text = unit.read_text().replace(
                "/opt/iris-twisted/bin/", f"{Path(sys.executable).parent}/"
            )
            (folder / unit.name).write_text(text)
            ran = subprocess.run(
                [program, "verify", str(folder / unit.name)],
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual((ran.returncode, ran.stdout + ran.stderr), (0, ""), unit.name)
        self.assertEqual(len(units), 2)

    def test_links(self) -> None:
        """Every link to another page leads to one."""
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text(encoding="utf-8")):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
