"""
What the console remembers: of each account its states, pings and calls, bounded.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import attrs
from twisted.internet.task import LoopingCall

from ..connection.connection import IrisListener, IrisRtcConnection
from ..connection.state import ConnectionState
from ..net.addresses import withoutPath
from ..net.steady_time import steadyTime, wallSeconds
from ..rtc.caller_number import callerNumber
from ..sinks.registry import shownSink

__all__ = ["AccountHistory", "CallEntry", "CallHistory"]

_STATES_KEPT = 40
_ERRORS_KEPT = 20
_PINGS_KEPT = 60
_MINUTES_KEPT = 30
_CALLS_KEPT = 500
_CALLS_SHOWN = 50
# Seconds between two looks at the pings.
_SAMPLE = 5.0


@attrs.define
class CallEntry:
    """
    A call, as the console shows it.

    @ivar state: C{ringing}, C{ended}, C{rejecting}, C{rejected}, or why it could not be.
    @ivar info: the notification; it holds the room token, and is shown to nobody.
    """

    id: int
    account: str
    at: float
    info: dict[str, Any] = attrs.field(repr=False)
    state: str = "ringing"

    def asDict(self) -> dict[str, Any]:
        """What is shown of it."""
        info = self.info
        return {
            "id": self.id,
            "account": self.account,
            "at": self.at,
            "kind": str(info.get("type")),
            "caller": str(info.get("routingid", "somebody")),
            "number": callerNumber(info),
            "room": str(info.get("roomid", "no room")),
            "state": self.state,
        }


class AccountHistory(IrisListener):
    """
    One account's past and present.

    @ivar connection: the connection, once there is one.
    @ivar lowered: the account's name in lower case, to be searched.
    @ivar errors: when, epoch seconds, and in words; the last ones.
    @ivar sinks: where its calls go, as they are configured: one may hold a secret.
    """

    def __init__(self, callHistory: CallHistory, account: str, now: float) -> None:
        self.account = account
        self.lowered = account.lower()
        self.connection: IrisRtcConnection | None = None
        self.states: deque[tuple[float, str]] = deque(maxlen=_STATES_KEPT)
        self.pings: deque[float | None] = deque(maxlen=_PINGS_KEPT)
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
    def state(self) -> ConnectionState:
        """What the connection is doing."""
        if self.connection is None:
            return ConnectionState.CONNECTING
        return self.connection.state

    def sample(self) -> None:
        """Look at the last ping."""
        trip = None if self.connection is None else self.connection.pingRoundTrip
        self.pings.append(trip if self.state is ConnectionState.CONNECTED else None)

    def asDict(self, now: float) -> dict[str, Any]:
        """What is shown of it: no token, no password."""
        connection = self.connection
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
    @ivar watchers: called when something changed, at most once a turn.
    """

    def __init__(self, reactor: Any) -> None:
        self.accounts: dict[str, AccountHistory] = {}
        self.calls: dict[int, CallEntry] = {}
        self.watchers: set[Callable[[], None]] = set()
        self._reactor = reactor
        self._ids = itertools.count(1)
        self._telling = False
        self._sampling = LoopingCall(self._sample)
        self._time = steadyTime(reactor)
        self._sampling.clock = self._time

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
        self.accounts[account] = history = AccountHistory(self, account, self.now())
        return history

    def close(self, account: str) -> None:
        """An account is gone."""
        self.accounts.pop(account, None)
        self.changed()

    def changed(self) -> None:
        """Tell who watches, once for all of this turn."""
        if not self._telling and self.watchers:
            self._telling = True
            self._time.callLater(0, self._tell)

    def _tell(self) -> None:
        self._telling = False
        for watcher in list(self.watchers):
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
        known = [(history.state, history) for history in self.accounts.values()]
        states = Counter(its for its, _ in known)
        words = words.lower()
        found = [
            history
            for its, history in known
            if (not words or words in history.lowered) and (not state or state == its.value)
        ]
        pages = max(1, -(-len(found) // size))
        page = min(page, pages - 1)
        now = self.now()
        shown = found[page * size : (page + 1) * size]
        return {
            "now": now,
            "states": {s.value: states[s] for s in ConnectionState},
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
