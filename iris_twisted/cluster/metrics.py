"""
What Prometheus wants to know of a cluster, as one member sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from .member import ClusterMember
from .values import Life

__all__ = ["clusterMetrics"]

_COUNTS = {
    "iris_cluster_places_claimed": "Places claimed that nobody kept",
    "iris_cluster_places_moved": "Places that came from other members as planned",
    "iris_cluster_places_gone": "Places that went to other members as planned",
    "iris_cluster_places_lost": "Places that others claimed while this member was out of sight",
}


def clusterMetrics(member: ClusterMember, fenced: int) -> Iterable[Metric]:
    """
    @param fenced: how many calls were refused because another member has the account.
    """
    yield GaugeMetricFamily(
        "iris_cluster_in_touch",
        "1 while this member's lease holds: it may take calls",
        int(member.inTouch),
    )
    since = member.sinceRenewal
    if since is not None:
        words = "Since this member's last renewal of its lease was sent"
        yield GaugeMetricFamily("iris_cluster_renewal_age_seconds", words, since)
    yield GaugeMetricFamily(
        "iris_cluster_places_owned", "Places that this member owns", member.owned
    )
    for name, words in _COUNTS.items():
        value = getattr(member.counts, name.rpartition("_")[2])
        yield CounterMetricFamily(name, words, value)
    yield CounterMetricFamily(
        "iris_cluster_calls_fenced",
        "Calls refused because another member has the account",
        fenced,
    )
    sight = member.sight
    if sight is None:
        return
    members = GaugeMetricFamily("iris_cluster_members", "Members, by state", labels=["state"])
    found = Counter(
        "draining" if m.draining and m.life is Life.LIVE else m.life.value for m in sight.members
    )
    for state in ("live", "draining", "late", "dead"):
        members.add_metric([state], found[state])
    yield members
    yield GaugeMetricFamily(
        "iris_cluster_places_waiting", "Places that nobody keeps", sight.waiting
    )
    yield GaugeMetricFamily(
        "iris_cluster_places_moving", "Places that are being handed over", len(sight.handovers)
    )
    yield GaugeMetricFamily(
        "iris_cluster_capacity_missing",
        "Places for which all members together have too little capacity",
        member.decisions.shortage,
    )
