"""
Runs the tests with trial, prints the branch coverage, and closes with trial's
own counts as C{N passed, N failed, N skipped}. What is not measured runs at the
same time, in processes of its own, and is shown when it has ended.

    python tests/run.py [--without FOLDER ...] [name of a test or module ...]
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile

HERE = Path(__file__).resolve().parent
# Thousands of sessions, other programs, processes: measuring what they cover would take minutes.
# Each line is a process; that of the cluster waits for leases most of the time.
UNMEASURED = (
    ("faults", "interop"),
    ("cluster.test_daemon", "cluster.test_demo", "cluster.test_faults"),
)
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


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
        others = chain.from_iterable(UNMEASURED)
        if not any(name == other or name.startswith(f"{other}.") for other in others):
            yield f"tests.{name}"


@contextmanager
def _beside(names: list[str]) -> Iterator[Callable[[], tuple[str, list[int], bool]]]:
    """
    Run tests in a process of their own, which is not outlived.

    @return: what waits for the end. It returns what was printed; how many passed,
        failed and were skipped; and whether all is well.
    """
    command = [sys.executable, __file__, *names]
    with (
        TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,
    ):

        def ended() -> tuple[str, list[int], bool]:
            status = process.wait()
            output.seek(0)
            *lines, last = output.read().splitlines() or [""]
            counts = COUNTS.match(last)
            if counts is None:
                lines += [last, f"{', '.join(names)} ended with {status}, without counts."]
                return "\n".join(lines), [0, 1, 0], False
            return "\n".join(lines), [int(count) for count in counts.groups()], not status

        try:
            yield ended
        finally:
            process.kill()


def main(names: list[str], without: Collection[str] = ()) -> int:
    """
    @param without: folders of which what is not measured is left out.
    @return: the exit status: 0 only when something ran, nothing failed and the
        coverage is what it must be.
    """
    if names:
        return _close(*_run(names))
    groups = [
        [f"tests.{name}" for name in group if name.split(".")[0] not in without]
        for group in UNMEASURED
    ]
    with ExitStack() as stack:
        beside = [stack.enter_context(_beside(group)) for group in groups if group]
        counts, well = _runMeasured()
        for ended in beside:
            output, more, fine = ended()
            print(output)
            counts = [*map(sum, zip(counts, more, strict=True))]
            well = well and fine
    return _close(counts, well)


def _runMeasured() -> tuple[list[int], bool]:
    """Run what is measured, and print its branch coverage; what is returned is C{_run}'s."""
    import coverage

    cover = coverage.Coverage(data_file=None, config_file=str(HERE.parent / "pyproject.toml"))
    cover.start()
    counts, well = _run(list(modules()))
    cover.stop()
    covered, least = cover.report(file=sys.stdout), cover.get_option("report:fail_under")
    enough = covered >= least
    if not enough:
        print(f"Branch coverage is {covered:.1f} %, and must be {least} %.")
    if not enough and counts[2]:
        # What a missing program would cover is not our fault; where CI is set, nothing is missing.
        print("Tests were skipped, so that is none the worse.")
        enough = True
    return counts, well and enough


def _run(names: list[str]) -> tuple[list[int], bool]:
    """
    @return: how many passed, failed and were skipped, and whether all is well.
    """
    importTests()

    from twisted.trial.reporter import TreeReporter
    from twisted.trial.runner import TestLoader, TrialRunner

    suite = TestLoader().loadByNames(names, recurse=True)
    result = TrialRunner(TreeReporter, realTimeErrors=False).run(suite)
    failures = (result.failures, result.errors, result.unexpectedSuccesses)
    failed = sum(map(len, failures))
    skipped = len(result.skips) + len(result.expectedFailures)
    if skipped and os.environ.get("CI"):
        print("In CI every peer must be there: a test that is skipped there is a failure.")
    well = bool(result.testsRun) and not failed and not (skipped and os.environ.get("CI"))
    return [result.successes, failed, skipped], well


def _close(counts: list[int], well: bool) -> int:
    """Print the counts, as the last line."""
    print("{} passed, {} failed, {} skipped".format(*counts))
    return 0 if well else 1


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    folders = sorted({name.split(".")[0] for name in chain.from_iterable(UNMEASURED)})
    parser.add_argument("--without", action="append", default=[], choices=folders)
    options = parser.parse_args()
    sys.exit(main(options.names, options.without))
