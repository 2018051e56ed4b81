"""
Writes C{docs/reference/metrics.md} from the metrics themselves. A test compares the two.

    python docs/make_metrics.py > docs/reference/metrics.md
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from iris_twisted import IrisFleet
from iris_twisted.cluster.membership import Sight
from iris_twisted.cluster.metrics import clusterMetrics
from iris_twisted.cluster.reconciling import Counts
from iris_twisted.daemon.metrics import Metrics

HEAD = """\
# Metrics

For operators with Prometheus: what `--metrics` serves at `/metrics`, made from the source by
`docs/make_metrics.py`. Counters end with `_total`; a histogram has `_bucket`, `_sum` and
`_count`; those of a cluster are served with `--cluster`. How to watch them stands in
[](../production/monitoring.md).

| metric | kind | labels | meaning |
|---|---|---|---|
"""
TAIL = """
Besides these, Prometheus's own client tells of the process and of Python, where the system lets it:
`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`,
`process_start_time_seconds`, `process_open_fds`, `process_max_fds`, `python_info` and the garbage
collector's `python_gc_*`.
"""


class _Owing:
    """An outbox that owes calls, so that its metrics have their labels."""

    async def depths(self) -> dict[tuple[str, bool], int]:
        return {("webhook", False): 1, ("webhook", True): 1}

    async def oldestAges(self) -> dict[str, float]:
        return {"webhook": 1.0}


def member() -> Any:
    """A member of a cluster that has seen it."""
    return SimpleNamespace(
        inTouch=True,
        sinceRenewal=1.0,
        owned=1,
        counts=Counts(),
        sight=Sight((), False, 0, 0, (), 0, 0.0),
        decisions=SimpleNamespace(shortage=0),
    )


def metrics() -> list[Metric]:
    """All that are ours, each with a value."""
    clock = Clock()
    fleet = IrisFleet("https://evm.example.com", reactor=clock)
    fleet._totals.lastNotification = 0.0
    found = Metrics(clock, fleet)
    found.outbox = _Owing()  # type: ignore[assignment]
    found.accepted(0.1)
    found.ended("webhook", "taken", 0.1)
    Deferred.fromCoroutine(found.look())
    ours = [*clusterMetrics(member(), 0)]
    ours += [metric for metric in found.registry.collect() if metric.name.startswith("iris_")]
    return sorted(ours, key=lambda metric: metric.name)


def page() -> str:
    """The whole page."""
    rows = []
    for metric in metrics():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = sorted({label for s in metric.samples for label in s.labels} - {"le"})
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |\n")
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    print(page(), end="")
