"""
All of it, in one run:

    python -m benchmarks [--short] [NAME ...]

NAME is one of hot-path, tricks, sizes, calls, sinks, stores, claiming, members, failover,
latency, many, idling, looking, reconnects, start-up. It prints tables, and writes
C{RESULTS.md}, C{results/results.json} and plots; with C{--short} it only shows that everything
works, with counts too small for the numbers to mean anything. What needs a broker or PostgreSQL
is left out where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .cluster import failover, idleMembers, placesClaimed
from .programs import ROOT, Clients, Firehose, Program
from .sinks import Table, eachSink, eachStore
from .without import IDLE_TRICKS, TRICKS

RESULTS = Path(__file__).resolve().parent
BASE = "raw Autobahn"
OURS = "iris-twisted"


class Run:
    """
    One run.

    @ivar short: whether only to show that it works.
    @ivar values: what goes into C{results.json}.
    """

    def __init__(self, short: bool) -> None:
        self.short = short
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []
        self._clients: Clients | None = None

    @property
    def clients(self) -> Clients:
        """Made when they are needed."""
        if self._clients is None:
            self._clients = Clients()
        return self._clients

    # CPU per notification

    def cpu(self, names: list[str], count: int, size: int = 0, runs: int = 5) -> dict[str, float]:
        """Microseconds per notification: medians of interleaved runs."""
        taken: dict[str, list[float]] = {name: [] for name in names}
        with Firehose() as firehose:
            assert isinstance(firehose, Firehose)
            for _ in range(2 if self.short else runs):
                for name in names:
                    # The slow ones get fewer: the number does not matter to them.
                    part = count // 5 if name in ("iris-js-sdk", "slixmpp") else count
                    with self.clients.start(name, firehose, part) as client:
                        while client.line() != "up":
                            pass
                        firehose.tell("flood", part, size)
                        got = client.value()
                    taken[name].append(got["cpu"] / got["count"] * 1e6)
        return {name: statistics.median(values) for name, values in taken.items()}

    def hotPath(self) -> Table:
        """CPU per notification, beside others."""
        others = [
            n for n in ("@xmpp/client", "slixmpp", "iris-js-sdk") if n not in self.clients.missing
        ]
        names = [BASE, OURS, f"{OURS}, no XEP-0198", f"{OURS}, framed", *others]
        values = self.cpu(names, 1000 if self.short else 50_000)
        self.notes += [f"left out: {name} ({why})" for name, why in self.clients.missing.items()]
        self.values["hotPath"] = values
        return ["client", "us per notification", "relative"], [
            [name, value, value / values[BASE]] for name, value in values.items()
        ]

    def tricks(self) -> Table:
        """CPU per notification without one trick each."""
        names = [BASE, OURS, *(f"{OURS}, without {trick}" for trick in TRICKS)]
        values = self.cpu(names, 1000 if self.short else 30_000)
        self.values["tricks"] = values
        rows = [
            [name, value, value / values[OURS]] for name, value in values.items() if name != BASE
        ]
        return ["", "us per notification", "relative to all tricks"], rows

    def sizes(self) -> Table:
        """CPU per notification at several sizes: a straight line."""
        rows, values = [], {}
        for size in (512, 4096, 32768, 200 * 1024):
            count = max(200, (100 if self.short else 5000) * 1024 // size * 4)
            got = self.cpu([BASE, OURS], min(count, 30_000), size, runs=3)
            values[size] = got
            rows.append([size, got[BASE], got[OURS], got[OURS] / got[BASE]])
        self.values["sizes"] = values
        return ["bytes", f"us, {BASE}", f"us, {OURS}", "relative"], rows

    def calls(self) -> Table:
        """CPU per call, from the websockets of 100 accounts through the spool to a sink."""
        count, bare = 200 if self.short else 5000, "bare treq, 8 at a time"
        command = [sys.executable, "-m", "benchmarks.clients.calls"]
        bareCommand = [sys.executable, "-m", "benchmarks.clients.bare", "webhook"]
        taken: dict[str, list[float]] = {}
        with (
            Program([sys.executable, "-m", "benchmarks.clients.hook"]) as hook,
            TemporaryDirectory(prefix="iris-twisted-benchmarks-") as folder,
        ):
            url = f"http://127.0.0.1:{hook.value()['port']}/"
            sinks = {
                "without a sink": [],
                "spool and file": [f"{folder}/spool", f"file:{folder}/calls"],
                "spool and webhook": [f"{folder}/spool", f"webhook:{url}"],
            }
            for _ in range(1 if self.short else 5):
                with Program([*bareCommand, url, str(count)]) as client:
                    taken.setdefault(bare, []).append(client.value()["cpu"] / count * 1e6)
                for name, words in sinks.items():
                    for path in Path(folder).iterdir():
                        path.unlink()
                    with Firehose() as firehose:
                        assert isinstance(firehose, Firehose)
                        with Program([*command, firehose.url, "100", str(count), *words]) as client:
                            while client.line() != "up":
                                pass
                            firehose.tell("calls", count)
                            taken.setdefault(name, []).append(client.value()["cpu"] / count * 1e6)
        values = {name: statistics.median(times) for name, times in taken.items()}
        self.values["calls"] = values
        return ["", "us per call", f"relative to {bare}"], [
            [name, value, value / values[bare]] for name, value in values.items()
        ]

    def sinks(self) -> Table:
        """Each sink, all the way through the spool; beside its library alone, and by hand."""
        table, self.values["sinks"] = eachSink(self.short, self.notes)
        return table

    def stores(self) -> Table:
        """Calls to a webhook, through each store."""
        table, self.values["stores"] = eachStore(self.short, self.notes)
        return table

    # A cluster

    def claiming(self) -> Table:
        """Members of a cluster that claim places, all at the same time."""
        table, self.values["claiming"] = placesClaimed(self.short, self.notes)
        return table

    def members(self) -> Table:
        """Three members of a cluster with nothing to do: the load of PostgreSQL."""
        table, self.values["members"] = idleMembers(self.short, self.notes)
        return table

    def failover(self) -> Table:
        """One of three members of a cluster is killed."""
        table, self.values["failover"] = failover(self.short, self.notes)
        return table

    # Many

    def many(self) -> Table:
        """Memory and CPU of many connections; and a restart of the server."""
        rows = []
        self.values["many"] = {}
        for count, tls in (
            [(20, False), (20, True)]
            if self.short
            else [
                *((count, False) for count in (100, 1000, 5000)),
                *((count, True) for count in (100, 1000, 5000)),
            ]
        ):
            with Firehose(tls) as firehose:
                assert isinstance(firehose, Firehose)
                with self._fleet(firehose, count) as fleet:
                    up = fleet.value()
                    fleet.tell("idle", 1 if self.short else 15)
                    up |= fleet.value()
            self.values["many"][f"{count} by {'TLS' if tls else 'TCP'}"] = up
            rows.append(
                [
                    count,
                    "TLS" if tls else "plain",
                    up["kibPerConnection"],
                    up["cpuMillisecondsPerConnect"],
                    up["idlePercentPerThousand"],
                    up["seconds"],
                ]
            )
        for count in [20] if self.short else [1000, 5000]:
            rows.append(self._bareSockets(count))
        rows += self._websocketsAlone(20 if self.short else 1000)
        self._restart(20 if self.short else 5000)
        return [
            "connections",
            "",
            "KiB each",
            "ms CPU per connect",
            "% of a core per 1,000 idle",
            "seconds until all were up",
        ], rows

    def idling(self) -> Table:
        """CPU of idle connections without one trick each."""
        count, seconds = (20, 1) if self.short else (1000, 10)
        taken: dict[str, list[float]] = {}
        for _ in range(1 if self.short else 3):
            for trick in ("", *IDLE_TRICKS):
                with Firehose() as firehose:
                    assert isinstance(firehose, Firehose)
                    options = ["without", trick] if trick else []
                    with self._fleet(firehose, count, *options) as fleet:
                        fleet.value()
                        fleet.tell("idle", seconds)
                        got = fleet.value()["idlePercentPerThousand"]
                name = f"{OURS}, without {trick}" if trick else OURS
                taken.setdefault(name, []).append(got)
        values = {name: statistics.median(shares) for name, shares in taken.items()}
        self.values["idling"] = values
        head = [f"{count} connections", "% of a core per 1,000", "relative to all tricks"]
        return head, [[name, share, share / values[OURS]] for name, share in values.items()]

    def looking(self) -> Table:
        """What the reactor needs for those who look: console pages and scrapers."""
        accounts, seconds = (50, 1) if self.short else (5000, 5)
        command = [sys.executable, "-m", "benchmarks.clients.looked_at", str(accounts)]
        values: dict[str, Any] = {}
        for name, pages, views, scrape in (
            ("nobody", 0, 1, 0),
            ("a scrape every 5 s", 0, 1, 5),
            ("1 page", 1, 1, 0),
            ("10 pages of the same", 10, 1, 0),
            ("10 pages, each of others", 10, 10, 0),
            ("10 pages of the same, and a scrape every 5 s", 10, 1, 5),
            ("10 pages, each of others, and a scrape every 5 s", 10, 10, 5),
        ):
            with Program(command) as program:
                words = (program.value()["url"], str(pages), str(views), str(scrape))
                lookers = [sys.executable, "-m", "benchmarks.clients.lookers", *words]
                with Program(lookers) as looking:
                    program.tell("measure", seconds)
                    got = program.value()
                    looking.tell("report")
                    told = looking.value()["events"] / max(pages, 1) / (seconds + 1)
            values[name] = {**got, "events": told}
        self.values["looking"] = values
        nobody = values["nobody"]["milliseconds"]
        return [
            f"{accounts} accounts, 10 calls and a loss a second",
            "ms of the reactor a second",
            "more than for nobody",
            "events a second and page",
        ], [
            [name, v["milliseconds"], v["milliseconds"] - nobody, v["events"]]
            for name, v in values.items()
        ]

    def _bareSockets(self, count: int) -> list[Any]:
        """The least that idling costs on Twisted."""
        seconds = 1 if self.short else 15
        command = [sys.executable, "-m", "benchmarks.clients.bare_sockets"]
        with Program([*command, "serve"]) as server:
            port = server.value()["port"]
            with Program([*command, "idle", str(port), str(count), str(seconds)]) as sockets:
                got = sockets.value()
        self.values["many"][f"{count} bare sockets"] = got
        return [count, "bare sockets, no protocol", "", "", got["idlePercentPerThousand"], ""]

    def _websocketsAlone(self, count: int) -> list[list[Any]]:
        """What of a TLS connect is the websocket's: without discovery and XMPP."""
        taken: dict[str, list[float]] = {}
        for _ in range(1 if self.short else 5):
            for who in ("autobahn", "ours"):
                with Firehose(tls=True) as firehose:
                    assert isinstance(firehose, Firehose)
                    about = (firehose.url, firehose.caFile, str(count))
                    command = [sys.executable, "-m", "benchmarks.clients.tls_connects", who, *about]
                    with Program(command) as program:
                        got = program.value()["cpuMillisecondsPerConnect"]
                taken.setdefault(who, []).append(got)
        values = {who: statistics.median(times) for who, times in taken.items()}
        self.values["many"][f"{count} websockets alone by TLS"] = values
        return [
            [count, f"TLS websocket alone, {name}", "", values[who], "", ""]
            for who, name in (("autobahn", BASE), ("ours", OURS))
        ]

    def _restart(self, count: int) -> None:
        with Firehose() as firehose:
            assert isinstance(firehose, Firehose)
            with self._fleet(firehose, count) as fleet:
                fleet.value()
                fleet.tell("wait")
                firehose.tell("restart", 1 if self.short else 5)
                back = fleet.value()
                firehose.tell("report")
                arrivals = firehose.value()
        self.values["restart"] = {**back, "arrivals": arrivals}
        self.notes.append(
            f"after a restart of the server, {back['up'] - 1} of {count} were back in "
            f"{back['seconds']:.0f} seconds, with {back['peak']} attempts under way at most"
        )

    def _fleet(self, firehose: Firehose, count: int, *options: str) -> Program:
        python = [sys.executable, "-m", "benchmarks.clients.fleet"]
        caFile = [firehose.caFile] if firehose.caFile else []
        return Program([*python, firehose.url, str(count), *caFile, *options])

    def latency(self) -> Table:
        """From the server's write to the callback."""
        clients, rate, seconds = (20, 100, 2) if self.short else (1000, 1000, 20)
        with Firehose() as firehose:
            assert isinstance(firehose, Firehose)
            with self._fleet(firehose, clients) as fleet:
                fleet.value()
                fleet.tell("latency", seconds + 2)
                firehose.tell("rate", rate, seconds)
                got = fleet.value()
        self.values["latency"] = got
        rows = [[name, value] for name, value in got["milliseconds"].items()]
        return [f"{rate} per second over {clients} connections", "ms"], rows

    def reconnects(self) -> Table:
        """Memory over reconnects, with the sandbox in the same process."""
        counts = ["2", "10"] if self.short else ["100", "2000"]
        command = [sys.executable, "-m", "benchmarks.clients.reconnects", *counts]
        with Program(command) as program:
            sizes = program.value()
        self.values["reconnects"] = sizes
        first = next(iter(sizes.values()))
        rows = [[count, size, size / first] for count, size in sizes.items()]
        return ["reconnects", "KiB resident", "relative"], rows

    def startUp(self) -> Table:
        """Seconds until it is imported."""
        taken: dict[str, list[float]] = {}
        for _ in range(2 if self.short else 15):
            for words in ("autobahn.twisted.websocket, treq", "iris_twisted"):
                code = f"from time import *; t = perf_counter(); import {words}"
                command = [sys.executable, "-c", f"{code}; print(perf_counter() - t)"]
                out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
                taken.setdefault(words, []).append(float(out.stdout))
        values = {words: statistics.median(times) for words, times in taken.items()}
        self.values["startUp"] = values
        base = values["autobahn.twisted.websocket, treq"]
        return ["import", "ms", "relative"], [
            [words, value * 1e3, value / base] for words, value in values.items()
        ]


