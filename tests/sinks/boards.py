"""
A sink that keeps its promises, and many that do not, each in its own way.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.interfaces import INotificationSinkProvider
from iris_twisted.sinks import CallRecord, SinkContext, testing
from iris_twisted.sinks.interfaces import IAskingSink, ICheckedSink

__all__ = ["FAULTS", "RIGHT", "Board", "Boards", "conformance"]

SECRET = "word-CANARY"
reactor: Any = _reactor


class Place:
    """
    Where calls go, in memory.

    @ivar lines: that arrived.
    @ivar held: keys of records that it says nothing to.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.away = self.forbids = False
        self.held: set[str] = set()


@implementer(IAskingSink, ICheckedSink)
class Board:
    """Right."""

    name = "Board 1"
    durable = True
    concurrency = 3

    def __init__(self, place: Place, argument: str) -> None:
        self.place = place
        self.argument = argument
        self.underWay: list[Deferred[None]] = []
        self.stopped = False

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        taking = Deferred.fromCoroutine(self.give(record, mayLeave))
        self.underWay.append(taking)

        def ended(result: Any) -> Any:
            self.underWay.remove(taking)
            return result

        return taking.addBoth(ended)

    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        await self.reach()
        if not mayLeave():
            raise NotTaken("the board is not asked any more")
        while record.key in self.place.held:
            await self.turn()
        await self.turn()
        if self.place.away:
            raise self.unreachable()
        if record.account == "poison@x.test":
            raise self.poisoned()
        self.write(record)

    async def turn(self) -> None:
        await deferLater(reactor, 0)

    async def reach(self) -> None:
        await self.turn()
        if self.place.away:
            raise self.unreachable()
        if self.place.forbids:
            raise self.forbidden()

    def unreachable(self) -> Exception:
        return NotTaken("the board is away")

    def forbidden(self) -> Exception:
        return NotTaken("the board wants another password")

    def poisoned(self) -> Exception:
        return SinkRefused("the board never takes this")

    def write(self, record: CallRecord) -> None:
        self.place.lines.append(record.line)

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self.turn()
            if self.place.away:
                raise NotTaken("the board is away")
            if self.place.forbids or self.argument:
                raise IncorrectParameters("the board is another")

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        pass

    def stop(self) -> Deferred[None]:
        assert not self.stopped, "stop() came twice"
        self.stopped = True
        for taking in list(self.underWay):
            taking.cancel()
        return succeed(None)


class Small(Board):
    """Right: there is no room for what is long."""

    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        if len(record.line) > 10_000:
            raise SinkRefused("the board has no room for that")
        await super().give(record, mayLeave)


class Forgetful(Board):
    """Right: it says that it is not durable, and what it has comes later."""

    durable = False

    def write(self, record: CallRecord) -> None:
        self.place.lines.append(record.line)


class Tells(Board):
    name = f"board {SECRET}"


class Logs(Board):
    def write(self, record: CallRecord) -> None:
        Logger().info("taking {line}", line=record.line)
        super().write(record)


class LogsFields(Board):
    def write(self, record: CallRecord) -> None:
        Logger().debug("taking", notification=record.notification)
        super().write(record)


class LogsTracebacks(Board):
    def write(self, record: CallRecord) -> None:
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("library").debug("trouble", exc_info=True)
        super().write(record)


class Warns(Board):
    def write(self, record: CallRecord) -> None:
        warnings.warn(f"trouble with {SECRET}", stacklevel=1)
        super().write(record)


class Prints(Board):
    def write(self, record: CallRecord) -> None:
        print(record.line, file=sys.stderr)
        super().write(record)


class PrintsAsInC(Board):
    def write(self, record: CallRecord) -> None:
        os.write(2, f"{SECRET}\n".encode())
        super().write(record)


class ComplainsAloud(Board):
    def unreachable(self) -> Exception:
        return NotTaken(f"the board is away for {SECRET}")


class RefusesAloud(Board):
    def poisoned(self) -> Exception:
        return SinkRefused(f"the board never takes {SECRET}")


