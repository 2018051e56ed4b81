"""
What the application is told, and in which order: every event just before the
callback that it belongs to (contract.md, "callback | when").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import IrisError
from .callback_queue import CallbackQueue
from .totals import ConnectionCounters

__all__ = ["ConnectionEvents"]


class ConnectionEvents:
    """
    @param target: whose attributes are the callbacks.
    @param counters: where notifications, rejects and failing callbacks are counted.
    @param observe: is shown each event, when it happens; C{None} for nobody.
    @ivar queue: where the callbacks wait for their turn.
    @ivar errorTold: called after each C{onConnectionError}.
    """

    def __init__(
        self,
        reactor: Any,
        target: object,
        counters: ConnectionCounters,
        observe: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._counters = counters
        self._observe = observe
        self._owesDisconnected = False
        self.errorTold: Callable[[IrisError], None] = lambda error: None
        self.queue = CallbackQueue(reactor, target, counters.callbackFailed, counters.refused)

    def connected(self, jid: str | None) -> None:
        """The session is up."""
        event = self._observed("SDK_WebSocketServerConnected", {"myJid": jid})
        self.queue.callWithEvent(event, "onConnected", made=lambda: self._owe(True))

    def notResumed(self, lostSince: float) -> None:
        """What was sent to us after that time, epoch seconds, may be lost."""
        details = {"lostSince": lostSince}
        self.queue.call("onEvent", self._observed("SDK_SessionNotResumed", details))

    def disconnected(self, message: str, *, always: bool = False) -> None:
        """The session is gone; C{always} tells it even after a L{closed}."""
        self.queue.callWithEvent(
            self._observed("SDK_WebSocketServerDisconnected", {"message": message}),
            "onDisconnected",
            made=lambda: self._owe(False),
            inseparable=True,
            always=always,
        )

    def reconnecting(self, jid: str | None, attempt: int, delay: float, *, first: bool) -> None:
        """Another attempt will be made."""
        details = {"myJid": jid, "attempt": attempt, "delay": delay}
        event = self._observed("SDK_WebSocketServerReconnecting", details)
        if first:
            self.queue.callWithEvent(event, "onReconnecting")
        else:
            self.queue.call("onEvent", event)

    def error(self, error: IrisError) -> None:
        """It ended for good, or waits for the application."""
        details = {"code": error.code, "message": error.message}
        event = self._observed("SDK_IrisRtcConnectionError", details)
        self.queue.callWithEvent(event, "onConnectionError", error.code, error.message)
        self.queue.do(lambda: self.errorTold(error))

    def notification(self, info: dict[str, Any], done: Callable[[Failure | None], None]) -> None:
        """A notification came."""
        self._counters.notified()
        self.queue.call("onEvent", self._observed("SDK_NotificationReceived", info))
        self.queue.call("onNotification", info, done=done)

    def notificationNow(self, info: dict[str, Any]) -> Deferred[object] | None:
        """A notification came; as L{CallbackQueue.now} does."""
        self._counters.notified()
        # As _observed does, without a call: this happens with each notification.
        event = {"type": "connection", "state": "SDK_NotificationReceived", "details": info}
        if self._observe is not None:
            self._observe(event)
        return self.queue.now(event, "onNotification", info)

    def rejected(self, payload: dict[str, Any]) -> None:
        """A session was rejected, and the server agreed."""
        self._counters.rejected()
        self.queue.call("onEvent", self._observed("SDK_CallRejected", payload))

    def tokenExpiring(self, secondsLeft: float) -> None:
        """The token expires soon."""
        self.queue.call("onTokenAboutToExpire", secondsLeft)

    def closed(self) -> None:
        """The application closed: tell what is owed, and nothing else."""
        self.queue.clear()
        if self._owesDisconnected:
            # Nothing takes it away from here on, a second closed neither.
            self._owesDisconnected = False
            self.disconnected("the connection was closed", always=True)

    def _observed(self, state: str, details: dict[str, Any]) -> dict[str, Any]:
        """An event, after the observer was shown it."""
        event = {"type": "connection", "state": state, "details": details}
        if self._observe is not None:
            self._observe(event)
        return event

    def _owe(self, owes: bool) -> None:
        self._owesDisconnected = owes
