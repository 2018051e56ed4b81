"""
Who hears the callbacks of one account in a daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..connection.interfaces import IIrisListener

__all__ = ["CallbackFanOut"]


@implementer(IIrisListener)
class CallbackFanOut:
    """
    @param listeners: hear everything, in this order; one that raises keeps a notification
        from being acknowledged.
    @param offer: takes each notification; it is acknowledged when that fires. C{None} for
        nobody.
    """

    def __init__(
        self,
        listeners: Sequence[IIrisListener],
        offer: Callable[[dict[str, Any]], Deferred[None]] | None,
    ) -> None:
        self._listeners = listeners
        self._offer = offer

    def onConnected(self) -> None:
        for listener in self._listeners:
            listener.onConnected()

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        for listener in self._listeners:
            listener.onConnectionError(errorCode, errorMessage)

    def onDisconnected(self) -> None:
        for listener in self._listeners:
            listener.onDisconnected()

    def onReconnecting(self) -> None:
        for listener in self._listeners:
            listener.onReconnecting()

    def onNotification(self, notificationInfo: dict[str, Any]) -> Deferred[None] | None:
        for listener in self._listeners:
            listener.onNotification(notificationInfo)
        return None if self._offer is None else self._offer(notificationInfo)

    def onEvent(self, event: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.onEvent(event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        for listener in self._listeners:
            listener.onTokenAboutToExpire(secondsLeft)
