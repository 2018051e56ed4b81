"""
The reference has everything that the code has, and nothing else.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from twisted.application.twist._options import TwistOptions
from twisted.trial.unittest import SynchronousTestCase

import iris_twisted
from iris_twisted import errors
from iris_twisted.cluster.demo_tap import Options as DemoOptions
from iris_twisted.cluster.tap import Options as ClusterOptions
from iris_twisted.command_line.exit_status import ExitStatus
from iris_twisted.daemon.option_table import OPTIONS
from iris_twisted.operators.tap import Options as OperatorOptions
from iris_twisted.outbox.tap import Options as OutboxOptions
from iris_twisted.sandbox.call_tap import Options as CallOptions
from iris_twisted.sandbox.tap import Options as SandboxOptions
from iris_twisted.tap import Options

from .test_documentation import DOCS, PAGES
from .test_packaging import ROOT

PACKAGE = Path(iris_twisted.__file__).parent
REFERENCE = DOCS / "reference"
# Options of other programs that pages show.
FOREIGN = {
    *("--pwprompt", "--owner"),  # createuser, createdb
    *("--now", "--system", "--home-dir", "--disable-gpu", "--upgrade"),  # systemctl, useradd, pip
    *("--app", "--app-dir", "--loop", "--workers"),  # flask, uvicorn
    "--config",  # prosody's is called as ours
    *("--minutes", "--seed"),  # tests.soak
}
EXPECTED_FILES = ("README.md", "SECURITY.md")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package, parsed."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def everyPage() -> Iterator[tuple[str, str]]:
    """Every page, by name."""
    for path in [*PAGES, *(ROOT / name for name in EXPECTED_FILES)]:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


class OptionNames(SynchronousTestCase):
    """What can be typed."""

    def known(self) -> set[str]:
        found = {"--help", "--version"}
        several = OutboxOptions, OperatorOptions, ClusterOptions
        for kind in (Options, SandboxOptions, CallOptions, DemoOptions, *several, TwistOptions):
            options = kind()
            found |= {f"--{name}" for name in options.longOpt for name in [name.rstrip("=")]}
            for _, _, sub, _ in getattr(options, "subCommands", None) or ():
                if kind in several:
                    found |= {f"--{name.rstrip('=')}" for name in sub().longOpt}
        return found

    def test_all(self) -> None:
        """Each option of twist iris is in the reference, with its variable."""
        page = (REFERENCE / "options.md").read_text(encoding="utf-8")
        for option in OPTIONS:
            self.assertIn(f"| `--{option.name}`", page)
            self.assertIn(f"| `{option.variable}` |", page)
        self.assertIn("`--config FILE`", page)
        self.assertIn("`--check`", page)

    def test_others(self) -> None:
        """So are those of the other commands."""
        page = (REFERENCE / "options.md").read_text(encoding="utf-8")
        several = OutboxOptions, OperatorOptions, ClusterOptions
        for kind in (SandboxOptions, CallOptions, DemoOptions, *several):
            options = kind()
            chapter = page.partition(f"\n## {kind.command}\n")[2].partition("\n## ")[0]
            for name in {name.rstrip("=") for name in options.longOpt} - {"help", "version"}:
                self.assertIn(f"`--{name}`", chapter, kind.command)

    def test_noOther(self) -> None:
        """No page speaks of an option that no command has."""
        known = self.known() | FOREIGN
        for name, text in everyPage():
            typed = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))
            self.assertEqual(typed - known, set(), name)


class MetricNames(SynchronousTestCase):
    """What is counted."""

    def setUp(self) -> None:
        self.maker = run_path(str(DOCS / "make_metrics.py"))
        self.page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")

    def test_page(self) -> None:
        """The page is made from the metrics."""
        self.assertEqual(self.page, self.maker["page"]())
        self.assertGreaterEqual(self.page.count("| `iris_"), 15)

    def test_all(self) -> None:
        """Each name that the code gives to a metric is in it."""
        found = {
            text
            for path, tree in trees()
            if path.name == "metrics.py"
            for text in strings(tree)
            if re.fullmatch(r"iris_[a-z_]+", text)
        }
        self.assertGreater(len(found), 20)
        for name in found:
            self.assertRegex(self.page, rf"\| `{name}(_total)?` \|")

    def test_noOther(self) -> None:
        """Pages, rules and the dashboard use no name that there is not."""
        names = {
            m.name + ("_total" if m.type == "counter" else "") for m in self.maker["metrics"]()
        }
        families = {m.name for m in self.maker["metrics"]() if m.type == "histogram"}
        names |= {f"{name}_{end}" for name in families for end in ("bucket", "sum", "count")}
        names |= set(re.findall(r"`((?:process|python)_\w+)`", self.page))
        texts = dict(everyPage())
        for path in (DOCS / "monitoring").iterdir():
            texts[path.name] = path.read_text(encoding="utf-8")
        for page, text in texts.items():
            rooms = re.compile(r"iris_(?:twisted|sandbox)\w*|iris_(?:connection|thread)\b")
            used = set(re.findall(r"\b(?:iris|process)_[a-z_]+\b", rooms.sub("", text)))
            self.assertEqual(used - names, set(), page)


class EventNames(SynchronousTestCase):
    """What is told by onEvent."""

    def test_same(self) -> None:
        """The events of the code are those of the reference."""
        told = {
            text
            for _, tree in trees()
            for text in strings(tree)
            if re.fullmatch(r"SDK_[A-Za-z]+", text)
        }
        page = (REFERENCE / "callbacks.md").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"^\| `(SDK_\w+)`", page, re.M)), told)
        self.assertGreaterEqual(len(told), 7)

    def test_noOther(self) -> None:
        """No page speaks of another."""
        page = (REFERENCE / "callbacks.md").read_text(encoding="utf-8")
        for name, text in everyPage():
            if name.endswith("coming-from-iris-js-sdk.md"):
                continue  # It has those of the official client: interop.test_official_client.
            for event in re.findall(r"SDK_\w+", text):
                self.assertIn(event, page, name)


class ErrorCodes(SynchronousTestCase):
    """What goes wrong."""

    def kinds(self) -> set[type[errors.IrisError]]:
        """Every kind but the root."""
        found = (getattr(errors, name) for name in errors.__all__)
        kinds = {k for k in found if isinstance(k, type) and issubclass(k, errors.IrisError)}
        return kinds - {errors.IrisError}

    def test_all(self) -> None:
        """Each kind has a page with its code, and the codes their names; there is no other code."""
        page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
        kinds = self.kinds()
        for kind in kinds:
            self.assertIn(f"| {kind.code} `{kind.name}` |", page)
            path = REFERENCE / "errors" / f"{kind.__name__}.md"
            own = path.read_text(encoding="utf-8")
            self.assertIn(f"\n# {kind.code} `{kind.__name__}`\n", own)
            for chapter in ("\n## What to do\n\n", "\n## The messages\n\n* "):
                self.assertIn(chapter, own)
        codes = {int(code) for code in re.findall(r"(?<![\w-])-1\d\d\b", page)}
        self.assertEqual(codes, {kind.code for kind in kinds})

    def test_officialClient(self) -> None:
        """The page for users of the official client has the same codes under the same names."""
        page = (DOCS / "how-to" / "coming-from-iris-js-sdk.md").read_text(encoding="utf-8")
        found = dict(re.findall(r"^\| `(ERR_\w+)` \| (-\d+) \|", page, re.M))
        ours = {
            kind.name: str(kind.code) for kind in vars(errors).values() if hasattr(kind, "code")
        }
        self.assertEqual(found, ours)


class Statuses(SynchronousTestCase):
    """With what the commands end."""

    def test_runbook(self) -> None:
        """The runbook has each status that the code names, and no other."""
        named = {
            ExitStatus[name]
            for path, _ in trees()
            for name in re.findall(r"ExitStatus\.(EX_[A-Z]+)", path.read_text(encoding="utf-8"))
        }
        page = (DOCS / "production" / "runbook.md").read_text(encoding="utf-8")
        self.assertEqual(
            {int(number) for number in re.findall(r"^ +\| (\d+) \|", page, re.M)},
            {int(status.value) for status in named} - {0},
        )


class Environment(SynchronousTestCase):
    """What the environment says."""

    def read(self) -> set[str]:
        """The variables that the code reads by name."""
        found = set()
        for _, tree in trees():
            for node in ast.walk(tree):
                where, key = None, None
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    where = node.func.value if node.func.attr in ("get", "pop") else None
                    key = node.args[0] if node.args else None
                elif isinstance(node, ast.Subscript):
                    where, key = node.value, node.slice
                elif isinstance(node, ast.Constant):
                    # Made of a sink's name, and told whole where it is missing.
                    found.update(re.findall(r"IRIS_[A-Z]+_PASSWORD", str(node.value)))
                if where is not None and isinstance(key, ast.Constant):
                    if re.search(r"(environ|environment)$", ast.unparse(where)):
                        found.add(str(key.value))
        return found

    def test_all(self) -> None:
        """Each variable that is read is in the reference."""
        page = (REFERENCE / "options.md").read_text(encoding="utf-8")
        found = self.read()
        self.assertIn("IRIS_TOKEN", found)
        for name in found | {"https_proxy", "http_proxy", "all_proxy", "no_proxy"}:
            self.assertIn(f"`{name}`", page)

    def test_table(self) -> None:
        """The reference's table has no variable that nobody reads."""
        page = (REFERENCE / "options.md").read_text(encoding="utf-8")
        table = page.partition("\n## The environment, besides\n")[2].partition("\n## ")[0]
        named = {
            name
            for row in re.findall(r"^\| (`.+?) \| ", table, re.M)
            for name in re.findall(r"`(\w+)`", row)
        }
        read = self.read() | {"https_proxy", "http_proxy", "all_proxy", "no_proxy"}
        self.assertIn("IRIS_TOKEN", named)
        self.assertEqual(named - read, set())

    def test_noOther(self) -> None:
        """No page speaks of a variable of ours that nobody reads."""
        known = {option.variable for option in OPTIONS} | self.read()
        # The tests read that.
        known.add("IRIS_HYPOTHESIS_EXAMPLES")
        for name, text in everyPage():
            examples = set(re.findall(r"^\s+os\.environ.*\"(IRIS_\w+)\"", text, re.M))
            # The configuration of Prosody, and what the examples read themselves.
            self.assertEqual(
                set(re.findall(r"\bIRIS_[A-Z_]+\b", text)) - known - examples, set(), name
            )


