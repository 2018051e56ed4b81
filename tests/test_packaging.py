"""
The wheel in a fresh environment, and the README's example.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Running(TestCase):
    """Commands that end by themselves."""

    timeout = 300

    async def run_(self, *command: str) -> str:
        """The output of a command that succeeds."""
        out, err, status = await getProcessOutputAndValue(
            command[0], command[1:], env=None, path="/", reactor=reactor
        )
        self.assertEqual(status, 0, (out + err).decode())
        return out.decode()


class Wheel(Running):
    """What pip installs."""

    async def test_freshEnvironment(self) -> None:
        """A wheel in a fresh environment makes twist list both commands, typed and complete."""
        folder = Path(self.mktemp()).absolute()
        source = folder / "source"
        # A copy, so that building leaves nothing in the checkout.
        source.mkdir(parents=True)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        for name in ("iris_twisted", "twisted"):
            ignored = shutil.ignore_patterns("__pycache__", "*.cache")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        python = str(folder / "env" / "bin" / "python")
        await self.run_(sys.executable, "-m", "venv", str(folder / "env"))
        pip = (python, "-m", "pip", "--disable-pip-version-check")
        await self.run_(*pip, "wheel", "-q", "--no-deps", "-w", str(folder / "dist"), str(source))
        (wheel,) = (folder / "dist").glob("iris_twisted-*.whl")
        names = await self.run_(python, "-m", "zipfile", "-l", str(wheel))
        for name in (
            "iris_twisted/py.typed",
            "iris_twisted/testing/pytest_plugin.py",
            "twisted/plugins/iris_twisted_commands.py",
            "twisted/plugins/iris_twisted_transports.py",
            "LICENSE",
        ):
            self.assertIn(name, names)
        self.assertNotIn("twisted/plugins/__init__.py", names)
        self.assertNotIn("tests/", names)
        await self.run_(*pip, "install", "-q", str(wheel))
        listed = await self.run_(str(folder / "env" / "bin" / "twist"), "--help")
        self.assertRegex(listed, r"(?m)^ +iris +Connect")
        self.assertRegex(listed, r"(?m)^ +iris-sandbox +Play")


class OldPython(SynchronousTestCase):
    """A Python that is too old."""

    def test_sentence(self) -> None:
        """Is told in a sentence that says what to do, before anything else goes wrong."""
        self.patch(sys, "version_info", (3, 10, 13, "final", 0))
        with self.assertRaises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "setup.py"))
        self.assertIn("needs Python 3.11 or newer, and this is 3.10", str(caught.exception))
        self.assertIn("python3.11 -m venv", str(caught.exception))


class Readme(Running):
    """The README is true."""

    async def test_example(self) -> None:
        """The embedding example runs, is at most 15 lines long, and rejects its call."""
        (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        self.assertLessEqual(len([line for line in example.splitlines() if line.strip()]), 15)
        output = await self.run_(sys.executable, "-c", PATH + example)
        self.assertEqual(output, "rejecting caller@sandbox.test None\n")

    def test_options(self) -> None:
        """Every option of twist iris stands in the README."""
        from iris_twisted.tap import Options

        options = Options()
        for name in [p[0] for p in options.optParameters] + [f[0] for f in options.optFlags]:
            self.assertIn(f"`--{name}", README)

    def test_callbacks(self) -> None:
        """Every callback stands in the README."""
        from iris_twisted.interfaces import IIrisListener

        for name in IIrisListener.names():
            self.assertIn(f"`{name}(", README)


def _path() -> str:
    import iris_twisted

    package = str(Path(iris_twisted.__file__).parent.parent)
    return f"import sys; sys.path.insert(0, {package!r})\n"


PATH = _path()


class Tracked(SynchronousTestCase):
    """What git keeps."""

    def test_noArtefacts(self) -> None:
        """Nothing is tracked that .gitignore names: what a run leaves is no source."""
        if not (ROOT / ".git").exists():
            raise SkipTest("no git checkout: there is nothing that is tracked")
        command = [
            "git",
            "-C",
            str(ROOT),
            "ls-files",
            "--cached",
            "--ignored",
            "--exclude-standard",
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertEqual(found.stdout, "")
