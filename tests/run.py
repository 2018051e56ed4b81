"""
Runs the tests with trial, prints the branch coverage, and closes with trial's
own counts as C{N passed, N failed, N skipped}.

    python tests/run.py [--without FOLDER ...] [name of a test or module ...]
"""

from __future__ import annotations

import importlib.util
import os
import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Thousands of sessions, other programs, processes: measuring what they cover would take minutes.
UNMEASURED = (
    "faults",
    "interop",
    "cluster.test_daemon",
    "cluster.test_demo",
    "cluster.test_faults",
)


def importTests() -> None:
    """
    Make C{tests} importable without the checkout on the path: what is tested is
    the installed package.
    """
    root = str(HERE.parent)
    sys.path[:] = [entry for entry in sys.path if entry not in (root, str(HERE))]
    spec = importlib.util.spec_from_file_location(
        "tests", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tests"] = module
    spec.loader.exec_module(module)


def modules() -> Iterator[str]:
    """The test modules whose coverage is measured."""
    for path in sorted(HERE.rglob("test_*.py")):
        name = ".".join(path.relative_to(HERE).with_suffix("").parts)
        if not any(name == other or name.startswith(f"{other}.") for other in UNMEASURED):
            yield f"tests.{name}"


def main(names: list[str], without: Collection[str] = ()) -> int:
    """
    @param without: folders of which what is not measured is left out.
    @return: the exit status: 0 only when something ran, nothing failed and the
        coverage is what it must be.
    """
    import coverage

    cover = coverage.Coverage(data_file=None, config_file=str(HERE.parent / "pyproject.toml"))
    cover.start()
    importTests()

    from twisted.trial.reporter import TreeReporter
    from twisted.trial.runner import TestLoader, TrialRunner

    def run(names: list[str]) -> None:
        suite = TestLoader().loadByNames(names, recurse=True)
        result = TrialRunner(TreeReporter, realTimeErrors=False).run(suite)
        counts["passed"] += result.successes
        failures = (result.failures, result.errors, result.unexpectedSuccesses)
        counts["failed"] += sum(map(len, failures))
        counts["skipped"] += len(result.skips) + len(result.expectedFailures)

    counts = {"passed": 0, "failed": 0, "skipped": 0}
    run(names or list(modules()))
    cover.stop()
    enough = True
    if not names:
        covered, least = cover.report(file=sys.stdout), cover.get_option("report:fail_under")
        enough = covered >= least
        if not enough:
            print(f"Branch coverage is {covered:.1f} %, and must be {least} %.")
        run([f"tests.{name}" for name in UNMEASURED if name.split(".")[0] not in without])
    if counts["skipped"] and os.environ.get("CI"):
        print("In CI every peer must be there: a test that is skipped there is a failure.")
        enough = False
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 0 if counts["passed"] and not counts["failed"] and enough else 1


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    folders = sorted({name.split(".")[0] for name in UNMEASURED})
    parser.add_argument("--without", action="append", default=[], choices=folders)
    options = parser.parse_args()
    sys.exit(main(options.names, options.without))
