"""
What Prometheus wants to know.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.utils import floatToGoString
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request

from ..connection.state import ConnectionState
from ..errors import NotKept
from ..fleet.fleet import IrisFleet
from ..net.http.serving import headerOf
from ..net.steady_time import steadyTime
from ..outbox.observer import OutboxObserver
from ..version import __version__

if TYPE_CHECKING:
    from ..outbox.outbox import Outbox
    from .interfaces import ICluster

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, float("inf"))
_HOUR = 3600.0
# Seconds for which the tokens that expire are not counted again: that looks at every account.
_TOKENS = 5.0
_COUNTERS = {
    "connects": "Sessions that came up",
    "reconnects": "Sessions that came up after a loss",
    "notifications": "Notifications handed over",
    "rejected": "Calls rejected with success",
    "forbidden": "Private IQs refused because of their sender",
    "callbackErrors": "Callbacks that failed",
}


class Metrics(OutboxObserver):
    """
    @param reactor: for the time.
    @param fleet: whose connections are counted.
    @param cluster: which it belongs to, if any.
    @ivar outbox: whose depth is shown, once there is one.
    """

    def __init__(self, reactor: Any, fleet: IrisFleet, cluster: ICluster | None = None) -> None:
        self.outbox: Outbox | None = None
        self._seconds = steadyTime(reactor).seconds
        self._expiring = 0
        self._expiringAt: float | None = None
        self._fleet = fleet
        self._cluster = cluster
        self._depths: dict[tuple[str, bool], int] = {}
        self._ages: dict[str, float] = {}
        self._snapshot: list[Metric] = []
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._about = self._build()
        registry.register(self)
        self._acknowledged = Histogram(
            "iris_acknowledgement_seconds",
            "From a call's arrival to its acknowledgement",
            buckets=_SECONDS,
            registry=registry,
        )
        self._repeated = Counter(
            "iris_repeated_calls",
            "Calls that were told again, and not given to sinks again",
            registry=registry,
        )
        self._deliveries = Counter(
            "iris_sink_deliveries",
            "Attempts to give a call to a sink, by their outcome: taken, failed or dead",
            ["sink", "outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "iris_sink_seconds",
            "What an attempt to give a call to a sink took",
            ["sink"],
            buckets=_SECONDS,
            registry=registry,
        )

    # OutboxObserver

    def accepted(self, seconds: float) -> None:
        self._acknowledged.observe(seconds)

    def repeated(self) -> None:
        self._repeated.inc()

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        self._deliveries.labels(sink, outcome).inc()
        self._durations.labels(sink).observe(seconds)

    # For a registry

    def describe(self) -> Iterable[Metric]:
        """There is nothing to say before the fleet runs."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Called in a thread: what L{look} saw last."""
        return self._snapshot

    async def look(self) -> None:
        """Look at everything, in the reactor's thread."""
        if self.outbox is not None:
            try:
                self._depths = await self.outbox.depths()
                self._ages = await self.outbox.oldestAges()
            except NotKept:
                self._depths, self._ages = {}, {}  # Told already, by whoever needed it.
        self._snapshot = [self._about, *self._connections(), *self._outboxDepth()]
        if self._cluster is not None:
            self._snapshot += self._cluster.metrics()

    def _connections(self) -> Iterable[Metric]:
        states = GaugeMetricFamily(
            "iris_connections", "Connections, by what they are doing", labels=["state"]
        )
        found = self._fleet.states
        for state in ConnectionState:
            states.add_metric([state.value], found[state])
        yield states
        stats = self._fleet.stats
        for name, words in _COUNTERS.items():
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
            yield CounterMetricFamily(f"iris_{snake}", words, getattr(stats, name))
        yield self._roundTrips()
        now = self._seconds()
        if self._expiringAt is None or now >= self._expiringAt + _TOKENS:
            self._expiring, self._expiringAt = self._fleet.tokensExpiringWithin(_HOUR), now
        yield GaugeMetricFamily(
            "iris_tokens_expiring",
            "Accounts whose token expires within an hour, or has expired",
            self._expiring,
        )
        age = self._fleet.sinceNotification
        if age is not None:
            words = "Since the last notification came to any account"
            yield GaugeMetricFamily("iris_last_call_age_seconds", words, age)

    def _roundTrips(self) -> Metric:
        """Every ping that was answered."""
        times = self._fleet.roundTrips
        return HistogramMetricFamily(
            "iris_ping_round_trip_seconds",
            "How long pings took to be answered",
            buckets=[(floatToGoString(bound), count) for bound, count in times.cumulative],
            sum_value=times.total,
        )

    @staticmethod
    def _build() -> Metric:
        """Which versions run here."""
        versions = {name: version(name) for name in ("twisted", "autobahn", "treq")}
        versions |= {"version": __version__, "python": platform.python_version()}
        build = GaugeMetricFamily("iris_build_info", "1, and what runs here", labels=[*versions])
        build.add_metric([*versions.values()], 1)
        return build

    def _outboxDepth(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily(
            "iris_outbox_calls", "Calls that are owed to a sink", labels=["sink", "state"]
        )
        for (sink, dead), count in self._depths.items():
            depth.add_metric([sink, "dead" if dead else "waiting"], count)
        yield depth
        oldest = GaugeMetricFamily(
            "iris_outbox_oldest_call_age_seconds",
            "Since when the oldest call that is owed to a sink waits for it",
            labels=["sink"],
        )
        for sink, age in self._ages.items():
            oldest.add_metric([sink], age)
        yield oldest

    def resource(self, reactor: Any) -> Resource:
        """For C{/metrics}."""
        return EncodingResourceWrapper(_Looking(reactor, self), [GzipEncoderFactory()])


class _Looking(Resource):
    """The text that Prometheus reads, made in a thread after a look."""

    isLeaf = True
    _log = Logger()

    def __init__(self, reactor: Any, metrics: Metrics) -> None:
        super().__init__()
        self._reactor = reactor
        self._metrics = metrics

    def render_GET(self, request: Request) -> int:
        finished: list[object] = []
        request.notifyFinish().addBoth(finished.append)

        def answer(text: bytes) -> None:
            # A scraper that goes away meanwhile is no error of ours.
            if not finished:
                request.write(text)
                request.finish()

        def failed(failure: Failure) -> None:
            self._log.failure("a bug in metrics", failure)
            request.setResponseCode(500)
            answer(b"")

        Deferred.fromCoroutine(self._text(request)).addCallbacks(answer, failed)
        return NOT_DONE_YET

    async def _text(self, request: Request) -> bytes:
        await self._metrics.look()
        encode, kind = choose_encoder(headerOf(request, "accept"))
        request.setHeader("content-type", kind)
        names = [name.decode("utf-8", "replace") for name in request.args.get(b"name[]", [])]
        registry: Any = self._metrics.registry
        if names:
            registry = registry.restricted_registry(names)
        pool = self._reactor.getThreadPool()
        text: bytes = await deferToThreadPool(self._reactor, pool, encode, registry)
        return text