def shown(table: Table) -> str:
    """As Markdown."""
    head, rows = table
    lines = [head, ["---"] * len(head)]
    lines += [[f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """What it was measured on."""
    with open("/proc/cpuinfo") as info:
        models = [ln.partition(":")[2].strip() for ln in info if ln.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("twisted", "autobahn", "treq"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {models[0] if models else '?'}, "
        f"{platform.system()}, Python {platform.python_version()}, {packages}"
    )


def main() -> None:
    run_ = {
        "hot-path": Run.hotPath,
        "tricks": Run.tricks,
        "sizes": Run.sizes,
        "calls": Run.calls,
        "sinks": Run.sinks,
        "stores": Run.stores,
        "claiming": Run.claiming,
        "members": Run.members,
        "failover": Run.failover,
        "latency": Run.latency,
        "many": Run.many,
        "idling": Run.idling,
        "looking": Run.looking,
        "reconnects": Run.reconnects,
        "start-up": Run.startUp,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only show that everything works")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(run_)}")
    options = parser.parse_args()
    if set(options.names) - set(run_):
        parser.error(f"there are {', '.join(run_)}")
    run = Run(options.short)
    text = [
        "# The latest run of `python -m benchmarks`",
        f"Measured on {machine()}. Medians of interleaved runs; CPU is that of the client's "
        f"process alone.",
    ]
    chosen: dict[str, Callable[[Run], Table]] = {
        name: run_[name] for name in run_ if name in options.names or not options.names
    }
    for name, measure in chosen.items():
        title = f"## {(measure.__doc__ or name).rstrip('.')}"
        print(f"\n{title}\n", flush=True)
        table = shown(measure(run))
        print(table, flush=True)
        text += [title, table]
    for note in run.notes:
        print(f"\n{note}")
        text.append(f"* {note}")
    text += [f"![{name}](results/{name}.svg)" for name in ("hot-path", "sizes", "restart")]
    if options.short:
        return
    folder = RESULTS / "results"
    folder.mkdir(exist_ok=True)
    path = folder / "results.json"
    values = (json.loads(path.read_text()) if path.exists() else {}) | run.values
    path.write_text(json.dumps(values, indent=1) + "\n")
    if not options.names:
        (RESULTS / "RESULTS.md").write_text("\n\n".join(text) + "\n")
    from .plots import plot

    # As they are in the file: its keys are text.
    plot(json.loads(path.read_text()), folder)


if __name__ == "__main__":
    main()
