"""
Runs the tests with trial, prints the branch coverage, and closes with trial's
own counts as C{N passed, N failed, N skipped}. What is slow runs at the same
time, in processes of its own, and is shown when it has ended.

    python tests/run.py [--no-coverage] [--without FOLDER ...] [name of a test or module ...]
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
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coverage import Coverage

HERE = Path(__file__).resolve().parent
# Thousands of sessions, other programs, processes: measuring what they cover would take minutes.
# Each line is a process; those of the cluster wait for leases most of the time.
UNMEASURED = (
    ("faults", "interop"),
    ("cluster.test_faults",),
    ("cluster.test_daemon", "cluster.test_database_faults", "cluster.test_demo"),
)
# The rest of this folder waits as well, and is measured.
WAITING = "cluster"
# How much sooner they have the processor than the others: what they wait for has a time.
NICE = 5
# How the reason begins why a promise of sinks cannot be tried with one of them.
INAPPLICABLE = "this place "
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


def importTests() -> None:
    """
    Make C{tests} importable without the checkout on the path: what is tested is
    the installed package.
    """
    if "tests" in sys.modules:
        return
    root = str(HERE.parent)
    sys.path[:] = [entry for entry in sys.path if entry not in (root, str(HERE))]
    spec = importlib.util.spec_from_file_location(
        "tests", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tests"] = module
    spec.loader.exec_module(module)


def modules(waiting: bool) -> Iterator[str]:
    """The test modules whose coverage is measured: those that wait most of the time, or the others."""
    for path in sorted(HERE.rglob("test_*.py")):
        name = ".".join(path.relative_to(HERE).with_suffix("").parts)
        others = chain.from_iterable(UNMEASURED)
        if not any(name == other or name.startswith(f"{other}.") for other in others):
            if name.startswith(f"{WAITING}.") == waiting:
                yield f"tests.{name}"


@contextmanager
def _beside(
    names: list[str], data: Path | None = None
) -> Iterator[Callable[[], tuple[str, list[int], bool]]]:
    """
    Run tests in a process of their own, which is not outlived.

    @param data: the file for what they cover; C{None} where that is not measured.
    @return: what waits for the end. It returns what was printed; how many passed,
        failed and were skipped; and whether all is well.
    """
    measured = ["--coverage-data", str(data)] if data else []
    command = [sys.executable, __file__, *measured, *names]
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


def main(names: list[str], without: Collection[str] = (), measured: bool = True) -> int:
    """
    @param without: folders of which what is not measured is left out.
    @param measured: whether the coverage is measured.
    @return: the exit status: 0 only when something ran, nothing failed and the
        coverage is what it must be.
    """
    if names:
        return _close(*_run(names))
    importTests()
    from tests.postgresql import MISSING

    if measured and MISSING:
        print("Coverage is not measured: what is skipped covers nothing, and that is much here.")
        measured = False
    groups = [
        [f"tests.{name}" for name in group if name.split(".")[0] not in without]
        for group in UNMEASURED
    ]
    prompt = [group for group in groups if group and group[0].startswith(f"tests.{WAITING}.")]
    patient = [group for group in groups if group and group not in prompt]
    with ExitStack() as stack:
        data = Path(stack.enter_context(TemporaryDirectory())) / "coverage"
        beside = [
            stack.enter_context(_beside([*modules(True)], data if measured else None)),
            *(stack.enter_context(_beside(group)) for group in prompt),
        ]
        os.nice(NICE)
        beside += [stack.enter_context(_beside(group)) for group in patient]
        cover = _start(None) if measured else None
        results = [_run([*modules(False)])]
        if cover is not None:
            cover.stop()
        for ended in beside:
            output, counts, fine = ended()
            print(output)
            results.append((counts, fine))
        counts = [sum(some) for some in zip(*(counts for counts, _ in results), strict=True)]
        well = all(fine for _, fine in results)
        if cover is not None:
            # The first two are those that are measured.
            well = _isEnough(cover, data, results[0][0][2] + results[1][0][2]) and well
    return _close(counts, well)


def _start(data: Path | None) -> Coverage:
    """Measure from now on. @param data: the file for it; C{None} for none."""
    import coverage

    config = str(HERE.parent / "pyproject.toml")
    cover = coverage.Coverage(data_file=data and str(data), config_file=config)
    cover.start()
    return cover


def _isEnough(cover: Coverage, data: Path, skipped: int) -> bool:
    """
    Print the branch coverage.

    @param data: what the other process covered; no file when it came to no end.
    @param skipped: how many of those that are measured were skipped.
    """
    if data.exists():
        cover.combine([str(data)])
    covered, least = cover.report(file=sys.stdout), cover.get_option("report:fail_under")
    if covered >= least:
        return True
    print(f"Branch coverage is {covered:.1f} %, and must be {least} %.")
    if skipped:
        # What a missing program would cover is not our fault; where CI is set, nothing is missing.
        print("Tests were skipped, so that is none the worse.")
    return bool(skipped)


def _runMeasured(names: list[str], data: Path) -> tuple[list[int], bool]:
    """Run these, and write down what they cover; what is returned is C{_run}'s."""
    cover = _start(data)
    try:
        return _run(names)
    finally:
        cover.stop()
        cover.save()


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
    # What a sink has not is no peer that is missing: see iris_twisted.sinks.testing.
    reasons = [str(reason) for _, reason in result.skips]
    inapplicable = sum(reason.startswith(INAPPLICABLE) for reason in reasons)
    if inapplicable:
        print(f"{inapplicable} tests say nothing of the sinks that they were to try.")
    skipped = len(reasons) - inapplicable + len(result.expectedFailures)
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
    parser.add_argument("--no-coverage", action="store_true", help="do not measure it")
    parser.add_argument("--coverage-data", type=Path, help="the file for what the names cover")
    options = parser.parse_args()
    if options.coverage_data:
        sys.exit(_close(*_runMeasured(options.names, options.coverage_data)))
    sys.exit(main(options.names, options.without, not options.no_coverage))
