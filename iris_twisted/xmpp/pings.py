"""
Our own pings (XEP-0199 section 4.2). Nothing is asked of their answers but that they come,
and a server words all of them alike: so they are recognized by their bytes, without a parser.
"""

from __future__ import annotations

from collections.abc import Sequence

from .elements import Element
from .events import PingAnswered, SessionEvent
from .iqs import mayAnswer
from .parser import Item

__all__ = ["Pings"]

# So many may be unanswered; a peer that answers none, but is alive, must not fill our memory.
_UNANSWERED = 8


class Pings:
    """The pings of one connection that are not answered yet, and how its peer answers."""

    def __init__(self) -> None:
        self._sent: dict[bytes, float] = {}
        # What stands around the id in an answer; nothing, until one was read.
        self._before = self._after = b""

    def sent(self, id: str, now: float) -> None:
        """Remember a ping."""
        self._sent[id.encode()] = now
        if len(self._sent) > _UNANSWERED:
            del self._sent[next(iter(self._sent))]

    def recognized(self, message: bytes) -> float | None:
        """
        When the ping was sent that this answers, each once; C{None} for every message that
        differs in more than the id from an answer that was read.
        """
        before, after = self._before, self._after
        if before and message.startswith(before) and message.endswith(after):
            return self._sent.pop(message[len(before) : -len(after)], None)
        return None

    def answered(self, answer: Element, account: tuple[str, ...]) -> float | None:
        """
        The same for an IQ of the type result or error, by id and sender.

        @param account: those who may answer: our bare JID, full JID and domain.
        """
        if not mayAnswer(answer.get("from"), account):
            return None
        return self._sent.pop((answer.get("id") or "").encode(), None)

    def learn(self, message: bytes, items: Sequence[Item], events: Sequence[SessionEvent]) -> None:
        """
        If a message is the answer to a ping and nothing else, recognize those like it from
        their bytes.

        @param items: what it held, which begins and ends with it.
        @param events: what came of it.
        """
        if len(items) != 1 or len(events) != 1 or not isinstance(events[0], PingAnswered):
            return
        (answer,) = items
        if isinstance(answer, Element):
            around = message.split(answer.attributes["id"].encode())
            if len(around) == 2:
                self._before, self._after = around