class LogLines(SynchronousTestCase):
    """What is logged."""

    def logged(self) -> dict[str, str]:
        """Each line that operators see by default, and its level."""
        found = {}
        for _, tree in trees():
            for node in ast.walk(tree):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                level = node.func.attr
                if level in ("warn", "error", "critical", "failure") and node.args:
                    if ast.unparse(node.func.value).lower().endswith("_log"):
                        text = node.args[0]
                        if isinstance(text, ast.Constant):
                            found[str(text.value)] = level
        return found

    def test_all(self) -> None:
        """Each line of a warning or an error is on the page about logs, those of bugs together."""
        page = " ".join((DOCS / "production" / "logs.md").read_text(encoding="utf-8").split())
        logged = self.logged()
        self.assertGreater(len(logged), 20)
        for line, level in logged.items():
            if not line.startswith("a bug"):
                self.assertIn(f"`{line}`", page)
            # What is no bug has a row of its own, with its level; failure() logs as critical.
            shown = {"failure": "critical"}.get(level, level)
            if level != "failure":
                self.assertIn(f"| {shown} | `{line}` |", page)

    def test_noOther(self) -> None:
        """Each line on the page is one that the code logs."""
        page = (DOCS / "production" / "logs.md").read_text(encoding="utf-8")
        code = "".join(text for _, tree in trees() for text in strings(tree))
        rows = re.findall(r"^\| (?:critical|error|warn|info) \| (.+?) \| ", page, re.M)
        lines = [line for row in rows for line in re.findall(r"`([^`]+)`", row)]
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertIn(line, code)


