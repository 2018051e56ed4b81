"""
The interfaces of floor 5.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

__all__ = ["IIrisListener", "IRetryPolicy"]


class IRetryPolicy(Interface):
    """When to try again."""

    def delay(attempt: int) -> float | None:
        """
        Called before each reconnecting attempt.

        @param attempt: 1 for the first since a session was last stable.
        @return: seconds to wait before it, or C{None} to give up.
        """


class IIrisListener(Interface):
    """
    Floor 5's callbacks (contract.md). Each is called from the reactor, never
    from within a call of the API or another callback of the same connection. Each may return a
    Deferred or a coroutine. One that fails is logged, and harms nothing else.
    """

    def onConnected() -> object:
        """The session is up: bound, or resumed."""

    def onConnectionError(errorCode: int, errorMessage: str) -> object:
        """An attempt ended for good, or the token was refused and a new one is awaited."""

    def onDisconnected() -> object:
        """Once for each onConnected, when that session is lost or closed."""

    def onReconnecting() -> object:
        """Once per loss, after onDisconnected, before the first new attempt."""

    def onNotification(notificationInfo: dict[str, Any]) -> object:
        """A call or another notification; it is acknowledged when this is done."""

    def onEvent(event: dict[str, Any]) -> object:
        """Every event of protocol.md section 6, just before the callback it belongs to."""

    def onTokenAboutToExpire(secondsLeft: float) -> object:
        """The iris token expires soon; once with 0 when it has expired already."""