class Cuts(Board):
    def write(self, record: CallRecord) -> None:
        call = json.loads(record.line)
        call["notification"] = {k: v[:100_000] for k, v in call["notification"].items()}
        self.place.lines.append(json.dumps(call))


class Drops(Board):
    def write(self, record: CallRecord) -> None:
        call = json.loads(record.line)
        known = ("type", "roomid", "roomtoken", "traceid", "userdata")
        call["notification"] = {k: v for k, v in call["notification"].items() if k in known}
        self.place.lines.append(json.dumps(call))


class Hurries(Board):
    def write(self, record: CallRecord) -> None:
        deferLater(reactor, 0.005, super().write, record)


class TakesOnce(Board):
    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        if record.line in self.place.lines:
            raise SinkRefused("the board has it")
        await super().give(record, mayLeave)


class Loses(Board):
    def write(self, record: CallRecord) -> None:
        if record.account != "user1@x.test":
            super().write(record)


class Turns(Board):
    def write(self, record: CallRecord) -> None:
        self.place.lines.insert(0, record.line)


class FailsTogether(Board):
    def poisoned(self) -> Exception:
        for taking in list(self.underWay)[::-1]:
            taking.cancel()
        return super().poisoned()


class OneByOne(Board):
    last: Deferred[None] = succeed(None)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        before, self.last = self.last, Deferred()
        mine = self.last

        async def wait() -> None:
            await before
            try:
                await self.give(record, mayLeave)
            finally:
                mine.callback(None)

        return Deferred.fromCoroutine(wait())


class RefusesAway(Board):
    def unreachable(self) -> Exception:
        return SinkRefused("the board is away")


class Pretends(Board):
    async def reach(self) -> None:
        await self.turn()

    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        if not self.place.away:
            await super().give(record, mayLeave)


class Waits(Board):
    """For ever, when the place goes away amid it."""

    async def turn(self) -> None:
        away = self.place.away
        await super().turn()
        if self.place.away and not away:
            await Deferred()


class TriesForEver(Board):
    def poisoned(self) -> Exception:
        return NotTaken("the board does not take this now")


class RefusesForbidden(Board):
    def forbidden(self) -> Exception:
        return SinkRefused("the board wants another password")


class HidesMistakes(Board):
    def check(self) -> Deferred[None]:
        checking = super().check()
        checking.addErrback(lambda _: fail(NotTaken("the board is busy")))
        return checking


class SeesNothing(Board):
    def check(self) -> Deferred[None]:
        return fail(NotTaken("the board is away")) if self.place.away else succeed(None)


class Probes(Board):
    def check(self) -> Deferred[None]:
        self.place.lines.append('{"key": "probe"}')
        return super().check()


class AsksEarly(Board):
    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        if not mayLeave():
            raise NotTaken("the board is not asked any more")
        await super().give(record, lambda: True)


class AsksNobody(Board):
    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return super().takeIf(record, lambda: True)


class BreaksLate(Board):
    """When somebody cancels amid it."""

    broken = False

    async def give(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        if self.broken:
            raise NotTaken("the board is broken")
        await self.reach()
        try:
            await super().give(record, mayLeave)
        except CancelledError:
            self.broken = True
            raise


class CutsOthers(Board):
    """When somebody cancels."""

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        taking = super().takeIf(record, mayLeave)

        def cut(_: Deferred[None]) -> None:
            for each in list(self.underWay):
                each.cancel()

        outer: Deferred[None] = Deferred(cut)
        taking.addBoth(lambda result: None if outer.called else outer.callback(result))
        return outer


class Wipes(Board):
    def reopen(self) -> None:
        self.place.lines.clear()


class LeavesTimer(Board):
    def stop(self) -> Deferred[None]:
        reactor.callLater(60, lambda: None)
        return super().stop()


class Leaves(Board):
    """Something that no reactor knows of, C{opened} by each sink that is used."""

    opened: Callable[[], Any]
    closed: list[Callable[[], object]] = []
    mine: Any = None

    async def reach(self) -> None:
        if self.mine is None:
            self.mine = type(self).opened()
        await super().reach()


def _thread() -> Any:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=True)
    thread.start()
    Leaves.closed += [over.set, thread.join]
    return thread


