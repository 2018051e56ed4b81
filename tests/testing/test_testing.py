"""
What applications get for their tests: the page about it, run as its readers would.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import threading
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import iris_twisted
from iris_twisted.sandbox import SandboxError
from iris_twisted.testing import IrisTestMixin, SandboxThread

from ..test_documentation import DOCS, fences
from ..test_packaging import ROOT

PAGE = DOCS / "how-to" / "test-your-application.md"


class Pytest(TestCase):
    """The plugin, in a process of pytest's."""

    timeout = 180

    def setUp(self) -> None:
        for module in ("pytest", "pytest_asyncio", "pytest_twisted"):
            if importlib.util.find_spec(module) is None:
                raise SkipTest(f"{module} is missing: pip install {module.replace('_', '-')}")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    async def pytest(self, *arguments: str) -> tuple[int, str]:
        """Run it: the exit status, and what it said."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        if not self.isInstalled():
            command += ["-p", "iris_twisted.testing.pytest_plugin"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        out, err, status = await getProcessOutputAndValue(
            command[0], command[1:], env=environment, path=str(self.folder), reactor=reactor
        )
        return status, (out + err).decode()

    @staticmethod
    def isInstalled() -> bool:
        """Whether pytest finds the plugin by itself; not in a checkout that is only on the path."""
        from importlib.metadata import entry_points

        return "iris" in entry_points(group="pytest11").names

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def page(self) -> list[str]:
        """The files of the page, written."""
        names = []
        for text in fences(PAGE, "python"):
            first = text.partition("\n")[0]
            if first.startswith("# test_"):
                self.write(first.removeprefix("# "), text)
                names.append(first.removeprefix("# "))
        return names

    async def test_page(self) -> None:
        """Every test of the page passes, those of pytest-asyncio and pytest-twisted in one run."""
        names = self.page()
        self.assertEqual(names, ["test_calls.py", "test_settings.py", "test_callbacks.py"])
        status, said = await self.pytest()
        self.assertEqual(status, 0, said)
        tests = sum(text.count("def test_") for text in map(self.read, names))
        self.assertIn(f"{tests} passed", said)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    async def test_autoMode(self) -> None:
        """Without marks, in pytest-asyncio's auto mode, and on loops of any scope."""
        self.write(
            "test_auto.py",
            "import asyncio, pytest\n"
            "async def test_unmarked(iris_sandbox, iris_connection):\n"
            "    assert iris_connection.isAlive\n"
            "@pytest.mark.asyncio(loop_scope='module')\n"
            "async def test_module(iris_sandbox, iris_connection):\n"
            "    placed = iris_sandbox.placeCall('alice@sandbox.test')\n"
            "    await (await anext(iris_connection.calls())).reject()\n"
            "    assert placed.state == 'rejected'\n"
            "def test_withoutALoop(iris_sandbox):\n"
            "    assert iris_sandbox.sessions == []\n",
        )
        for options in ((), ("-o", "asyncio_default_test_loop_scope=session")):
            status, said = await self.pytest("--asyncio-mode=auto", "-p", "no:twisted", *options)
            self.assertEqual(status, 0, said)
            self.assertIn("3 passed", said)

    async def test_missing(self) -> None:
        """Where the plugin is missing that a test needs, it says which to install."""
        self.write("test_none.py", "def test_it(iris_connection):\n    pass\n")
        status, said = await self.pytest("-p", "no:twisted")
        self.assertEqual(status, 1)
        self.assertIn("pip install pytest-twisted", said)

    async def test_mark(self) -> None:
        """The mark is known, and described: --strict-markers takes it."""
        self.write(
            "test_mark.py",
            "import pytest\n"
            "@pytest.mark.iris(tls=True)\n"
            "def test_it(iris_sandbox):\n"
            "    assert iris_sandbox.url.startswith('https://')\n",
        )
        status, said = await self.pytest("--strict-markers")
        self.assertEqual(status, 0, said)
        _, said = await self.pytest("--markers")
        self.assertIn("@pytest.mark.iris(routingId=", said)

    async def test_nobodyElse(self) -> None:
        """Nobody else needs pytest: without it, everything can be imported."""
        names = [
            "iris_twisted",
            "iris_twisted.testing",
            "iris_twisted.aio",
            "iris_twisted.tap",
            "iris_twisted.sandbox.tap",
        ]
        code = f"import sys; sys.modules['pytest'] = None\nimport {', '.join(names)}\n"
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            ["-c", code],
            env={**os.environ, "PYTHONPATH": str(Path(iris_twisted.__file__).parent.parent)},
            path="/",
            reactor=reactor,
        )
        self.assertEqual((status, out, err), (0, b"", b""))


