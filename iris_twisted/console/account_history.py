"""
What the console remembers of one account: its states, pings, errors and calls, bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..connection.connection import IrisListener, IrisRtcConnection
from ..connection.state import ConnectionState
from ..net.addresses import withoutPath

if TYPE_CHECKING:
    from ..connection.totals import ConnectionCounters

__all__ = ["AccountHistory"]

_STATES_KEPT = 40
_ERRORS_KEPT = 20
_PINGS_KEPT = 60
_MINUTES_KEPT = 30


class Told(Protocol):
    """Who hears what happens to all accounts; see C{CallHistory}."""

    def now(self) -> float: ...

    def moved(self, history: AccountHistory, before: ConnectionState) -> None: ...

    def called(self, account: str, info: dict[str, Any]) -> None: ...

    def ended(self, account: str, room: object, state: str) -> None: ...

    def changed(self) -> None: ...


class AccountHistory(IrisListener):
    """
    One account's past and present.

    @ivar state: what its connection is doing.
    @ivar lowered: the account's name in lower case, to be searched.
    @ivar pings: how long the last ones took, in microseconds; C{None} while not connected.
    @ivar errors: when, epoch seconds, and in words; the last ones.
    @ivar sinks: where its calls go, as they are configured: one may hold a secret.
    """

    def __init__(self, callHistory: Told, account: str, now: float) -> None:
        self.account = account
        self.lowered = account.lower()
        self.state = ConnectionState.CONNECTING
        self._connection: IrisRtcConnection | None = None
        self._counters: ConnectionCounters | None = None
        self.states: deque[tuple[float, str]] = deque(maxlen=_STATES_KEPT)
        self.pings: deque[int | None] = deque(maxlen=_PINGS_KEPT)
        self.errors: list[tuple[float, str]] = []
        self.sinks: Sequence[str] = ()
        self.next: tuple[int, float] | None = None
        self._minutes: deque[tuple[int, int]] = deque(maxlen=_MINUTES_KEPT)
        self._callHistory = callHistory
        self._entered(ConnectionState.CONNECTING, now)

    def _entered(self, state: ConnectionState, now: float) -> None:
        if not self.states or self.states[-1][1] != state.value:
            self.states.append((now, state.value))
            self._callHistory.changed()

    def _failed(self, words: str) -> None:
        self.errors = [*self.errors[1 - _ERRORS_KEPT :], (self._callHistory.now(), words)]

    # What happens

    def onConnected(self) -> None:
        self.next = None
        self._entered(ConnectionState.CONNECTED, self._callHistory.now())

    def onDisconnected(self) -> None:
        self._entered(ConnectionState.DISCONNECTED, self._callHistory.now())

    def onReconnecting(self) -> None:
        self._entered(ConnectionState.RECONNECTING, self._callHistory.now())

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self._failed(f"{errorMessage} ({errorCode})")
        self._entered(self.state, self._callHistory.now())
        self._callHistory.changed()

    def onEvent(self, event: dict[str, Any]) -> None:
        details = event["details"]
        if event["state"] == "SDK_WebSocketServerReconnecting":
            self.next = details["attempt"], self._callHistory.now() + details["delay"]
            self._callHistory.changed()
        elif event["state"] == "SDK_WebSocketServerDisconnected":
            self._failed(str(details["message"]))
        elif event["state"] == "SDK_CallRejected":
            self._callHistory.ended(self.account, details.get("roomid"), "rejected")

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        now = self._callHistory.now()
        minute = int(now // 60)
        count = self._minutes.pop()[1] if self._minutes and self._minutes[-1][0] == minute else 0
        self._minutes.append((minute, count + 1))
        if notificationInfo.get("type") == "cancel":
            self._callHistory.ended(self.account, notificationInfo.get("roomid"), "ended")
        else:
            self._callHistory.called(self.account, notificationInfo)

    # How it is

    @property
    def connection(self) -> IrisRtcConnection | None:
        """The connection, once there is one."""
        return self._connection

    @connection.setter
    def connection(self, connection: IrisRtcConnection) -> None:
        self._connection = connection
        self._counters = counters = connection._driver.counters
        counters.watcher = self._isNow
        self._isNow(counters.state)

    def _isNow(self, state: ConnectionState) -> None:
        """Counted as it happens: to look at thousands takes too long."""
        before, self.state = self.state, state
        self._callHistory.moved(self, before)

    def sample(self) -> None:
        """Look at the last ping."""
        counters = self._counters
        if counters is not None and self.state is ConnectionState.CONNECTED:
            trip = counters.stats.pingRoundTrip
            # JSON of whole numbers takes a tenth of the time.
            self.pings.append(None if trip is None else int(trip * 1e6))
        else:
            self.pings.append(None)

    def asDict(self, now: float) -> dict[str, Any]:
        """What is shown of it: no token, no password."""
        connection = self._connection
        info = None if connection is None else connection.serverInfo
        turn = None if info is None else info.turnCredentials
        minute = int(now // 60)
        counts = dict(self._minutes)
        return {
            "account": self.account,
            "state": self.state.value,
            "states": list(self.states),
            "jid": None if connection is None else connection.jid,
            "server": None if info is None else withoutPath(info.websocketServer),
            "error": self.errors[-1] if self.errors else None,
            "next": self.next,
            "pings": list(self.pings),
            "calls": [counts.get(m, 0) for m in range(minute - _MINUTES_KEPT + 1, minute + 1)],
            "tokenExpires": None if connection is None else connection.tokenExpiry,
            "turnExpires": None if turn is None else turn.expiresAt,
        }
