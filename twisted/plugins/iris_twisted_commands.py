"""
The commands of C{twist}.
"""

import sys
from typing import Any

from twisted.application.service import ServiceMaker


class ClusterCommand(ServiceMaker):
    """A command whose libraries are an extra: without it, a sentence and EX_USAGE."""

    @property
    def options(self) -> Any:
        try:
            return super().options
        except ModuleNotFoundError as e:
            needs = f"needs {e.name}: pip install 'iris-twisted[cluster]'"
            print(f"twist {self.tapname} {needs}", file=sys.stderr)
            raise SystemExit(64) from None


iris = ServiceMaker(
    "iris-twisted",
    "iris_twisted.tap",
    "Connect to an Iris RTC platform and write down its calls.",
    "iris",
)

irisSandbox = ServiceMaker(
    "iris-twisted sandbox",
    "iris_twisted.sandbox.tap",
    "Play an Iris RTC platform on this machine.",
    "iris-sandbox",
)

irisCall = ServiceMaker(
    "iris-twisted call",
    "iris_twisted.sandbox.call_tap",
    "Place a call on a sandbox that runs in another terminal.",
    "iris-call",
)

irisOutbox = ServiceMaker(
    "iris-twisted outbox",
    "iris_twisted.outbox.tap",
    "Look into the outbox of twist iris, and decide about dead letters.",
    "iris-outbox",
)

irisOperator = ServiceMaker(
    "iris-twisted operator",
    "iris_twisted.operators.tap",
    "Say who may look at twist iris, and who may reject calls there.",
    "iris-operator",
)

irisCluster = ClusterCommand(
    "iris-twisted cluster",
    "iris_twisted.cluster.tap",
    "Look after the accounts and members of a cluster of twist iris.",
    "iris-cluster",
)

irisClusterDemo = ClusterCommand(
    "iris-twisted cluster demo",
    "iris_twisted.cluster.demo_tap",
    "Watch a cluster of twist iris whose members are killed, and no call is missed.",
    "iris-cluster-demo",
)
