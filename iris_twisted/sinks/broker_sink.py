"""
What sinks have in common that keep one connection to a broker.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import IncorrectParameters
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
    subclass has L{take}, L{_open} and, if it has a password, L{_readPassword}; it gets the
    connection from C{await self._kept.get()}.

    @param name: as L{INotificationSink<iris_twisted.interfaces.INotificationSink>} says.
    @param timeout: seconds that opening it may take.
    """

    durable = True
    concurrency = 64

    _log = Logger()

    def __init__(self, name: str, timeout: float, context: SinkContext) -> None:
        self.name = name
        self._context = context
        self._kept: KeptConnection[_Connection] = KeptConnection(
            context.reactor, name, lambda: Deferred.fromCoroutine(self._open()), timeout
        )

    async def _open(self) -> _Connection:
        """See C{open} of L{KeptConnection}."""
        raise NotImplementedError("_open")

    def _readPassword(self) -> None:
        """
        Read it again, for the next connection.

        @raise IncorrectParameters: when it cannot be read: then the old one stays.
        """

    def take(self, record: CallRecord) -> Deferred[None]:
        raise NotImplementedError("take")

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self._kept.ask()

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        """
        A password may have changed. Certificates are read for each connection; the one that is
        open stays.
        """
        try:
            self._readPassword()
        except IncorrectParameters as e:
            self._log.error("{reason}; the old one stays", reason=e.message)

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kept.stop())
