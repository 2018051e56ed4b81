"""
What every sink promises when its place is away or forbids something, when somebody cancels, and in
the end, as tests: L{testing} has them run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from ..errors import NotTaken
from .interfaces import IAskingSink, ICheckedSink
from .leftovers import held
from .sink_case import SinkCase

__all__ = ["Trouble"]


class Trouble(SinkCase):
    """The numbers are those of L{INotificationSink}."""

    async def test_unreachable(self) -> None:
        """While the place is away it says so, and takes again when it is back (6)."""
        sink, first, amid, second = await self.made(), *(self.record() for _ in range(3))
        await sink.take(first)
        taking = maybeDeferred(sink.take, amid)
        await self.takeAway()
        # It may have been quick.
        self.isNoRefusal(await self.outcome(taking))
        for _ in range(2):
            await self.isNotTaken(maybeDeferred(sink.take, second))
        await self.bringBack()
        for record in amid, second:
            await self.takenAgain(sink, record)
        await self.haveArrived(first, amid, second)

    async def test_unreachableFirst(self) -> None:
        """The place may be away when the sink is made (6)."""
        sink, record = await self.made(), self.record()
        await self.takeAway()
        await self.isNotTaken(maybeDeferred(sink.take, record))
        await self.bringBack()
        await self.takenAgain(sink, record)
        await self.haveArrived(record)

    async def test_forbidden(self) -> None:
        """For want of a password or permission no record is refused: somebody may mend it (7)."""
        sink, record = await self.made(), self.record()
        await self.forbid()
        if ICheckedSink.providedBy(sink):
            # It may be that only a record is forbidden, which is none to ask with.
            error = await self.outcome(maybeDeferred(sink.check))
            self.assertNotIsInstance(error, NotTaken)
        for _ in range(2):
            await self.isNotTaken(maybeDeferred(sink.take, record))
        await self.permit()
        await self.takenAgain(sink, record)
        await self.haveArrived(record)

    async def test_check(self) -> None:
        """One that can ask its place says when all is right, and when nobody answers."""
        sink = await self.made(stopped=False)
        if not ICheckedSink.providedBy(sink):
            await sink.stop()
            return
        self.assertTrue(verifyObject(ICheckedSink, sink))
        await sink.check()
        self.assertEqual(await self.keys(0), [])
        await sink.stop()
        sink = await self.made(again=True)
        await self.takeAway()
        with self.assertRaises(NotTaken) as caught:
            await sink.check()
        self.tells(caught.exception)
        await self.bringBack()
        await self.takenAgain(sink, self.record())

    async def test_wrongPlaces(self) -> None:
        """One that can ask its place says when somebody has to change something."""
        sink = await self.made()
        if not ICheckedSink.providedBy(sink):
            return
        for argument in await self.wrongPlaces():
            wrong: Any = self.provider.make(argument, self.context())
            self.addCleanup(wrong.stop)
            await self.isMistaken(wrong)

    async def test_asks(self) -> None:
        """One that asks whether a record may leave sends none that may not, and goes on."""
        sink, first, second = await self.made(), self.record(), self.record()
        if not IAskingSink.providedBy(sink):
            return
        self.assertTrue(verifyObject(IAskingSink, sink))
        for _ in range(2):
            # With a connection that it has to make first, then with one that is there.
            await self.isNotTaken(maybeDeferred(sink.takeIf, first, lambda: False))
            await maybeDeferred(sink.takeIf, second, lambda: True)
        self.assertEqual(set(await self.keys(2)), {second.key})

    async def test_asksLate(self) -> None:
        """It does not ask whether a record may leave that cannot leave yet."""
        sink, record, asked = await self.made(), self.record(), []
        if not IAskingSink.providedBy(sink):
            return

        def mayLeave() -> bool:
            asked.append(record)
            return True

        await self.takeAway()
        await self.isNotTaken(maybeDeferred(sink.takeIf, record, mayLeave))
        self.assertEqual(asked, [], "it asked before it had reached its place")
        await self.bringBack()
        await self.takenAgain(sink, record)

    async def test_cancel(self) -> None:
        """Cancelling ends the wait, whenever it comes; the sink goes on, with others too (8)."""
        sink, reactor = await self.made(), self.context().reactor
        began = reactor.seconds()
        await sink.take(self.record())
        seconds = reactor.seconds() - began
        for turns, part in ((0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (0, 0.25), (0, 0.5), (0, 0.75)):
            others = [self.record("other@x.test")][: sink.concurrency - 1]
            waiting = [maybeDeferred(sink.take, other) for other in others]
            record = self.record()
            taking = maybeDeferred(sink.take, record)
            await self.turns(turns)
            if part:
                await deferLater(reactor, seconds * part)
            taking.cancel()
            await self.outcome(taking)
            await gatherResults(waiting)
            await self.takenAgain(sink, record)
            await self.haveArrived(record, *others)

    async def test_cancelHeld(self) -> None:
        """Cancelling ends the wait while the place says nothing (8)."""
        sink, record = await self.made(), self.record()
        # So that it need not be connected first.
        await sink.take(self.record())
        await self.hold(record)
        taking = maybeDeferred(sink.take, record)
        await self.turns(20)
        self.assertFalse(taking.called, "hold() held nothing back")
        taking.cancel()
        await self.outcome(taking)
        await self.release()
        await self.takenAgain(sink, record)
        await self.haveArrived(record)

    async def test_stop(self) -> None:
        """Nothing is left open: unused, in use, and with a record under way (10)."""
        await self.made()
        before: Counter[str] = Counter()
        for _ in range(2):
            sink = await self.made(stopped=False, again=True)
            self.assertIsNone(await sink.stop())
            sink = await self.made(stopped=False, again=True)
            await sink.take(self.record())
            self.assertIsNone(await sink.stop())
            sink = await self.made(stopped=False, again=True)
            # A record that is not taken is not lost: whoever gave it still has it.
            ending = Deferred.fromCoroutine(self.outcome(maybeDeferred(sink.take, self.record())))
            self.assertIsNone(await sink.stop())
            await ending
            # What a library opens once stays, and is no sink's.
            before = before or held(self.context().reactor)
        await self.nothingLeft(before)

    async def test_stopAway(self) -> None:
        """Nothing is left open while the place is away, amid a question and a record (10)."""
        await self.made()
        before: Counter[str] = Counter()
        for _ in range(2):
            sink = await self.made(stopped=False, again=True)
            await self.takeAway()
            asking = [maybeDeferred(sink.take, self.record())]
            if ICheckedSink.providedBy(sink):
                asking.append(maybeDeferred(sink.check))
            ending = [Deferred.fromCoroutine(self.outcome(each)) for each in asking]
            await self.turns(3)
            # As at the end of a program that has just begun.
            asking[-1].cancel()
            self.assertIsNone(await sink.stop())
            await gatherResults(ending)
            await self.bringBack()
            before = before or held(self.context().reactor)
        await self.nothingLeft(before)
