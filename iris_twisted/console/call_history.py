"""
What the console remembers: of each account its states, pings, errors and calls, bounded.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any

from twisted.internet.task import LoopingCall

from ..connection.connection import IrisListener, IrisRtcConnection
from ..connection.state import ConnectionState
from ..connection.totals import ConnectionCounters
from ..net.addresses import withoutPath
from ..net.steady_time import steadyTime, wallSeconds
from ..sinks.registry import shownSink
from .call_entry import CallEntry

__all__ = ["AccountHistory", "CallHistory"]

_STATES_KEPT = 40
_ERRORS_KEPT = 20
_PINGS_KEPT = 60
_MINUTES_KEPT = 30
_CALLS_KEPT = 500
_CALLS_SHOWN = 50
_STATES = {state.value: state for state in ConnectionState}
# Seconds between two looks at the pings.
_SAMPLE = 5.0


class AccountHistory(IrisListener):
    """
    One account's past and present.

    @ivar state: what its connection is doing.
    @ivar lowered: the account's name in lower case, to be searched.
    @ivar pings: how long the last ones took, in microseconds; C{None} while not connected.
    @ivar errors: when, epoch seconds, and in words; the last ones.
    @ivar sinks: where its calls go, as they are configured: one may hold a secret.
    """

    def __init__(self, callHistory: CallHistory, account: str, now: float) -> None:
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


class CallHistory:
    """
    All accounts and calls.

    @param reactor: for dates and timers.
    @ivar accounts: by routing id.
    @ivar states: how many of them are in each state.
    @ivar watchers: called when something changed, which may be often in one turn: they do no
        more than to remember that.
    """

    def __init__(self, reactor: Any) -> None:
        self.accounts: dict[str, AccountHistory] = {}
        self.states: Counter[ConnectionState] = Counter()
        self.calls: dict[int, CallEntry] = {}
        self.watchers: set[Callable[[], None]] = set()
        self._reactor = reactor
        self._ids = itertools.count(1)
        self._sampling = LoopingCall(self._sample)
        self._sampling.clock = steadyTime(reactor)

    def now(self) -> float:
        """Epoch seconds."""
        return wallSeconds(self._reactor)

    def start(self) -> None:
        """Begin to look at pings."""
        self._sampling.start(_SAMPLE, now=False)

    def stop(self) -> None:
        """End that."""
        if self._sampling.running:
            self._sampling.stop()

    def open(self, account: str) -> AccountHistory:
        """There is another account."""
        self.close(account)
        self.accounts[account] = history = AccountHistory(self, account, self.now())
        self.states[history.state] += 1
        return history

    def close(self, account: str) -> None:
        """An account is gone."""
        history = self.accounts.pop(account, None)
        if history is not None:
            self.states[history.state] -= 1
            self.changed()

    def moved(self, history: AccountHistory, before: ConnectionState) -> None:
        """An account was in that state, and is in another now."""
        # One that is gone may still be closing.
        if self.accounts.get(history.account) is history:
            self.states[before] -= 1
            self.states[history.state] += 1
            self.changed()

    def changed(self) -> None:
        """Tell who watches."""
        for watcher in self.watchers:
            watcher()

    def _sample(self) -> None:
        for history in self.accounts.values():
            history.sample()
        self.changed()

    # Calls

    def called(self, account: str, info: dict[str, Any]) -> None:
        """A call came."""
        entry = CallEntry(next(self._ids), account, self.now(), info)
        self.calls[entry.id] = entry
        if len(self.calls) > _CALLS_KEPT:
            del self.calls[next(iter(self.calls))]
        self.changed()

    def ended(self, account: str, room: object, state: str) -> None:
        """Every call for that room is over."""
        for entry in self.calls.values():
            if entry.account == account and entry.info.get("roomid") == room:
                entry.state = state
        self.changed()

    # The whole

    def snapshot(self, words: str, state: str, page: int, size: int) -> dict[str, Any]:
        """
        What is shown.

        @param words: which a routing id must hold.
        @param state: that a connection must have, or nothing for any.
        @param page: which one, from 0; the last one if there are not so many.
        """
        found: Collection[AccountHistory] = self.accounts.values()
        if words:
            words = words.lower()
            found = [history for history in found if words in history.lowered]
        if state:
            wanted = _STATES.get(state)
            found = [history for history in found if history.state is wanted]
        pages = max(1, -(-len(found) // size))
        page = min(page, pages - 1)
        now = self.now()
        shown = islice(found, page * size, (page + 1) * size)
        return {
            "now": now,
            "states": {name: self.states[s] for name, s in _STATES.items()},
            "found": len(found),
            "page": page,
            "pages": pages,
            "connections": [history.asDict(now) for history in shown],
            "calls": [
                call.asDict() for call in islice(reversed(self.calls.values()), _CALLS_SHOWN)
            ],
        }

    def ofAccount(self, account: str) -> dict[str, Any]:
        """What is shown of one account: also of one that is gone the calls that are kept."""
        history, now = self.accounts.get(account), self.now()
        its = (call for call in reversed(self.calls.values()) if call.account == account)
        return {
            "now": now,
            "connection": None if history is None else history.asDict(now),
            "errors": [] if history is None else history.errors[::-1],
            "sinks": [] if history is None else [shownSink(spec) for spec in history.sinks],
            "calls": [call.asDict() for call in islice(its, _CALLS_SHOWN)],
        }
