"""
What open pages are told: as server-sent events (the EventSource of the HTML standard), each
with what has changed since the one before.

Those who watch the same share each look at it; and all looks together take only a small
share of the reactor's time, however many there are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.web.server import Request

from ..net.steady_time import steadyTime

__all__ = ["LiveViews", "changesOnly"]

# Seconds between two looks at the same at least, when something changed, and at most, as long
# as there is time for that.
_SOONEST = 0.2
_LATEST = 5.0
# How much of its time the reactor has for all looks. What they take is measured; what it takes
# to send one later, in seconds, cannot be.
_SHARE = 0.003
_SENDING = 0.0001
# Seconds by which a timer need not be set anew.
_SAME = 0.001
# Lists of which each entry has a name.
_NAMES = {"connections": "account", "calls": "id"}

Snapshot = dict[str, Any]


def changesOnly(before: Snapshot, now: Snapshot) -> Snapshot:
    """
    What somebody has to be told who knows how it was before: without what is as it was, and of
    lists whose entries have names only the names of those that are as they were.
    """
    changed = {
        key: value for key, value in now.items() if key not in before or value != before[key]
    }
    for key, name in _NAMES.items():
        if key in changed and key in before:
            known = {entry[name]: entry for entry in before[key]}
            changed[key] = [
                entry[name] if known.get(entry[name]) == entry else entry for entry in now[key]
            ]
    return changed


def _event(value: Snapshot) -> bytes:
    return f"data: {json.dumps(value, separators=(',', ':'), allow_nan=False)}\n\n".encode()


class _Stream:
    """
    One browser that watches.

    @ivar number: of the look that it was told last.
    @ivar full: whether it does not read: it gets nothing more until it does.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.number = 0
        self.full = False
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.full = True

    def resumeProducing(self) -> None:
        self.full = False

    def stopProducing(self) -> None:
        """It is gone: notifyFinish says so too."""

    def tell(self, view: _View) -> None:
        """The last look, as far as this one does not know it."""
        isNext = self.number > 0 and self.number == view.number - 1
        self._request.write(view.changes if isNext else view.whole)
        self.number = view.number


class _View:
    """
    What some watch together.

    @param look: at it.
    @ivar number: of the last look; 0 before the first.
    @ivar at: when that was, and which change was the last then.
    """

    def __init__(self, look: Callable[[], Snapshot]) -> None:
        self.streams: dict[_Stream, None] = {}
        self.number = 0
        self.at = (0.0, 0)
        self._look = look
        self._before: Snapshot = {}
        self._now: Snapshot = {}
        self._whole: bytes | None = None
        self._changes: bytes | None = None

    def look(self) -> None:
        """Look again."""
        self._before, self._now = self._now, self._look()
        self._whole = self._changes = None
        self.number += 1

    @property
    def whole(self) -> bytes:
        """An event that says all of it."""
        if self._whole is None:
            self._whole = _event(self._now)
        return self._whole

    @property
    def changes(self) -> bytes:
        """An event for who knows the look before."""
        if self._changes is None:
            self._changes = _event(changesOnly(self._before, self._now))
        return self._changes


class LiveViews:
    """
    @param watchers: those among whom it is are called when something has changed; it is as long
        as somebody looks.
    @param busySeconds: gives for how long this thread has worked so far: what a look takes
        counts, and not what the machine does meanwhile.
    """

    def __init__(
        self,
        reactor: Any,
        watchers: set[Callable[[], None]],
        busySeconds: Callable[[], float] = time.thread_time,
    ) -> None:
        self._time = steadyTime(reactor)
        self._watchers = watchers
        self._busySeconds = busySeconds
        # The one that was looked at longest ago is the first.
        self._views: dict[Hashable, _View] = {}
        self._changes = 0
        # Before this time there is none for looks.
        self._free = 0.0
        self._timer: IDelayedCall | None = None

    def watch(self, request: Request, key: Hashable, look: Callable[[], Snapshot]) -> None:
        """
        Tell somebody how it is, now and with each change, until they are gone.

        @param key: equal for those who share their looks.
        @param look: gives what is told; its C{connections} have C{account} and its C{calls} have
            C{id} for a name.
        """
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View(look)
        stream = _Stream(request)
        view.streams[stream] = None
        request.notifyFinish().addBoth(lambda _: self._gone(key, stream))
        self._watchers.add(self._changed)
        if view.number and self._time.seconds() < view.at[0] + _SOONEST:
            stream.tell(view)
        else:
            self._look(key)
        self._schedule()

    def _gone(self, key: Hashable, stream: _Stream) -> None:
        view = self._views[key]
        del view.streams[stream]
        if not view.streams:
            del self._views[key]
        if not self._views:
            self._watchers.discard(self._changed)
        self._schedule()

    def _changed(self) -> None:
        self._changes += 1
        self._schedule()

    def _schedule(self) -> None:
        """Wait for the time at which the next one is due."""
        if not self._views:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        # If nothing has changed since it was looked at, nothing has since the others were.
        at, change = next(iter(self._views.values())).at
        now = self._time.seconds()
        due = max(now, self._free, at + (_LATEST if change == self._changes else _SOONEST))
        if self._timer is None:
            self._timer = self._time.callLater(due - now, self._next)
        elif abs(self._timer.getTime() - due) > _SAME:
            self._timer.reset(due - now)

    def _next(self) -> None:
        self._timer = None
        self._look(next(iter(self._views)))
        self._schedule()

    def _look(self, key: Hashable) -> None:
        """Look at one, and tell all who watch it."""
        began = self._busySeconds()
        self._views[key] = view = self._views.pop(key)
        view.at = self._time.seconds(), self._changes
        reading = [stream for stream in view.streams if not stream.full]
        if reading:
            view.look()
            for stream in reading:
                stream.tell(view)
        # A look into which a garbage collection fell may not stop everything for long.
        taken = min(self._busySeconds() - began, _LATEST * _SHARE)
        pause = (taken + len(reading) * _SENDING) / _SHARE
        # Nor may many pages that are opened at once.
        now = self._time.seconds()
        self._free = min(max(self._free, now) + pause, now + max(pause, _LATEST))
