"""
Private IQs in and rejects out: floor 4 put to work for one connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from ..errors import IncorrectParameters, IrisError, NotConnected, ServerLeaving
from ..net.limits import Limits
from ..rtc.incoming import Leave, Notification, Refused
from ..rtc.interfaces import INotificationSyntax
from ..xmpp.elements import Element
from .events import ConnectionEvents
from .link import Link
from .notification_delivery import NotificationDelivery
from .totals import ConnectionCounters

__all__ = ["CallSignaling"]


class CallSignaling:
    """
    @param limits: how much a peer may send.
    """

    _log = Logger()

    def __init__(
        self, events: ConnectionEvents, limits: Limits, counters: ConnectionCounters
    ) -> None:
        self._events = events
        self._counters = counters
        self._syntax: INotificationSyntax | None = None
        self._delivery = NotificationDelivery(events, limits.unanswered)
        self._longest = limits.frame

    def sessionUp(self, syntax: INotificationSyntax, link: Link) -> None:
        """A session is up on this link: this is its language."""
        self._syntax = syntax
        self._delivery.moveTo(link)

    def sessionEnded(self) -> None:
        """Until the next session nothing is told or answered any more."""
        self._syntax = None
        self._delivery.discard()

    def tryFastPath(self, link: Link, message: bytes) -> bool:
        """
        Take care of a message that is a notification in its usual form: at once, from
        bytes to its acknowledgement.

        @return: C{False} for everything else, or when others wait before it: then it is
            to be read the ordinary way.
        """
        defaultNamespace = link.session.defaultNamespace
        if defaultNamespace is None or self._syntax is None or not self._delivery.isIdle:
            return False
        if len(message) > self._longest:
            return False
        found = self._syntax.parseFast(message, defaultNamespace)
        if found is None:
            return False
        attributes, info = found
        self._delivery.deliverNow(link, attributes, info)
        return True

    def handleIqRequest(self, link: Link, iq: Element) -> None:
        """An IQ request came on a link."""
        if self._syntax is None:
            return
        incoming = self._syntax.read(iq, link.session.jid)
        if isinstance(incoming, Notification):
            self._delivery.deliver(link, iq, incoming.info)
        elif isinstance(incoming, Leave):
            link.reply(iq)
            link.closeGracefully(
                ServerLeaving("the server asked its clients to leave and come back")
            )
        elif isinstance(incoming, Refused):
            if incoming.condition == "forbidden":
                self._counters.forbidden()
                self._log.warn("a private IQ from {sender!r} was refused", sender=iq.get("from"))
            link.reply(iq, incoming.condition)
        else:
            link.reply(iq)

    def reject(self, link: Link | None, payload: Any) -> Deferred[None]:
        """See L{IrisRtcConnection.rejectSession}; C{link} is C{None} when none is alive."""
        if link is None or self._syntax is None:
            return fail(NotConnected("rejectSession() needs a live connection, and there is none"))
        if not isinstance(payload, Mapping):
            kind = type(payload).__name__
            return fail(
                IncorrectParameters(f"notificationPayload must be a notification, not {kind}")
            )
        try:
            to, elements = self._syntax.reject(payload)
            answered = link.sendIq(elements, to, ":sendIQ")
        except IncorrectParameters as e:
            return fail(e)
        return answered.addCallback(lambda _: self._events.rejected(dict(payload)))

    def sendStatistics(self, link: Link | None, event: dict[str, Any]) -> None:
        """Send an event's statistics, if that is possible; nobody depends on the answer."""
        if link is None or not link.isAlive or self._syntax is None:
            return
        to, suffix, payload = self._syntax.statistics(event)
        link.sendIq(payload, to, suffix, needed=False).addErrback(
            lambda failure: failure.trap(IrisError) and None
        )
