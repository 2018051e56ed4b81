"""
Who imports whom in the package, read from its source; and its rooms as a graph.

    python docs/import_graph.py | dot -Tsvg > rooms.svg
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import iris_twisted

__all__ = ["importGraph", "roomOf", "roomsGraph"]

PACKAGE = Path(iris_twisted.__file__).parent
# What every room may import, and what stands above them all.
_EVERYBODYS = {"errors", "version"}
_FACE = {"__init__", "interfaces", "tap"}
_FLOORS = ("discovery", "transport", "xmpp", "rtc", "connection")


def _modules() -> dict[str, Path]:
    """Every module of the package by its name below it, C{""} for the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """What a module imports of the package, wherever in it: functions and C{TYPE_CHECKING} too."""
    folder = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, below = alias.name.partition(".")
                if root == "iris_twisted":
                    yield below
        elif isinstance(node, ast.ImportFrom):
            root, _, below = (node.module or "").partition(".")
            if node.level:
                base = [part for part in folder if part]
                base = base[: len(base) - (node.level - 1)]
                target = ".".join([*base, *([node.module] if node.module else [])])
            elif root == "iris_twisted":
                target = below
            else:
                continue
            for alias in node.names:
                full = f"{target}.{alias.name}".strip(".")
                yield full if full in modules else target


def importGraph() -> dict[str, set[str]]:
    """By module of the package, the modules of the package that it imports."""
    modules = _modules()
    return {name: set(_imports(name, path, modules)) - {name} for name, path in modules.items()}


def roomOf(module: str) -> str:
    """The folder that a module stands in, or the module itself at the top."""
    return module.split(".")[0] or "__init__"


def roomsGraph() -> str:
    """
    The rooms and what they import, in the language of Graphviz: an arrow means that one imports
    the other, and none is drawn where another way leads there.
    """
    below: dict[str, set[str]] = {}
    for module, targets in importGraph().items():
        room = roomOf(module)
        if room not in _FACE | _EVERYBODYS:
            below.setdefault(room, set()).update(
                other for target in targets if (other := roomOf(target)) != room
            )
    below = {room: others - _FACE - _EVERYBODYS for room, others in below.items()}

    def reached(room: str) -> set[str]:
        return below[room].union(*(reached(other) for other in below[room]))

    lines = [
        "digraph {",
        "  bgcolor=transparent; ranksep=0.4; nodesep=0.3; pad=0.2;",
        '  node [shape=box style="rounded,filled" fillcolor="#f4f5f8" color="#7a8599" '
        'fontcolor="#1b1f29" fontname="sans-serif"];',
        '  edge [color="#7a8599"];',
    ]
    for floor, room in enumerate(_FLOORS, 1):
        lines.append(f'  {room} [label="{floor} {room}" fillcolor="#e8ecfb" color="#3556c9"];')
    for room, others in sorted(below.items()):
        farther = set().union(*(reached(other) for other in others))
        lines += [f"  {room} -> {other};" for other in sorted(others - farther)]
    return "\n".join([*lines, "}"])


if __name__ == "__main__":
    print(roomsGraph())
