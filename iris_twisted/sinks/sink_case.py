"""
What tests of a sink need: a place for calls, records to give, and an eye on what is shown.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import SkipTest, TestCase

from ..errors import NotTaken, SinkRefused
from .context import SinkContext
from .interfaces import INotificationSink, INotificationSinkProvider
from .record import CallRecord

__all__ = ["SinkCase"]

# Of the rooms that calls are for.
_NUMBERS = itertools.count(1)
# Stands in every record: what a sink must not show.
_ROOM_TOKEN = "room-token-CANARY"
# Seconds before a record is given again, where the sink names none.
_AGAIN = 0.05


class SinkCase(TestCase):
    """
    A test of a sink: what a subclass tells, and what is done with it.

    @cvar provider: of the sink.
    @cvar secrets: texts that no name, error or log may hold, besides the room tokens.
    @cvar wrongArguments: some that C{provider.make} must refuse.
    """

    timeout = 60
    provider: ClassVar[INotificationSinkProvider]
    secrets: Sequence[str] = ()
    wrongArguments: Sequence[str] = ()

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

    def context(self) -> SinkContext:
        """What the sink may use."""
        from twisted.internet import reactor

        return SinkContext(reactor=reactor, write=lambda line: None)

    # What the tests do with it

    def setUp(self) -> None:
        self._argument: str | None = None
        self._shown: list[str] = []
        globalLogPublisher.addObserver(self._observe)  # type: ignore[arg-type]
        # Libraries that know nothing of Twisted log by the standard one, at any level.
        root = logging.getLogger()
        self._handler = logging.Handler()
        self._handler.emit = (  # type: ignore[method-assign]
            lambda record: self._shown.append(record.getMessage())
        )
        self.addCleanup(self._searchLog, root.level)
        root.addHandler(self._handler)
        root.setLevel(logging.DEBUG)

    def _observe(self, event: LogEvent) -> None:
        self._shown.append(eventAsText(event, includeTraceback=True))

    def _searchLog(self, level: int) -> None:
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger().setLevel(level)
        globalLogPublisher.removeObserver(self._observe)  # type: ignore[arg-type]
        for line in self._shown:
            self.showsNoSecret(line)

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

    def showsNoSecret(self, text: str) -> None:
        """Fail when a secret stands there."""
        for secret in (_ROOM_TOKEN, *self.secrets):
            if secret in text:
                self.fail(f"a secret is shown: {text.replace(secret, '...')}")
