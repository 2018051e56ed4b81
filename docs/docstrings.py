"""
The docstrings, for Sphinx: epytext, as Twisted's projects write it, made into what Sphinx reads;
and the interfaces of zope, which it does not know.

So the reference of the API has the look, the navigation and the search of every other page.
pydoctor still reads the same docstrings in C{tox -e docs}: what it cannot read is an error.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles
from zope.interface.interface import InterfaceClass, Method

# The modules that the pages under docs/api/ show, the first that has a name being where it
# is linked to.
SHOWN = (
    "iris_twisted.errors",
    "iris_twisted",
    "iris_twisted.aio",
    "iris_twisted.fleet.service",
    "iris_twisted.connection.settings",
    "iris_twisted.interfaces",
    "iris_twisted.transport.destination",
    "iris_twisted.sandbox",
    "iris_twisted.testing",
    "iris_twisted.sinks",
    "iris_twisted.outbox",
    "iris_twisted.login",
    "iris_twisted.net.proxies",
    "iris_twisted.transport",
    "iris_twisted.xmpp.session",
    "iris_twisted.xmpp.events",
)
_TAG = re.compile(r"([A-Z])\{")
_FIELD = re.compile(r"^@(\w+)(?: ([^:]+))?:", re.M)
_NAMES = {"param": "param", "keyword": "keyword", "return": "returns", "raise": "raises"}


def _places() -> dict[int, str]:
    """Where each public object is shown, by its id."""
    found: dict[int, str] = {}
    for module in SHOWN:
        room = importlib.import_module(module)
        for name in getattr(room, "__all__", ()):
            found.setdefault(id(getattr(room, name)), f"{module}.{name}")
    return found


_PLACES = _places()


def _objects(name: str, scopes: list[Any]) -> Iterator[tuple[Any, str]]:
    """What a dotted name may be: an object, and what is left of the name after it."""
    first, _, rest = name.partition(".")
    for scope in scopes:
        if hasattr(scope, first):
            yield getattr(scope, first), rest
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            yield module, ".".join(parts[length:])


def _link(text: str, target: str, scopes: list[Any]) -> str:
    """A link to where that is shown, or its name in type where it is not."""
    for found, left in _objects(target, scopes):
        while left and id(found) not in _PLACES and hasattr(found, left.partition(".")[0]):
            first, _, left = left.partition(".")
            found = getattr(found, first)
        place = _PLACES.get(id(found))
        if place is not None:
            whole = f"{place}.{left}" if left else place
            return f":py:obj:`{text} <{whole}>`"
    for scope in scopes:
        # A method of the class itself.
        if isinstance(scope, type | InterfaceClass) and target in dir(scope):
            place = _PLACES.get(id(scope))
            if place is not None:
                return f":py:obj:`{text} <{place}.{target}>`"
    return f"``{text}``"


def _inline(text: str, scopes: list[Any]) -> str:
    """Epytext's marks inside a text, innermost first, as those of reStructuredText."""
    result, at = [], 0
    while (tag := _TAG.search(text, at)) is not None:
        depth, end = 1, tag.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inside = " ".join(text[tag.end() : end - 1].split())
        result.append(text[at : tag.start()])
        match tag[1]:
            case "C":
                result.append(f"``{inside}``")
            case "L":
                shown, _, target = inside.partition("<")
                name = (target.rstrip(">") or shown).strip()
                result.append(_link(shown.strip(), name, scopes))
            case "B":
                result.append(f"**{inside}**")
            case "I":
                result.append(f"*{inside}*")
            case "E":
                result.append({"lb": "{", "rb": "}"}.get(inside, inside))
            case _:
                result.append(inside)
        # A mark ends a word in reStructuredText only where something says so.
        if text[end : end + 1].isalnum():
            result.append("\\ ")
        at = end
    return "".join([*result, text[at:]])


def restructured(lines: list[str], scopes: list[Any]) -> list[str]:
    """A docstring in epytext, as reStructuredText."""
    text = _inline("\n".join(lines), scopes)
    made: list[str] = []
    inFields = False
    for line in text.split("\n"):
        field = _FIELD.match(line)
        if field is None:
            if line.startswith("- ") and made and made[-1].strip():
                made.append("")
            made.append(line)
            continue
        if not inFields:
            made.append("")
            inFields = True
        name = _NAMES.get(field[1], field[1])
        argument = f" {field[2].strip()}" if field[2] else ""
        made.append(f":{name}{argument}:{line[field.end() :]}")
    return made


def convert(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx asks for each docstring."""
    if what == "module":
        # The page has words of its own.
        lines.clear()
        return
    module = sys.modules.get(getattr(obj, "__module__", None) or "")
    owner: Any = None
    if what in ("method", "attribute", "property"):
        path = name.rpartition(".")[0]
        room, _, kind = path.rpartition(".")
        owner = getattr(sys.modules.get(room), kind, None)
        module = module or sys.modules.get(getattr(owner, "__module__", ""))
    elif isinstance(obj, type):
        owner = obj
    scopes = [scope for scope in (owner, module, builtins) if scope is not None]
    lines[:] = restructured(lines, scopes)


class Interfaces(SphinxDirective):
    """C{.. interfaces:: MODULE}: the interfaces of a module, each with its methods."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        lines = [f".. py:module:: {module.__name__}", ""]
        for name in module.__all__:
            interface = getattr(module, name)
            lines += [f".. py:class:: {name}", ""]
            lines += self._indented(interface.__doc__, interface)
            for attribute, value in interface.namesAndDescriptions():
                if isinstance(value, Method):
                    lines += [f"   .. py:method:: {attribute}{value.getSignatureString()}", ""]
                else:
                    lines += [f"   .. py:attribute:: {attribute}", ""]
                lines += [f"   {line}" for line in self._indented(value.getDoc(), interface)]
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, module.__name__), node)
        return node.children

    @staticmethod
    def _indented(text: str, interface: Any) -> list[str]:
        from inspect import cleandoc

        scopes = [interface, sys.modules[interface.__module__], builtins]
        made = restructured(cleandoc(text or "").split("\n"), scopes)
        return [f"   {line}" if line else "" for line in [*made, ""]]


def shortened(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    result: str | None,
) -> tuple[str | None, str | None] | None:
    """An interface in a signature is called by its name."""
    if signature is None:
        return None
    names = re.compile(r"<InterfaceClass (?:\w+\.)*(\w+)>")
    return names.sub(r"\1", signature), None if result is None else names.sub(r"\1", result)


def dashed(app: Any, doctree: nodes.document, name: str) -> None:
    """The dash after the name of a parameter is Sphinx's own, and no option."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", convert)
    app.connect("autodoc-process-signature", shortened)
    app.connect("doctree-resolved", dashed)
    app.add_directive("interfaces", Interfaces)
    return {"parallel_read_safe": True}
