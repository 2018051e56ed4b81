"""
Every program, package and unit that a page names is tried, or the page says that it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .test_documentation import DOCS, PAGES, fences
from .test_packaging import ROOT

# Each program, and who runs it: that file names it, or the page whose commands it runs.
TRIED = {
    "apt-get": ".ci/run",
    "createdb": "tests/cluster/test_command.py",
    "createuser": "tests/cluster/test_command.py",
    "curl": "tests/test_documentation.py",
    "flask": "tests/aio/test_examples.py",
    "git": ".ci/run",
    "pip": "tests/test_packaging.py",
    "promtool": "tests/interop/test_monitoring.py",
    "prosody": "tests/interop/prosody.py",
    "prosodyctl": "tests/interop/prosody.py",
    "python": "tests/test_documentation.py",
    "python3": ".ci/bare-debian",
    "rabbitmq-plugins": "tests/interop/rabbitmq.py",
    "rabbitmqadmin": "tests/interop/test_rabbitmq.py",
    "systemd-analyze": "tests/test_documentation.py",
    "tox": ".ci/run",
    "trial": "tests/run.py",
    "twist": "tests/processes.py",
    "uvicorn": "tests/aio/test_examples.py",
    # Packages.
    "bash-completion": ".ci/run",
    "postgresql": ".ci/run",
    "python3-venv": ".ci/bare-debian",
}
# What no test tries, and so each page that names it must say so.
UNTRIED = {
    *("install", "journalctl", "sudo", "systemctl", "timedatectl", "useradd"),
    *("nginx", "pre-commit", "ssh", "twine"),
}
# The shell itself, and what POSIX has everywhere; the tutorial's test runs them.
SHELL = {".", ":", "cp", "do", "done", "echo", "export", "grep", "kill", "mkdir", "sed", "until"}
# Packages of Debian.
PACKAGES = r"(?:apt-get install |its package `)([a-z0-9][a-z0-9-]+)"
SAID = re.compile(r"No test tries ((?:`[^`]+`(?:, | and )?)+)")
EVERY = [
    *PAGES,
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def programs(line: str) -> Iterator[str]:
    """The programs that a line of a shell starts, without their folders."""
    for part in re.split(r"&&|\||;|\$\(|&(?=\s|$)", re.sub(r"\s#\s.*", "", line)):
        words = part.split()
        # Variables, and what starts the word behind it.
        while words and (re.match(r"\w+=", words[0]) or words[0] in ("until", "do", "sudo")):
            if words.pop(0) == "sudo":
                yield "sudo"
                words = words[2:] if words[:1] == ["-u"] else words
        if words:
            yield words[0].rpartition("/")[2] or words[0]


def commands(page: Path) -> Iterator[str]:
    """The lines of a page that are typed."""
    for block in fences(page, "sh"):
        yield from filter(None, block.replace("\\\n", " ").splitlines())


def named(page: Path) -> set[str]:
    """The programs and packages of a page: those of its commands, and those of its text."""
    found = set()
    for line in commands(page):
        found.update(programs(line))
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = SAID.sub("", " ".join(text.split()))
    for code in re.findall(r"`([^`]+)`", text):
        first = next(programs(code), "")
        if first in UNTRIED or (first in TRIED and code != first):
            found.update({*programs(code)} & {*TRIED, *UNTRIED})
    found.update(re.findall(r"\b(nginx)\b", text))
    found.update(re.findall(PACKAGES, " ".join(page.read_text(encoding="utf-8").split())))
    return found - SHELL


class Named(SynchronousTestCase):
    """What is typed, and what is installed."""

    def test_known(self) -> None:
        """Each name is one that is tried, or one that is known not to be."""
        found = set()
        for page in EVERY:
            names = named(page)
            self.assertEqual(names - {*TRIED, *UNTRIED}, set(), page)
            found |= names
        self.assertEqual(UNTRIED - found, set())
        self.assertGreater(len(found), 20)

    def test_tried(self) -> None:
        """Who tries it names it, or runs the commands of the page that names it."""
        for name, where in TRIED.items():
            text = (ROOT / where).read_text(encoding="utf-8")
            pages = [page for page in EVERY if name in named(page)]
            words = [re.escape(name), *(re.escape(f'"{page.name}"') for page in pages)]
            self.assertRegex(text, rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", name)

    def test_untried(self) -> None:
        """A page says of each name that no test tries that it is not tried, and of no other."""
        for page in EVERY:
            text = " ".join(page.read_text(encoding="utf-8").split())
            said = {n for names in SAID.findall(text) for n in re.findall(r"`([^`]+)`", names)}
            self.assertEqual(said, named(page) & UNTRIED, page)

    def test_units(self) -> None:
        """Each unit that systemctl is given is in the repository, or Debian's own Prosody."""
        units = {path.stem for path in (DOCS / "systemd").iterdir()}
        found = set()
        for page in EVERY:
            text = page.read_text(encoding="utf-8")
            for names in re.findall(
                r"(?:systemctl [a-z-]+(?: --now)?|journalctl -u)((?: [a-z][a-z@-]*)+)", text
            ):
                for unit in names.split():
                    self.assertIn(re.sub(r"@\w*$", "@", unit), {*units, "prosody"}, page)
                    found.add(unit)
        self.assertGreater(len(found), 2)
