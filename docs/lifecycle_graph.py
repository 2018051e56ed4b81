"""
The lifecycle of a connection as a graph: Automat's own, with the boxes left out.

    python docs/lifecycle_graph.py | dot -Tsvg > lifecycle.svg
"""

from __future__ import annotations

import re

from iris_twisted.connection.lifecycle import newLifecycle

_INPUT = re.compile(r'^\s*(t\d+) \[label=<.*?port="tableport"><font[^>]*>(\w+)</font>', re.M)
_FROM = re.compile(r"^\s*(\w+) -> (t\d+):tableport:w", re.M)
_TO = re.compile(r"^\s*(t\d+):tableport:e -> (\w+)", re.M)


def transitions() -> list[tuple[str, str, str]]:
    """State, input, next state: of all transitions that lead somewhere else."""
    source = newLifecycle.asDigraph().source  # type: ignore[attr-defined]
    inputs = dict(_INPUT.findall(source))
    begins = {box: state for state, box in _FROM.findall(source)}
    ends = dict(_TO.findall(source))
    assert set(inputs) == set(begins) == set(ends), "Automat draws otherwise than it did"
    found = {(begins[box], inputs[box], ends[box]) for box in inputs}
    return sorted((a, name, b) for a, name, b in found if a != b)


def lifecycleGraph() -> str:
    """In the language of Graphviz."""
    lines = [
        "digraph {",
        "  bgcolor=transparent; nodesep=0.6; ranksep=0.7; pad=0.2;",
        '  node [shape=box style="rounded,filled" fillcolor="#e8ecfb" color="#3556c9" '
        'fontcolor="#1b1f29" fontname="sans-serif"];',
        '  edge [color="#7a8599" fontcolor="#7a8599" fontname="sans-serif" fontsize=12];',
        "  idle [penwidth=2];",
    ]
    pairs: dict[tuple[str, str], list[str]] = {}
    for begin, name, end in transitions():
        pairs.setdefault((begin, end), []).append(name)
    for (begin, end), names in sorted(pairs.items()):
        label = "\\n".join(names)
        lines.append(f'  {begin} -> {end} [label="{label}"];')
    return "\n".join([*lines, "}"])


if __name__ == "__main__":
    print(lifecycleGraph())
