"""
Notifications on their way to the application: in order, acknowledged when done,
and never more under way than there is room for (contract promises 11 and 16).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from ..errors import NotKept
from ..xmpp.elements import Element
from .events import ConnectionEvents
from .link import Link

__all__ = ["NotificationDelivery"]


def _condition(failure: Failure) -> str:
    """What its sender is told of a notification that the application did not take."""
    return "resource-constraint" if failure.check(NotKept) else "internal-server-error"


class NotificationDelivery:
    """
    @param events: hands notifications over.
    @param room: how many notifications may be unanswered.
    """

    def __init__(
        self,
        events: ConnectionEvents,
        room: int,
    ) -> None:
        self._events = events
        self._queue = events.queue
        self._room = room
        self._unanswered = 0
        self._held: list[tuple[Link, Element, dict[str, Any]]] = []
        self._paused: Link | None = None
        self._generation = 0

    def deliver(self, link: Link, iq: Element, info: dict[str, Any]) -> None:
        """A notification came: hand it over, or hold it and stop reading."""
        if self._unanswered < self._room and not self._held:
            self._handOver(link, iq, info)
        elif len(self._held) < self._room or (self._held[0][0] is link and not link.isReadUnwanted):
            self._held.append((link, iq, info))
        else:
            # Only a peer that is lost again and again, with more each time, comes here, or
            # one that goes on while it owes us an answer.
            link.reply(iq, "resource-constraint")
        self._pauseIfFull(link)

    def moveTo(self, link: Link) -> None:
        """This link takes over: what an earlier one brought may have left no room."""
        self._paused = None
        self._pauseIfFull(link)

    @property
    def isIdle(self) -> bool:
        """Whether there is room, and nothing waits for its turn."""
        return self._unanswered < self._room and not self._held and self._queue.isIdle

    def deliverNow(self, link: Link, attributes: dict[str, str], info: dict[str, Any]) -> None:
        """
        A notification came while L{isIdle}: hand it over now.

        @param attributes: of its IQ.
        """
        generation = self._generation
        finishing = self._events.notificationNow(info)
        if generation != self._generation:
            if finishing is not None:
                finishing.addErrback(lambda _: None)
            return
        if finishing is None:
            link.acknowledge(attributes)
            return
        done = self._begin(link, link.session.admit(attributes))
        finishing.addCallbacks(lambda _: done(None), done)
        self._pauseIfFull(link)

    def discard(self) -> None:
        """Nothing of what came before now will be told or answered."""
        self._generation += 1
        self._unanswered = 0
        self._held.clear()
        self._paused = None

    def _handOver(self, link: Link, iq: Element, info: dict[str, Any]) -> None:
        self._events.notification(info, self._begin(link, iq))

    def _begin(self, link: Link, iq: Element) -> Callable[[Failure | None], None]:
        """A notification is under way; what is returned ends that."""
        self._unanswered += 1
        generation = self._generation

        def done(failure: Failure | None) -> None:
            if generation != self._generation:
                return
            self._unanswered -= 1
            link.reply(iq, None if failure is None else _condition(failure))
            if self._unanswered <= self._room // 2:
                self._makeRoom()

        return done

    @property
    def _isFull(self) -> bool:
        return self._unanswered >= self._room or bool(self._held)

    def _pauseIfFull(self, link: Link) -> None:
        if self._isFull:
            self._paused = link
            link.pause()

    def _makeRoom(self) -> None:
        free = self._room - self._unanswered
        next, self._held = self._held[:free], self._held[free:]
        for held in next:
            self._handOver(*held)
        if self._paused is not None and not self._isFull:
            paused, self._paused = self._paused, None
            paused.resume()
