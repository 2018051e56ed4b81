"""
What sinks have in common that keep one connection to a broker.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from .context import SinkContext
from .interfaces import ICheckedSink
from .kept_connection import KeptConnection, SinkConnection
from .record import CallRecord

__all__ = ["BrokerSink"]

_Connection = TypeVar("_Connection", bound=SinkConnection)


@implementer(ICheckedSink)
class BrokerSink(Generic[_Connection]):
    """
    Opens its connection when it is checked, or given the first call, and again after a loss. A
    subclass has L{take} and L{_open}, and gets the connection from C{await self._kept.get()}.

    @param name: as L{INotificationSink<iris_twisted.interfaces.INotificationSink>} says.
    @param timeout: seconds that opening it may take.
    """

    durable = True
    concurrency = 64

    def __init__(self, name: str, timeout: float, context: SinkContext) -> None:
        self.name = name
        self._context = context
        self._kept: KeptConnection[_Connection] = KeptConnection(
            context.reactor, name, lambda: Deferred.fromCoroutine(self._open()), timeout
        )

    async def _open(self) -> _Connection:
        """See C{open} of L{KeptConnection}."""
        raise NotImplementedError("_open")

    def take(self, record: CallRecord) -> Deferred[None]:
        raise NotImplementedError("take")

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self._kept.ask()

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kept.stop())