def _file() -> Any:
    file = os.open(os.devnull, os.O_WRONLY)
    Leaves.closed.append(lambda: os.close(file))
    return file


def _socket() -> Any:
    pair = socket.socketpair()
    Leaves.closed += [end.close for end in pair]
    return pair


def _process() -> Any:
    process = subprocess.Popen(["sleep", "60"])
    Leaves.closed += [process.kill, process.wait]
    return process


def _leaves(opened: Callable[[], Any]) -> type[Board]:
    return type(f"Leaves{opened.__name__}", (Leaves,), {"opened": staticmethod(opened)})


RIGHT: Sequence[type[Board]] = (Board, Small, Forgetful)
# Whatever it is that shows something, it is seen wherever something is taken.
_SHOWS = {"takes"}
# What each fails, at least.
FAULTS: Mapping[type[Board], set[str]] = {
    Tells: {"interface"},
    Logs: _SHOWS,
    LogsFields: _SHOWS,
    LogsTracebacks: _SHOWS,
    Warns: _SHOWS,
    Prints: _SHOWS,
    PrintsAsInC: _SHOWS,
    ComplainsAloud: {"stopAway", "unreachable", "unreachableFirst"},
    RefusesAloud: {"refuses", "outcomes"},
    Cuts: {"long"},
    Drops: {"takes"},
    Hurries: {"durable"},
    TakesOnce: {"again"},
    Loses: {"concurrency"},
    Turns: {"order", "reopen"},
    FailsTogether: {"outcomes"},
    OneByOne: {"accounts"},
    RefusesAway: {"asksLate", "unreachable", "unreachableFirst"},
    Pretends: {"unreachable", "unreachableFirst"},
    Waits: {"unreachable"},
    TriesForEver: {"refuses", "outcomes"},
    RefusesForbidden: {"forbidden"},
    HidesMistakes: {"forbidden", "wrongPlaces"},
    SeesNothing: {"wrongPlaces"},
    Probes: {"check"},
    AsksEarly: {"asksLate"},
    AsksNobody: {"asks"},
    BreaksLate: {"cancel"},
    CutsOthers: {"cancel"},
    Wipes: {"reopen"},
    LeavesTimer: {"stop", "stopAway"},
    **{_leaves(opened): {"stop"} for opened in (_thread, _file, _socket, _process)},
}


@implementer(IPlugin, INotificationSinkProvider)
class Boards:
    """
    C{board}.

    @ivar talks: whether it repeats a wrong argument.
    """

    name = "board"

    def __init__(self, kind: Callable[[Place, str], Board]) -> None:
        self.place = Place()
        self.talks = False
        self._kind = kind

    def make(self, argument: str, context: SinkContext) -> Any:
        if argument == SECRET:
            raise IncorrectParameters(f"sink board: {argument if self.talks else 'no such board'}")
        return self._kind(self.place, argument)


def conformance(boards: Boards) -> type[testing.SinkConformance]:
    """The suite, for these."""

    class TestBoard(testing.SinkConformance):
        provider = boards
        secrets = (SECRET,)
        wrongArguments = (SECRET,)

        async def place(self) -> str:
            boards.place.__init__()  # type: ignore[misc]
            return ""

        async def arrived(self, count: int) -> list[Any]:
            return [json.loads(line) for line in boards.place.lines]

        async def takeAway(self) -> None:
            boards.place.away = True

        async def bringBack(self) -> None:
            boards.place.away = False

        async def forbid(self) -> None:
            boards.place.forbids = True

        async def permit(self) -> None:
            boards.place.forbids = False

        async def poison(self) -> CallRecord:
            return self.record("poison@x.test")

        async def hold(self, record: CallRecord) -> None:
            boards.place.held.add(record.key)

        async def release(self) -> None:
            boards.place.held.clear()

        async def wrongPlaces(self) -> list[str]:
            return ["another"]

    return TestBoard
