"""
Calls to each sink and through each store. What is not on this machine is left out.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from .programs import Broker, Firehose, Program

__all__ = ["Table", "eachSink", "eachStore"]

Table = tuple[list[str], list[list[Any]]]
Values = dict[str, dict[str, float]]

# What is beside each, and the part of the calls that is enough: a process takes its time.
_SINKS = {
    "stdout": ("print", 1),
    "file": ("os.write and os.fsync of 256 lines", 1),
    "exec": ("Twisted's spawnProcess, 4 at a time", 20),
    "webhook": ("treq, 8 at a time", 1),
    "amqp": ("pika, 64 at a time", 1),
    "redis": ("txredisapi and hiredis, 64 at a time", 1),
    "kafka": ("confluent-kafka", 1),
}
_BROKERS = ("amqp", "redis", "kafka")


@attrs.frozen
class Taken:
    """
    What one run took.

    @ivar cpu: microseconds per call.
    @ivar rate: calls per second.
    """

    cpu: float
    rate: float

    @classmethod
    def by(cls, client: Program, count: int) -> Taken:
        """That client says it."""
        got = client.value()
        return cls(got["cpu"] / count * 1e6, count / got["seconds"])


def _through(store: str, sink: str, count: int, accounts: int = 100) -> Taken:
    """From the websockets of so many accounts through a store to a sink."""
    command = [sys.executable, "-m", "benchmarks.clients.calls"]
    with Firehose() as firehose:
        assert isinstance(firehose, Firehose)
        words = [firehose.url, str(accounts), str(count), store, sink]
        with Program([*command, *words]) as client:
            while client.line() != "up":
                pass
            firehose.tell("calls", count)
            return Taken.by(client, count)


@attrs.frozen
class Round:
    """
    What neighbours took.

    @ivar alone: the sink's library; C{byHand}: the whole way, in a loop written for it;
        C{nothing}: ours, to a sink that takes each call at once; C{ours}: to the sink.
    """

    alone: Taken
    byHand: Taken
    nothing: Taken
    ours: Taken

    @property
    def own(self) -> float:
        """What the sink costs itself, microseconds per call."""
        return self.ours.cpu - self.nothing.cpu


def _alone(sink: str, where: str, count: int) -> Taken:
    """The library alone."""
    command = [sys.executable, "-m", "benchmarks.clients.bare", sink, where, str(count)]
    with Program(command) as client:
        return Taken.by(client, count)


def _byHand(path: str, sink: str, where: str, count: int, accounts: int) -> Taken:
    """The same way, as a loop that was written for it."""
    command = [sys.executable, "-m", "benchmarks.clients.by_hand"]
    with Firehose() as firehose:
        assert isinstance(firehose, Firehose)
        words = [firehose.url, str(accounts), str(count), path, sink, where]
        with Program([*command, *words]) as client:
            while client.line() != "up":
                pass
            firehose.tell("calls", count)
            return Taken.by(client, count)


@contextmanager
def _other(sink: str, folder: str) -> Iterator[tuple[str, str | None]]:
    """Where a sink's calls go, while this lasts; or why they cannot."""
    if sink == "webhook":
        with Program([sys.executable, "-m", "benchmarks.clients.hook"]) as hook:
            yield f"http://127.0.0.1:{hook.value()['port']}/", None
    elif sink in _BROKERS:
        with Broker(sink) as broker:
            yield broker.where, broker.missing
    else:
        # Which of them has no place of its own does not look at it.
        yield {"stdout": "", "file": f"{folder}/calls", "exec": "/bin/cat"}[sink], None


def _median(some: list[float]) -> float:
    return statistics.median(some)


def eachSink(short: bool, notes: list[str]) -> tuple[Table, Values]:
    """
    Through the websockets and the spool to each sink, to nothing, the library alone, and the same
    way by hand, in turn, so that what else the machine does concerns all; each ratio is the median
    of those of neighbours. What a sink costs itself is what it costs more than nothing.

    @param notes: gets a sentence for each sink that is left out.
    """
    head = ["sink", "calls per second", "us CPU per call", "of that the sink's own", "beside"]
    head += ["calls per second", "us CPU per call", "the sink's own, relative", "all, relative"]
    head += ["us CPU per call, all by hand", "all, relative to that"]
    accounts = 10 if short else 100
    rows, values = [], {}
    for sink, (library, part) in _SINKS.items():
        count = (100 if short else 5000) // part
        with TemporaryDirectory(prefix="iris-bench-") as folder, _other(sink, folder) as other:
            where, missing = other
            if missing is not None:
                notes.append(f"left out: {sink} ({missing})")
                continue
            rounds = []
            for _ in range(1 if short else 5):
                alone = _alone(sink, where, count)
                Path(folder, "calls").unlink(missing_ok=True)
                byHand = _byHand(f"{folder}/by-hand", sink, where, count, accounts)
                Path(folder, "calls").unlink(missing_ok=True)
                nothing = _through(f"{folder}/spool", "nothing", count, accounts)
                ours = _through(f"{folder}/spool", f"{sink}:{where}", count, accounts)
                rounds.append(Round(alone, byHand, nothing, ours))
        values[sink] = got = {
            "rate": _median([r.ours.rate for r in rounds]),
            "cpu": _median([r.ours.cpu for r in rounds]),
            "cpuOwn": _median([r.own for r in rounds]),
            "rateAlone": _median([r.alone.rate for r in rounds]),
            "cpuAlone": _median([r.alone.cpu for r in rounds]),
            "relativeOwn": _median([r.own / r.alone.cpu for r in rounds]),
            "relative": _median([r.ours.cpu / r.alone.cpu for r in rounds]),
            "cpuByHand": _median([r.byHand.cpu for r in rounds]),
            "relativeToByHand": _median([r.ours.cpu / r.byHand.cpu for r in rounds]),
        }
        numbers = list(got.values())
        rows.append([sink, *numbers[:3], library, *numbers[3:]])
    return (head, rows), values


def eachStore(short: bool, notes: list[str]) -> tuple[Table, Values]:
    """
    The same calls through SQLite and PostgreSQL, in turn. Both have a call on the disk before it
    is acknowledged; PostgreSQL also sees whether its member still owns the call's account.

    @param notes: gets a sentence when there is no PostgreSQL.
    """
    count, accounts = (100, 10) if short else (5000, 100)
    taken: dict[str, list[Taken]] = {"SQLite": []}
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="iris-bench-"))
        hook, _ = stack.enter_context(_other("webhook", folder))
        database = stack.enter_context(Broker("postgresql"))
        stores = {"SQLite": f"{folder}/spool"}
        if database.missing is None:
            stores["PostgreSQL"] = f"postgresql:{database.where}"
            taken["PostgreSQL"] = []
        else:
            notes.append(f"left out: PostgreSQL ({database.missing})")
        for _ in range(1 if short else 5):
            for name, store in stores.items():
                taken[name].append(_through(store, f"webhook:{hook}", count, accounts))
    rows, values = [], {}
    for name, runs in taken.items():
        pairs = zip(runs, taken["SQLite"], strict=True)
        values[name] = got = {
            "rate": _median([t.rate for t in runs]),
            "cpu": _median([t.cpu for t in runs]),
            "relative": _median([t.rate / beside.rate for t, beside in pairs]),
        }
        rows.append([name, *got.values()])
    head = ["store", "calls per second", "us CPU per call", "calls per second, relative"]
    return (head, rows), values
