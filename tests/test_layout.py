"""
The floors are a rule: who may import whom, how deep it goes, and that words name what is there.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from runpy import run_path

from twisted.trial.unittest import SynchronousTestCase

import iris_twisted

from .test_packaging import ROOT

PACKAGE = Path(iris_twisted.__file__).parent
_DRAWN = run_path(str(ROOT / "docs" / "import_graph.py"))
importGraph, roomOf = _DRAWN["importGraph"], _DRAWN["roomOf"]
# What each room may import besides itself, C{errors} and C{version}.
BELOW = {
    "net": "",
    "command_line": "",
    "discovery": "net",
    "transport": "net",
    "xmpp": "net",
    "rtc": "net xmpp",
    "connection": "net discovery transport xmpp rtc",
    "fleet": "net discovery connection",
    "login": "net discovery connection",
    "sinks": "net connection",
    "outbox": "net command_line connection sinks",
    "operators": "net command_line",
    "console": "net rtc connection fleet sinks outbox operators",
    "sandbox": "net command_line discovery transport xmpp rtc connection fleet",
    "aio": "connection rtc sandbox",
    "testing": "aio connection sandbox",
    "cluster": "net command_line connection sandbox sinks outbox daemon",
    "daemon": "net command_line discovery xmpp rtc connection fleet login sinks outbox operators console sandbox",
}
# What stands at the top, and may import any room.
FACE = {"__init__", "errors", "interfaces", "tap", "version"}
EVERYBODYS = {"errors", "version"}
MOST_LEVELS, MOST_ROOMS = 16, 10


def _levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """How many there are below each, itself included; fails with the circle if there is one."""
    way: list[str] = []

    @cache
    def level(name: str) -> int:
        if name in way:
            raise AssertionError(f"a circle: {' -> '.join([*way[way.index(name) :], name])}")
        way.append(name)
        deepest = max((level(other) for other in graph.get(name, ())), default=0)
        way.pop()
        return deepest + 1

    return {name: level(name) for name in graph}


class Layout(SynchronousTestCase):
    """The import graph, read from the source."""

    def test_top(self) -> None:
        """Nothing stands flat at the top but the public face, and each folder is a room."""
        flat = {path.stem for path in PACKAGE.glob("*.py")}
        rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
        self.assertEqual(flat, FACE)
        self.assertEqual(rooms, set(BELOW))

    def test_downward(self) -> None:
        """A room imports only rooms that it may."""
        for module, targets in importGraph().items():
            room = roomOf(module)
            if room in FACE - EVERYBODYS:
                continue
            allowed = {room, *EVERYBODYS, *BELOW.get(room, "").split()}
            for target in targets:
                self.assertIn(roomOf(target), allowed, f"{module} imports {target}")

    def test_floors(self) -> None:
        """The rooms themselves have no circle, and few stand on each other."""
        levels = _levels({room: set(below.split()) for room, below in BELOW.items()})
        self.assertLessEqual(max(levels.values()), MOST_ROOMS)

    def test_modules(self) -> None:
        """No circle of imports, and few modules on top of each other."""
        levels = _levels(importGraph())
        self.assertLessEqual(max(levels.values()), MOST_LEVELS, max(levels, key=levels.__getitem__))

    def test_needed(self) -> None:
        """What a room may import, it does import: the table says how it is."""
        used: dict[str, set[str]] = {room: set() for room in BELOW}
        for module, targets in importGraph().items():
            if roomOf(module) in used:
                used[roomOf(module)] |= {roomOf(target) for target in targets}
        for room, below in BELOW.items():
            self.assertEqual(set(below.split()), used[room] - {room, *EVERYBODYS}, room)


class Words(SynchronousTestCase):
    """What documentation and docstrings name."""

    def test_names(self) -> None:
        """Each dotted name of the package, and each path in it, is there."""
        texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
        texts += [
            *PACKAGE.rglob("*.py"),
            *ROOT.glob("tests/**/*.py"),
            *ROOT.glob("benchmarks/**/*.py"),
        ]
        texts += [*ROOT.glob("examples/**/*.py"), *ROOT.glob("twisted/**/*.py")]
        for path in texts:
            text = path.read_text(encoding="utf-8")
            for name in set(re.findall(r"\biris_twisted((?:\.\w+)+)", text)):
                if not name.endswith(".html"):
                    self.assertTrue(self._isThere(f"iris_twisted{name}"), f"{path} names {name}")
            for name in set(
                re.findall(r"\b(?:iris_twisted|tests|docs|benchmarks)/[\w/.-]+\w", text)
            ):
                if re.search(r"\.(py|md)$", name):
                    where = PACKAGE.parent if name.startswith("iris_twisted") else ROOT
                    self.assertTrue((where / name).exists(), f"{path} names {name}")

    @staticmethod
    def _isThere(dotted: str) -> bool:
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:length]))
            except ImportError:
                continue
            return all((found := getattr(found, part, None)) is not None for part in parts[length:])
        return False
