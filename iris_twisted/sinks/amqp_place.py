"""
What goes to an AMQP broker, and where: values, without pika.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..net.client_certificate import ClientCertificate
from .broker_url import BrokerUrl

__all__ = ["AmqpMessage", "AmqpPlace"]


@attrs.frozen(kw_only=True)
class AmqpPlace:
    """
    Where messages go at a broker.

    @ivar user: with its C{password}.
    @ivar exchange: C{""} for the default one, which leads to the queue of the routing key.
    @ivar declare: C{passive} when it must be there, C{none} to ask nothing, or the type
        of a durable exchange to make.
    @ivar queue: the one that must be there, or C{None}.
    @ivar heartbeat: seconds.
    @ivar certificate: ours, for a broker that asks for one.
    """

    url: BrokerUrl
    name: str
    user: str
    password: str = attrs.field(repr=False)
    virtualHost: str
    exchange: str
    declare: str
    queue: str | None
    heartbeat: int
    timeout: float
    certificate: ClientCertificate | None = None


@attrs.frozen(kw_only=True)
class AmqpMessage:
    """One message."""

    id: str
    routingKey: str
    timestamp: int
    contentType: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
