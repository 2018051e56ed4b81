"""
What every sink promises, as tests that any sink runs, L{SinkConformance}::

    class TestMine(SinkConformance):
        provider = MySinks()

        async def place(self):
            self.server = await startMyServer()
            self.addCleanup(self.server.stop)
            return self.server.url

        async def arrived(self, count):
            return [json.loads(message) for message in self.server.messages]
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults, maybeDeferred
from zope.interface.verify import verifyObject

from ..errors import IncorrectParameters, IrisError, NotTaken, SinkRefused
from .context import SinkContext
from .interfaces import IAskingSink, ICheckedSink, INotificationSink, INotificationSinkProvider
from .sink_case import SinkCase

__all__ = ["SinkConformance"]

# Characters that some layer on the way may take for its own, and enough of them.
_ODD_TEXT = 'a\r\nb\0c"d\\e%f\u2028g\u00e9h\U0001f4dei\x7f{account}$(x)' + "0123456789" * 20_000


class _Promises(SinkCase):
    """The tests. The numbers are those of L{INotificationSink}."""

    async def test_interface(self) -> None:
        """It has what the interface names; its name is a line of text without a secret (1)."""
        self.assertTrue(verifyObject(INotificationSinkProvider, self.provider))
        sink = await self.made()
        self.assertTrue(verifyObject(INotificationSink, sink))
        self.assertIsInstance(sink.name, str)
        self.assertTrue(sink.name and sink.name.isprintable(), sink.name)
        self.assertTrue(sink.name.startswith(self.provider.name), sink.name)
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
            words = caught.exception.message
            self.assertTrue(words.isprintable(), words)
            self.assertIn(f"sink {self.provider.name}", words)
            self.showsNoSecret(words)

    async def test_takes(self) -> None:
        """A record arrives with its key, account, time and notification (2)."""
        sink, record = await self.made(), self.record()
        await sink.take(record)
        (found,) = await self.arrived(1)
        self.assertEqual(found["key"], record.key)
        self.assertEqual(found["account"], record.account)
        self.assertEqual(found["received"], "2023-11-14T22:13:20.500Z")
        self.assertEqual(found["notification"], record.notification)

    async def test_anyText(self) -> None:
        """Whatever stands in it, and two hundred thousand characters of it, arrive whole (2)."""
        sink = await self.made()
        record = self.record("\u00e4 {type}/#+*$\u2028@x.test", userdata=_ODD_TEXT)
        await sink.take(record)
        (found,) = await self.arrived(1)
        self.assertEqual(found["account"], record.account)
        self.assertEqual(found["notification"], record.notification)

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

    async def test_order(self) -> None:
        """Each given when the one before was taken: they arrive in that order (5)."""
        sink = await self.made()
        records = [self.record() for _ in range(20)]
        for record in records:
            await sink.take(record)
        self.assertEqual(await self.keys(len(records)), [record.key for record in records])

    async def test_unreachable(self) -> None:
        """While the place is away it says so, and takes again when it is back (6)."""
        sink, first, second = await self.made(), self.record(), self.record()
        await sink.take(first)
        await self.takeAway()
        for _ in range(2):
            with self.assertRaises(NotTaken) as caught:
                await maybeDeferred(sink.take, second)
            error = caught.exception
            self.assertNotIsInstance(error, SinkRefused)
            self.assertTrue(error.message and error.message.isprintable(), error.message)
            self.showsNoSecret(f"{error.message} {error!r}")
        await self.bringBack()
        await self.takenAgain(sink, second)
        self.assertEqual({first.key, second.key}, set(await self.keys(2)))

    async def test_unreachableFirst(self) -> None:
        """The place may be away when the sink is made (6)."""
        sink, record = await self.made(), self.record()
        await self.takeAway()
        with self.assertRaises(NotTaken) as caught:
            await maybeDeferred(sink.take, record)
        self.assertNotIsInstance(caught.exception, SinkRefused)
        await self.bringBack()
        await self.takenAgain(sink, record)
        self.assertIn(record.key, await self.keys(1))

    async def test_check(self) -> None:
        """One that can ask its place says when all is right, and when nobody answers."""
        sink = await self.made()
        if not ICheckedSink.providedBy(sink):
            return
        self.assertTrue(verifyObject(ICheckedSink, sink))
        await sink.check()
        self.assertEqual(await self.keys(0), [])
        await sink.stop()
        sink = await self.made(again=True)
        await self.takeAway()
        with self.assertRaises(NotTaken):
            await sink.check()
        await self.bringBack()
        await self.takenAgain(sink, self.record())

    async def test_asks(self) -> None:
        """One that asks whether a record may leave sends none that may not, and goes on."""
        sink, first, second = await self.made(), self.record(), self.record()
        if not IAskingSink.providedBy(sink):
            return
        self.assertTrue(verifyObject(IAskingSink, sink))
        for _ in range(2):
            # With a connection that it has to make first, then with one that is there.
            with self.assertRaises(NotTaken) as caught:
                await maybeDeferred(sink.takeIf, first, lambda: False)
            self.assertNotIsInstance(caught.exception, SinkRefused)
            await maybeDeferred(sink.takeIf, second, lambda: True)
        self.assertEqual(set(await self.keys(2)), {second.key})

    async def test_cancel(self) -> None:
        """Cancelling ends the wait, and the sink goes on (8)."""
        sink, record = await self.made(), self.record()
        taking = maybeDeferred(sink.take, record)
        taking.cancel()
        try:
            await taking
        except (CancelledError, IrisError):
            pass
        await self.takenAgain(sink, record)
        self.assertIn(record.key, await self.keys(1))

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

    async def test_stop(self) -> None:
        """Nothing is left open: unused, in use, and with a record under way (10)."""
        sink = await self.made(stopped=False)
        self.assertIsNone(await sink.stop())
        sink = await self.made(stopped=False, again=True)
        await sink.take(self.record())
        self.assertIsNone(await sink.stop())
        sink = await self.made(stopped=False, again=True)
        taking = maybeDeferred(sink.take, self.record())
        # A record that is not taken is not lost: whoever gave it still has it.
        taking.addErrback(lambda failure: failure.trap(CancelledError, IrisError) and None)
        self.assertIsNone(await sink.stop())
        await taking


class SinkConformance(SinkCase):
    """
    What every sink promises (L{INotificationSink<iris_twisted.interfaces.INotificationSink>}),
    as tests: make a subclass for a sink, and tell it how. A test that ends with something open
    or an error logged fails, as in all of trial.

    Its C{provider}, C{secrets} and C{wrongArguments} are those of L{SinkCase}.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Here, so that nothing runs where this class is only imported.
        super().__init_subclass__(**kwargs)
        for name, test in vars(_Promises).items():
            if name.startswith("test_") and not hasattr(cls, name):
                setattr(cls, name, test)