class Readers(SynchronousTestCase):
    """Whom a page is for."""

    def test_begin(self) -> None:
        """Every page says so in its first sentence; the front page is for everybody."""
        for path in PAGES:
            if path.name == "index.md" and path.parent == DOCS:
                continue
            text = path.read_text(encoding="utf-8")
            first = re.split(r"^# .+\n\n", text, maxsplit=1, flags=re.M)[1]
            self.assertTrue(first.startswith("For "), f"{path.name}: {first[:60]}")

    def test_figures(self) -> None:
        """Every measured figure of the page on sizing is one of the benchmarks'."""
        results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
        page = (DOCS / "production" / "sizing.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| \d+ \| .*\|$", page, re.M)
        self.assertGreaterEqual(len(rows), 4)
        for row in rows:
            self.assertIn(row, results)
        for figure in (
            "16.84",
            "5000 of 5000 were back in 27 seconds",
            "0.83",
            "1.71",
            "8.09",
            "11.11",
        ):
            self.assertIn(figure, results)
            self.assertIn(figure, " ".join(page.split()))
        # What is computed from them.
        self.assertIn(f"{5000 * 59.01 / 1024:.0f} MiB", page)
        self.assertIn(f"{5 * 2.70:.1f} %", page)


class Dashboard(SynchronousTestCase):
    """The dashboard as a file; its queries are tried in interop.test_monitoring."""

    def test_shape(self) -> None:
        """What Grafana wants: an id each, a place that no other panel has, a data source to choose."""
        text = (DOCS / "monitoring" / "iris-dashboard.json").read_text(encoding="utf-8")
        board = json.loads(text)
        self.assertEqual(board["title"], "iris-twisted")
        self.assertEqual(
            [variable["name"] for variable in board["templating"]["list"]],
            ["datasource", "instance"],
        )
        panels = board["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
            self.assertTrue(panel["title"] and panel["targets"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells
            references = [target["refId"] for target in panel["targets"]]
            self.assertEqual(len(set(references)), len(references))

    def test_schema(self) -> None:
        """Grafana's own types, made of its schema, read the whole of it and leave nothing out."""
        register_default_plugins()
        board = json.loads((DOCS / "monitoring" / "iris-dashboard.json").read_text("utf-8"))
        read = json.loads(JSONEncoder().encode(GrafanaDashboard.from_json(board)))
        self.assertEqual(list(differences(board, read)), [])
        board["panels"][0]["gridPosition"] = {}
        read = json.loads(JSONEncoder().encode(GrafanaDashboard.from_json(board)))
        self.assertEqual(list(differences(board, read)), ["panels.0.gridPosition"])


def differences(ours: Any, read: Any, path: str = "") -> Iterator[str]:
    """Where what was read lacks something of ours; what it adds are defaults."""
    if isinstance(ours, dict) and isinstance(read, dict):
        for key, value in ours.items():
            where = f"{path}.{key}".lstrip(".")
            if key in read:
                yield from differences(value, read[key], where)
            else:
                yield where
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        for number, (one, other) in enumerate(zip(ours, read, strict=True)):
            yield from differences(one, other, f"{path}.{number}")
    elif ours != read:
        yield path


class Tests(SynchronousTestCase):
    """What pages name as their proof."""

    def test_there(self) -> None:
        """Every test that a page names is there."""
        count = 0
        for name, text in everyPage():
            for path in re.findall(r"`(tests/[\w/.]+?)/?`", text):
                self.assertTrue((ROOT / path).exists(), f"{name}: {path}")
                count += 1
        self.assertGreater(count, 8)
