"""
The interfaces of what stands beside the house: where calls go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from ..sinks import CallRecord, SinkContext

__all__ = ["INotificationSink", "INotificationSinkProvider", "IOrderedSink"]


class INotificationSink(Interface):
    """
    Where calls go, one record at a time.

    One call is one key, whichever way it came: C{record.key} is made of what the platform says
    of the call, so it is the same when the platform tells of it again, after a loss or on
    another connection. While the outbox knows the key (C{--forget-keys-after}, a day) it gives
    the call to each sink once, but for what failed, or was under way when the program ended: that
    comes again, with its key. Two calls never share a key; a notify and its cancel are two.

    Calls of one account come in the order in which the platform told of them, one at a time;
    but one that failed comes again later, after what came meanwhile (with C{--strict-order}
    that waits for it). Different accounts do not wait for each other.
    """

    name: str = Attribute("What it is called in logs and metrics: without a secret.")
    durable: bool = Attribute(
        "Whether what it took is safe, so that the platform may be told that the call arrived."
    )
    concurrency: int = Attribute("How many records it may be given at a time.")

    def take(record: CallRecord) -> Deferred[None]:
        """
        Called for each record; again with the same one after it failed, or when nobody
        knows whether it was taken: C{record.key} tells.

        @return: fires when it is taken; fails with L{SinkRefused
            <iris_twisted.errors.SinkRefused>} when it never will be; anything else, best
            L{NotTaken<iris_twisted.errors.NotTaken>}, means that it may be later.
        """

    def reopen() -> None:
        """Called on SIGHUP: files may have been moved away."""

    def stop() -> Deferred[None]:
        """Called last, when no record is under way; fires when nothing is left open."""


class IOrderedSink(INotificationSink):
    """
    A sink that takes records in the order in which it is given them, though several are under
    way: so it is given several of an account at a time.
    """


class INotificationSinkProvider(IPlugin):
    """
    Makes sinks of one kind, C{--sink NAME:ARGUMENT}: an instance in a module of
    C{twisted.plugins}.
    """

    name: str = Attribute("What stands before the colon.")

    def make(argument: str, context: SinkContext) -> INotificationSink:
        """
        @param argument: what stands behind the colon, or nothing.
        @raise IncorrectParameters: naming what is wrong with it.
        """
