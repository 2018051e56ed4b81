"""
Which calls are owed to which sinks, and what came: the promises of C{tests.soak_daemon} as code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs

from iris_twisted.sandbox.records import Call

from .invariants import BrokenPromise

__all__ = ["Excuse", "Ledger", "Owed"]

# Seconds before an end without a word in which a call may have been taken and not written down.
_UNWRITTEN = 10.0


@attrs.define
class Owed:
    """
    A call that was placed.

    @ivar number: in which order.
    @ivar sinks: who gets it for certain, whichever configuration counted when it came.
    @ivar acknowledged: whether the platform was told, however long ago.
    @ivar again: whether the platform told of it again: then its place in the order is any.
    """

    number: int
    call: Call
    sinks: frozenset[str]
    acknowledged: bool = False
    again: bool = False

    @property
    def trace(self) -> str:
        return str(self.call.info["traceid"])


@attrs.define
class Excuse:
    """
    What happened to a sink since the last time that all was well.

    @ivar repeats: how many calls it may have got twice for that.
    @ivar unordered: whether the order of what came is any, unless it is a strict one.
    @ivar disordered: the traces of calls that it did not take at first.
    @ivar dead: those that it refused for good.
    """

    repeats: int = 0
    unordered: bool = False
    disordered: set[str] = attrs.field(factory=set)
    dead: set[str] = attrs.field(factory=set)


class Ledger:
    """
    @param strict: whether C{--strict-order} is given.
    @param tell: is told of each call that is placed, and that came, in a line.
    @ivar owed: the calls since the last time that all was well, by their traces.
    @ivar excuses: by the sinks' names.
    @ivar ends: when the daemon ended without a word; C{None} where any time is an excuse.
    """

    def __init__(self, strict: bool, tell: Callable[[str], object] = lambda line: None) -> None:
        self.strict = strict
        self._tell = tell
        self.owed: dict[str, Owed] = {}
        self.excuses: defaultdict[str, Excuse] = defaultdict(Excuse)
        self.ends: list[float] | None = []
        self.counts: Counter[str] = Counter()
        self._placed: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._traces: dict[str, str] = {}
        # What each sink has, from the beginning; and in the order since all was well.
        self._has: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
        self._came: defaultdict[str, list[str]] = defaultdict(list)
        self._twice: defaultdict[str, list[str]] = defaultdict(list)
        # Which configurations may count, each the sinks of the accounts.
        self._configurations: list[Mapping[str, frozenset[str]]] = []

    # What is owed

    def placed(self, call: Call) -> None:
        """A call was placed just now."""
        known = [c[call.to] for c in self._configurations if call.to in c]
        sinks = frozenset.intersection(*known) if known else frozenset()
        owed = Owed(len(self._placed), call, sinks)
        self.owed[owed.trace] = owed
        self._placed[owed.trace] = call.to
        self._tell(f"{owed.trace} placed for {call.to}, owed to {sorted(sinks)}")

    def changes(self, configuration: Mapping[str, frozenset[str]]) -> None:
        """The daemon may read this one from now on: what is not acknowledged may come by it."""
        self.sweep()
        self._configurations.append(configuration)
        for owed in self.owed.values():
            if not owed.acknowledged and owed.call.to in configuration:
                owed.sinks &= configuration[owed.call.to]

    def changed(self) -> None:
        """The last one counts, and no other."""
        self.sweep()
        del self._configurations[:-1]

    def sweep(self) -> None:
        """See what is acknowledged by now."""
        for owed in self.owed.values():
            if owed.call.state == "acknowledged":
                owed.acknowledged = True

    # What came

    def arrived(self, sink: str, trace: str, key: str, at: float | None = None) -> None:
        """
        A sink has a call.

        @param at: when, epoch seconds, where that is known.
        """
        self._tell(f"{trace} at {sink}, with the key {key}, {at or ''}")
        if trace not in self._placed:
            raise BrokenPromise(f"{sink} has a call that nobody placed: {trace}")
        if self._keys.setdefault(trace, key) != key:
            raise BrokenPromise(f"{sink} has {trace} with the key {key}, not {self._keys[trace]}")
        if self._traces.setdefault(key, trace) != trace:
            raise BrokenPromise(f"{sink} has {trace} with the key of {self._traces[key]}")
        self.counts[sink] += 1
        has = self._has[sink]
        if trace not in has:
            has[trace] = at
            self._came[sink].append(trace)
            return
        self._twice[sink].append(trace)
        first = has[trace]
        # A broker whose connection was lost may have what it did not confirm.
        if not self.excuses[sink].unordered and not self._mayBeUnwritten(first):
            raise BrokenPromise(f"{sink} has {trace} twice, {first} and {at}; ends: {self.ends}")

    def _mayBeUnwritten(self, at: float | None) -> bool:
        if at is None or self.ends is None:
            return True
        return any(0 <= end - at + 1.0 <= _UNWRITTEN for end in self.ends)

    def interrupted(self, at: float, windows: Mapping[str, int]) -> None:
        """
        The daemon ended without a word.

        @param windows: of each sink, how many calls it may get again for that.
        """
        if self.ends is not None:
            self.ends.append(at)
        for sink, window in windows.items():
            self.excuses[sink].repeats += window

    # What must hold

    def missing(self) -> list[tuple[str, str]]:
        """What is acknowledged and did not arrive: sinks and traces."""
        self.sweep()
        return [
            (sink, owed.trace)
            for owed in self.owed.values()
            if owed.acknowledged
            for sink in sorted(owed.sinks)
            if owed.trace not in self._has[sink]
        ]

    def traces(self, key: str) -> list[str]:
        """The call of that key, where some sink has it already."""
        trace = self._traces.get(key)
        return [] if trace is None else [trace]

    def has(self, sink: str, trace: str) -> bool:
        """Whether it arrived there."""
        return trace in self._has[sink]

    def close(self, sinks: Iterable[str]) -> None:
        """
        All is well: nothing may be missing, twice, or out of its order. What comes from now on
        counts anew.

        @raise BrokenPromise: when it is.
        """
        missing = self.missing()
        if missing:
            raise BrokenPromise(f"acknowledged and never given: {missing[:10]} ({len(missing)})")
        for sink in sinks:
            excuse = self.excuses[sink]
            if len(self._twice[sink]) > excuse.repeats:
                raise BrokenPromise(
                    f"{sink} has {len(self._twice[sink])} calls twice, and {excuse.repeats} are "
                    f"excused: {self._twice[sink][:10]}"
                )
            self.counts[f"{sink} twice"] += len(self._twice[sink])
            if self.strict or not excuse.unordered:
                out = excuse.dead | (set() if self.strict else excuse.disordered)
                self._checkOrder(sink, out)
        self.counts["acknowledged"] += sum(owed.acknowledged for owed in self.owed.values())
        self.owed.clear()
        self.excuses.clear()
        self._came.clear()
        self._twice.clear()
        self.ends = []

    def _checkOrder(self, sink: str, out: Collection[str]) -> None:
        last: dict[str, Owed] = {}
        for trace in self._came[sink]:
            owed = self.owed.get(trace)
            if owed is None or owed.again or trace in out:
                continue
            before = last.get(owed.call.to)
            if before is not None and before.number > owed.number:
                raise BrokenPromise(
                    f"{sink} has {before.trace} before {trace}, which came sooner for "
                    f"{owed.call.to}"
                )
            last[owed.call.to] = owed
            self.counts["in order"] += 1
