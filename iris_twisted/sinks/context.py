"""
What sinks may use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ..connection.settings import Settings
from ..net.client_certificate import ClientCertificate
from .formats import FORMATS, CallFormat

__all__ = ["SinkContext"]


@attrs.frozen(kw_only=True)
class SinkContext:
    """
    What sinks may use.

    @ivar reactor: for time, sockets, processes and threads.
    @ivar write: writes a line to stdout.
    @ivar settings: whose certificates and limits count.
    @ivar execTimeout: seconds that a program may take.
    @ivar webhookTimeout: seconds that a webhook may take.
    @ivar webhookSecret: to sign webhooks with, or C{None}.
    @ivar webhookSecretFile: where it is, if it may change: read for each sink, and on SIGHUP.
    @ivar webhookCertificate: ours, for webhooks that ask for one.
    @ivar format: how calls are written.
    """

    reactor: Any
    write: Callable[[str], None]
    settings: Settings = attrs.field(factory=Settings)
    execTimeout: float = 10.0
    webhookTimeout: float = 10.0
    webhookSecret: bytes | None = attrs.field(default=None, repr=False)
    webhookSecretFile: str | None = None
    webhookCertificate: ClientCertificate | None = None
    format: CallFormat = FORMATS["json"]
