"""
What the console remembers: all accounts, and the last calls.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

import attrs
from twisted.internet.task import LoopingCall

from ..connection.state import ConnectionState
from ..net.steady_time import steadyTime, wallSeconds
from ..rtc.caller_number import callerNumber
from ..sinks.registry import shownSink
from .account_history import AccountHistory

__all__ = ["CallEntry", "CallHistory"]

_CALLS_KEPT = 500
_CALLS_SHOWN = 50
_STATES = {state.value: state for state in ConnectionState}
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
