"""
What every sink promises while its place is there, as tests: L{testing} has them run.
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults, maybeDeferred
from zope.interface.verify import verifyObject

from ..errors import IncorrectParameters, SinkRefused
from .context import SinkContext
from .interfaces import INotificationSink, INotificationSinkProvider, IOrderedSink
from .sink_case import SinkCase

__all__ = ["Taking"]

# Characters that some layer on the way may take for its own, and enough of them.
_ODD_TEXT = 'a\r\nb\0c"d\\e%f\u2028g\u00e9h\U0001f4dei\x7f{account}$(x)'
_LONG_TEXT = _ODD_TEXT + "0123456789" * 20_000


class Taking(SinkCase):
    """The numbers are those of L{INotificationSink}."""

    async def test_interface(self) -> None:
        """It has what the interface names; its name is a line of text without a secret (1)."""
        self.assertTrue(verifyObject(INotificationSinkProvider, self.provider))
        sink = await self.made()
        self.assertTrue(verifyObject(INotificationSink, sink))
        self.assertIsInstance(sink.name, str)
        self.assertTrue(sink.name and sink.name.isprintable(), sink.name)
        self.assertIsInstance(sink.durable, bool)
        self.assertIsInstance(sink.concurrency, int)
        self.assertGreaterEqual(sink.concurrency, 1)
        self.showsNoSecret(sink.name)

    async def test_options(self) -> None:
        """Making it to check the options needs no reactor, and opens nothing."""
        argument = await self.place()
        context = self.context()
        sink = self.provider.make(
            argument,
            SinkContext(reactor=None, write=context.write, settings=context.settings),
        )
        self.assertTrue(INotificationSink.providedBy(sink))

    async def test_wrongArguments(self) -> None:
        """A wrong argument is told in one sentence that names the sink, without a secret (1)."""
        for argument in self.wrongArguments:
            with self.assertRaises(IncorrectParameters, msg=argument) as caught:
                self.provider.make(argument, self.context())
            self.assertIn(f"sink {self.provider.name}", caught.exception.message)
            self.tells(caught.exception)

    async def test_takes(self) -> None:
        """A record arrives with its key, account, time and notification, all of it (2)."""
        sink, record = await self.made(), self.record(aFieldThatNobodyKnows="any text")
        await sink.take(record)
        (found,) = await self.arrived(1)
        self.assertEqual(found["key"], record.key)
        self.assertEqual(found["account"], record.account)
        self.assertEqual(found["received"], "2023-11-14T22:13:20.500Z")
        self.assertEqual(found["notification"], record.notification)

    async def test_anyText(self) -> None:
        """Whatever stands in it arrives as it is (2)."""
        sink = await self.made()
        record = self.record("\u00e4 {type}/#+*$\u2028@x.test", userdata=_ODD_TEXT)
        await sink.take(record)
        (found,) = await self.arrived(1)
        self.assertEqual(found["account"], record.account)
        self.assertEqual(found["notification"], record.notification)

    async def test_long(self) -> None:
        """Two hundred thousand characters arrive whole (2), or are refused (7): none is cut off."""
        sink, long, short = await self.made(), self.record(userdata=_LONG_TEXT), self.record()
        error = await self.outcome(maybeDeferred(sink.take, long))
        await sink.take(short)
        expected = [short.notification]
        if error is None:
            expected.insert(0, long.notification)
        else:
            self.assertIsInstance(error, SinkRefused)
        found = await self.arrived(len(expected))
        self.assertEqual([each["notification"] for each in found], expected)

    async def test_durable(self) -> None:
        """What it took and calls durable is there when it says so, and not later (3)."""
        sink = await self.made()
        for _ in range(2):
            record = self.record()
            await sink.take(record)
            if sink.durable and self.atOnce:
                self.assertIn(record.key, await self.keys(0), "arrived(0) has not what was taken")

    async def test_again(self) -> None:
        """The same record may be given again, and is taken again (4)."""
        sink, record = await self.made(), self.record()
        await sink.take(record)
        await sink.take(record)
        self.assertEqual(set(await self.keys(1)), {record.key})

    async def test_concurrency(self) -> None:
        """As many at a time as it says are all taken, each once (5)."""
        sink = await self.made()
        for _ in range(2):
            records = [self.record(f"user{n}@x.test") for n in range(sink.concurrency)]
            before = len(await self.keys(0))
            await gatherResults([maybeDeferred(sink.take, record) for record in records])
            after = await self.keys(before + len(records))
            self.assertEqual(sorted(after[before:]), sorted(record.key for record in records))

    async def test_accounts(self) -> None:
        """What one account waits for is nothing to the others (5)."""
        sink = await self.made()
        if sink.concurrency == 1:
            return
        slow, other = self.record("slow@x.test"), self.record("other@x.test")
        await self.hold(slow)
        taking = maybeDeferred(sink.take, slow)
        await maybeDeferred(sink.take, other)
        self.assertFalse(taking.called, "hold() held nothing back")
        await self.release()
        if await self.outcome(taking) is not None:
            await self.takenAgain(sink, slow)
        await self.haveArrived(slow, other)

    async def test_order(self) -> None:
        """Each given when the one before was taken: they arrive in that order (5)."""
        sink = await self.made()
        records = [self.record() for _ in range(20)]
        for record in records:
            await sink.take(record)
        self.assertEqual(await self.keys(len(records)), [record.key for record in records])

    async def test_orderAtOnce(self) -> None:
        """One that keeps the order by itself keeps it of what it is given at once (5)."""
        sink = await self.made()
        if not IOrderedSink.providedBy(sink):
            return
        self.assertTrue(verifyObject(IOrderedSink, sink))
        for _ in range(2):
            records = [self.record() for _ in range(sink.concurrency)]
            before = len(await self.keys(0))
            await gatherResults([maybeDeferred(sink.take, record) for record in records])
            after = await self.keys(before + len(records))
            self.assertEqual(after[before:], [record.key for record in records])

    async def test_refuses(self) -> None:
        """What never will be taken is refused, each time, and nothing else is (7)."""
        sink, poison, record = await self.made(), await self.poison(), self.record()
        for _ in range(2):
            await self.isRefused(maybeDeferred(sink.take, poison))
        await sink.take(record)
        await self.haveArrived(record)

    async def test_outcomes(self) -> None:
        """One that is refused is nothing to those that are under way with it (5)."""
        sink, poison = await self.made(), await self.poison()
        count = min(sink.concurrency - 1, 4)
        records = [self.record(f"user{n}@x.test") for n in range(count)]
        given = [*records[: count // 2], poison, *records[count // 2 :]]
        taking = {record.key: maybeDeferred(sink.take, record) for record in given}
        for record in records:
            self.assertIsNone(await self.outcome(taking[record.key]))
        await self.isRefused(taking[poison.key])
        await self.haveArrived(*records)
        self.assertNotIn(poison.key, await self.keys(count))

    async def test_reopen(self) -> None:
        """Reopening loses nothing, whenever it comes (9)."""
        sink = await self.made()
        sink.reopen()
        records = [self.record() for _ in range(3)]
        for record in records:
            taking = maybeDeferred(sink.take, record)
            sink.reopen()
            await taking
            sink.reopen()
        self.assertEqual(await self.keys(3), [record.key for record in records])
