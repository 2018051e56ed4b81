"""
What tests of a sink need: a place for calls, records to give, and an eye on what is shown.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from ..errors import IncorrectParameters, IrisError, NotTaken, SinkRefused
from .context import SinkContext
from .interfaces import INotificationSink, INotificationSinkProvider
from .leftovers import held
from .record import CallRecord
from .shown import Shown

__all__ = ["SinkCase"]

# Of the rooms that calls are for.
_NUMBERS = itertools.count(1)
# Stands in every record: what a sink must not show.
_ROOM_TOKEN = "room-token-CANARY"
# Seconds before a record is given again, where the sink names none.
_AGAIN = 0.05
# Seconds after which nothing may be left that stop() was to end: the far ends of sockets, which may
# be in this process, notice a little later.
_GONE = 3.0


class SinkCase(TestCase):
    """
    A test of a sink: what a subclass tells, and what is done with it.

    @cvar provider: of the sink.
    @cvar secrets: texts that no name, error or log may hold, besides the room tokens.
    @cvar wrongArguments: some that C{provider.make} must refuse.
    @cvar atOnce: whether C{arrived} shows what is there at any moment. It does not where calls come
        to the test by another way, as to one who subscribed for them.
    """

    timeout = 60
    provider: ClassVar[INotificationSinkProvider]
    secrets: Sequence[str] = ()
    wrongArguments: Sequence[str] = ()
    atOnce = True

    # What a subclass tells

    async def place(self) -> str:
        """
        Called once in a test: an empty place for calls.

        @return: the argument for the provider.
        """
        raise NotImplementedError("place")

    async def arrived(self, count: int) -> Sequence[Any]:
        """
        Called when records were taken.

        @param count: how many are expected at least: what comes by another way may be waited
            for, and what is C{durable} must be there.
        @return: all that arrived so far in their order, as JSON objects read.
        """
        raise NotImplementedError("arrived")

    async def takeAway(self) -> None:
        """Called to make the place unreachable."""
        raise SkipTest("this place cannot be made unreachable")

    async def bringBack(self) -> None:
        """Called to make it as it was, with what arrived."""

    # What it may tell: what cannot be asked of a place is not tried there

    async def forbid(self) -> None:
        """Called to make the place want another password, or lack a permission."""
        raise SkipTest("this place cannot be made to forbid something")

    async def permit(self) -> None:
        """Called to make it as it was."""

    async def poison(self) -> CallRecord:
        """
        Called to have a record that this place will never take.

        @return: one, after the place was told of it where it has to be.
        """
        raise SkipTest("this place takes every record")

    async def hold(self, record: CallRecord) -> None:
        """Called before this record is given: the place shall say nothing to it yet."""
        raise SkipTest("this place cannot be made to wait with one record")

    async def release(self) -> None:
        """Called to have the place answer that record, or take it when it comes again."""

    async def wrongPlaces(self) -> Sequence[str]:
        """
        Called after L{place}.

        @return: arguments that the provider takes, for places that are there, where somebody has
            to change something: the name of a queue that is not there, for one.
        """
        raise SkipTest("this place is never a wrong one")

    def context(self) -> SinkContext:
        """What the sink may use."""
        from twisted.internet import reactor

        return SinkContext(reactor=reactor, write=lambda line: None)

    # What the tests do with it

    def setUp(self) -> None:
        self._argument: str | None = None
        self._shown = Shown(self)
        self.addCleanup(self._searchShown)

    def _searchShown(self) -> None:
        for text in self._shown.end():
            self.showsNoSecret(text)

    async def made(self, *, stopped: bool = True, again: bool = False) -> Any:
        """
        A new sink, the place first.

        @param stopped: whether it is stopped after the test.
        @param again: whether it may use the place that is there.
        """
        if self._argument is None or not again:
            self._argument = await self.place()
        sink = self.provider.make(self._argument, self.context())
        if stopped:
            self.addCleanup(sink.stop)
        return sink

    @staticmethod
    def record(account: str = "alice@x.test", **fields: Any) -> CallRecord:
        """Another call for this account, with a room token."""
        notification = {
            "type": "notify",
            # Another room makes another key.
            "roomid": f"room-{next(_NUMBERS)}",
            "roomtoken": _ROOM_TOKEN,
            "traceid": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            **fields,
        }
        return CallRecord.of(account, notification, 1_700_000_000.5)

    async def keys(self, count: int) -> list[str]:
        """Of what arrived."""
        return [found["key"] for found in await self.arrived(count)]

    async def haveArrived(self, *records: CallRecord) -> None:
        """Fail unless these are among what arrived."""
        wanted = {record.key for record in records}
        keys = await self.keys(len(wanted))
        while not (self.atOnce or wanted <= set(keys)):
            keys = await self.keys(len(keys) + 1)
        self.assertLessEqual(wanted, set(keys))

    async def takenAgain(self, sink: INotificationSink, record: CallRecord) -> None:
        """Give a record until it is taken, as the outbox does."""
        reactor = self.context().reactor
        while True:
            try:
                await maybeDeferred(sink.take, record)
                return
            except NotTaken as e:
                self.assertNotIsInstance(e, SinkRefused)
                await deferLater(reactor, e.retryAfter or _AGAIN)

    async def outcome(self, taking: Deferred[None]) -> IrisError | CancelledError | None:
        """What becomes of a record: C{None} when it is taken."""
        try:
            await taking
        except (IrisError, CancelledError) as e:
            self.tells(e)
            return e
        return None

    async def isMistaken(self, sink: Any) -> None:
        """Fail unless it says, when it is asked, that somebody has to change something."""
        with self.assertRaises(IncorrectParameters) as caught:
            await sink.check()
        self.tells(caught.exception)

    def isNoRefusal(self, error: BaseException | None) -> None:
        """Fail unless a record was taken, or may be later."""
        if error is not None:
            self.assertIsInstance(error, NotTaken)
            self.assertNotIsInstance(error, SinkRefused)

    async def isNotTaken(self, taking: Deferred[None]) -> None:
        """Fail unless it may be taken later."""
        error = await self.outcome(taking)
        self.assertIsNotNone(error, "it was taken")
        self.isNoRefusal(error)

    async def isRefused(self, taking: Deferred[None]) -> None:
        """Fail unless it never will be taken."""
        self.assertIsInstance(await self.outcome(taking), SinkRefused)

    def tells(self, error: BaseException) -> None:
        """Fail unless an error is a line without a secret."""
        if isinstance(error, IrisError):
            self.assertTrue(error.message and error.message.isprintable(), error.message)
            self.showsNoSecret(f"{error.message} {error!r}")

    async def turns(self, count: int) -> None:
        """Let the reactor work so many times."""
        for _ in range(count):
            await deferLater(self.context().reactor, 0)

    async def nothingLeft(self, before: Counter[str]) -> None:
        """
        Fail when this process holds more than before.

        @param before: as L{held<iris_twisted.sinks.leftovers.held>} counted.
        """
        reactor = self.context().reactor
        until = reactor.seconds() + _GONE
        while left := held(reactor) - before:
            if reactor.seconds() > until:
                words = ", ".join(f"{what} ({count})" for what, count in left.items())
                self.fail(f"left behind: {words}")
            await deferLater(reactor, 0.01)

    def showsNoSecret(self, text: str) -> None:
        """Fail when a secret stands there."""
        for secret in (_ROOM_TOKEN, *self.secrets):
            if secret in text:
                self.fail(f"a secret is shown: {text.replace(secret, '...')}")