class EntryPoint(SynchronousTestCase):
    """How pytest finds it."""

    def test_named(self) -> None:
        """The name in setup.py is that of a module that is there."""
        text = (ROOT / "setup.py").read_text()
        (name,) = re.findall(r'"pytest11": \["iris = ([\w.]+)"\]', text)
        self.assertIsNotNone(importlib.util.find_spec(name))


class Threads(SynchronousTestCase):
    """A sandbox in a thread, without any loop or reactor here."""

    def test_everything(self) -> None:
        """What is asked of it is done when the method returns."""
        with SandboxThread(tls=True) as sandbox:
            self.assertTrue(sandbox.url.startswith("https://127.0.0.1:"))
            self.assertTrue(Path(str(sandbox.caFile)).exists())
            call = sandbox.placeCall("alice@sandbox.test")
            self.assertEqual(call.state, "missed")
            self.assertEqual(sandbox.cancelCall(call.id).state, "cancelled")
            token = sandbox.token("alice@sandbox.test")
            self.assertTrue(sandbox.do(lambda s: s.platform.accepts(token)))
            sandbox.refuseToken(token)
            self.assertFalse(sandbox.do(lambda s: s.platform.accepts(token)))
            sandbox.hang("sasl")
            sandbox.answerDiscovery(500, b"no", retry_after="5")
            platform = sandbox.do(lambda s: s.platform)
            self.assertEqual((platform.hanging, platform.answer.status), ({"sasl"}, 500))
            sandbox.behave()
            self.assertEqual((platform.hanging, platform.answer), (set(), None))
            sandbox.drop()
            self.assertEqual(sandbox.sessions, [])
            with self.assertRaises(SandboxError):
                sandbox.hang("nowhere")
            with self.assertRaises(TimeoutError):
                sandbox.wait(lambda: False, timeout=0.0)
            sandbox.wait(lambda: True)
        sandbox.stop()
        self.assertFalse(any(t.name == "iris-sandbox" for t in threading.enumerate()))

    def test_refused(self) -> None:
        """One that cannot listen says so, and leaves no thread behind."""
        with SandboxThread() as sandbox:
            port = int(sandbox.url.rpartition(":")[2])
            with self.assertRaisesRegex(Exception, "Couldn't listen"):
                SandboxThread(port=port)
            threads = [t for t in threading.enumerate() if t.name == "iris-sandbox"]
            self.assertEqual(len(threads), 1)


class Trial(IrisTestMixin, TestCase):
    """The mixin for trial, besides what the page shows."""

    timeout = 60

    async def test_tls(self) -> None:
        """A connection trusts the sandbox's certificate, that of a platform which was away too."""
        sandbox = await self.irisSandbox(tls=True)
        self.irisReactor = reactor
        connection = await self.irisConnection(sandbox, "bob@sandbox.test", irisToken="any")
        self.assertTrue(str(connection.jid).startswith("bob@sandbox.test/"))
        await sandbox.goAway()
        await self.irisUntil(lambda: not connection.isConnectionAlive())
        await sandbox.comeBack()
        await sandbox.comeBack()
        await self.irisUntil(connection.isConnectionAlive)
