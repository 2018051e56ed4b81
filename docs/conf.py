"""
How the documentation is built: C{tox -e docs}, or C{sphinx-build -W docs OUT}.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.ext.graphviz import graphviz
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from import_graph import importGraph, roomOf, roomsGraph  # noqa: E402
from lifecycle_graph import lifecycleGraph, transitions  # noqa: E402

import iris_twisted  # noqa: E402

project = "iris-twisted"
author = "the founders of iris-twisted"
release = version = iris_twisted.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
    "docstrings",
]
# An option is --email, not an en dash; a message stands as it is printed.
smartquotes = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "iris-twisted"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["iris.css"]
html_search_scorer = str(HERE / "search_scorer.js")
graphviz_output_format = "svg"
exclude_patterns = ["prosody", "systemd"]
suppress_warnings = ["myst.header"]


class Rooms(SphinxDirective):
    """The rooms of the package, drawn from its imports."""

    def run(self) -> list[nodes.Node]:
        if shutil.which("dot") is None:
            rooms: dict[str, set[str]] = {}
            for module, targets in importGraph().items():
                rooms.setdefault(roomOf(module), set()).update(map(roomOf, targets))
            lines = (
                f"{room} -> {' '.join(sorted(below))}" for room, below in sorted(rooms.items())
            )
            return [nodes.literal_block(text="\n".join(lines), language="text")]
        return [_drawn(self, roomsGraph(), "The rooms of the package, and what each imports")]


def _drawn(directive: SphinxDirective, code: str, alt: str) -> nodes.Node:
    node = graphviz()
    node["code"], node["alt"] = code, alt
    node["options"] = {"docname": directive.env.docname}
    return node


class Lifecycle(SphinxDirective):
    """The lifecycle machine, drawn from the machine itself."""

    def run(self) -> list[nodes.Node]:
        if shutil.which("dot") is None:
            # Without Graphviz, in words.
            lines = (f"{begin} -- {name} --> {end}" for begin, name, end in transitions())
            return [nodes.literal_block(text="\n".join(lines), language="text")]
        return [
            _drawn(
                self,
                lifecycleGraph(),
                "The states of a connection, and what leads from one to the next",
            )
        ]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("lifecycle", Lifecycle)
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}
