"""
The interfaces of sinks, and of the plugins that make them.

What a sink promises is numbered below; L{iris_twisted.sinks.testing.SinkConformance} has a test
for each number, and runs on any sink.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from .context import SinkContext
from .record import CallRecord

__all__ = [
    "IAskingSink",
    "ICheckedSink",
    "INotificationSink",
    "INotificationSinkProvider",
    "IOrderedSink",
]


class INotificationSink(Interface):
    """
    Where calls go, one record at a time.

    One call is one key, whichever way it came: C{record.key} is made of what the platform says
    of the call, so it is the same when the platform tells of it again, after a loss or on
    another connection. While the outbox knows the key (C{--forget-keys-after}, a day) it gives
    the call to each sink once, but for what failed, or was under way when the program ended: that
    comes again, with its key. Two calls never share a key; a notify and its cancel are two.

     1. C{name}, and the text of each error, are one line that names the sink and holds no
        secret. Nothing that it logs holds one, nor a room token.
     2. A record arrives whole, whatever text stands in it and however long it is.
     3. A sink that is C{durable} fires C{take} only when the record is where it survives the
        end of this process at any moment.
     4. The same record may be given again; it arrives again, with the same key, or not.
     5. Up to C{concurrency} records may be under way at a time, and each has an outcome of its
        own. Calls of one account come in the order in which the platform told of them: the next
        one after the one before was taken, or failed (then that comes again later; with
        C{--strict-order} the next one waits for it), but at once to an L{IOrderedSink}.
        Different accounts do not wait for each other.
     6. While the place cannot be reached, C{take} fails within a bounded time, with
        L{NotTaken<iris_twisted.errors.NotTaken>}; when it is back, the same sink takes again:
        nobody makes a new one.
     7. A record that will never be taken, here or later, fails with
        L{SinkRefused<iris_twisted.errors.SinkRefused>}. A password or permission that is
        missing is no reason: somebody may mend it.
     8. A Deferred of C{take} may be cancelled: it fires soon, and the sink goes on. Whether the
        record arrived is open.
     9. C{reopen} may come at any time, and costs no record.
     10. After C{stop} fired, no socket, timer, process, thread or file of the sink's is left.
    """

    name: str = Attribute("What it is called in logs and metrics (1).")
    durable: bool = Attribute(
        "Whether what it took is safe (3), so that the platform may be told that the call "
        "arrived. It is asked for each call, and may change."
    )
    concurrency: int = Attribute("How many records it may be given at a time (5); 1 or more.")

    def take(record: CallRecord) -> Deferred[None]:
        """
        Called for each record; again with the same one after it failed, or when nobody
        knows whether it was taken: C{record.key} tells.

        @return: fires when it is taken; fails with L{SinkRefused
            <iris_twisted.errors.SinkRefused>} when it never will be (7); anything else, best
            L{NotTaken<iris_twisted.errors.NotTaken>}, means that it may be later, not before
            its C{retryAfter} seconds.
        """

    def reopen() -> None:
        """Called on SIGHUP: files may have been moved away (9)."""

    def stop() -> Deferred[None]:
        """
        Called last, once; what is still under way may fail as not taken. Fires when nothing
        is left open (10).
        """


class IOrderedSink(INotificationSink):
    """
    A sink that takes records in the order in which it is given them, though several are under
    way: so it is given several of an account at a time.
    """


class IAskingSink(INotificationSink):
    """
    A sink that may wait before a record leaves, for a connection for one, and then asks whether it
    shall leave still. In a cluster somebody else may have been given it meanwhile.
    """

    def takeIf(record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        """
        Called in the place of C{take}, and does the same.

        @param mayLeave: asked as late as can be. When it says C{False}, nothing of the record
            leaves, and the Deferred fails with L{NotTaken<iris_twisted.errors.NotTaken>}.
        """


class ICheckedSink(INotificationSink):
    """A sink whose place can be asked whether everything is right, before the first call."""

    def check() -> Deferred[None]:
        """
        Called once at the start, where calls of earlier may be under way already.

        @return: fires when the sink would take a record now; fails with
            L{IncorrectParameters<iris_twisted.errors.IncorrectParameters>} when somebody has to
            change something before it will (a password, the name of a queue), and with
            L{NotTaken<iris_twisted.errors.NotTaken>} when the place cannot be asked now. It
            takes no longer than a C{take}.
        """


class INotificationSinkProvider(IPlugin):
    """
    Makes sinks of one kind, C{--sink NAME:ARGUMENT}: an instance in a module of
    C{twisted.plugins}, which costs little to import: a library that only this kind needs is
    imported by C{make}.
    """

    name: str = Attribute("What stands before the colon.")

    def make(argument: str, context: SinkContext) -> INotificationSink:
        """
        Called to check the options, then again for the sink that is used: it opens nothing.

        @param argument: what stands behind the colon, or nothing.
        @raise IncorrectParameters: naming what is wrong with it.
        """
