"""
Stream management (XEP-0198): which stanzas arrived and are done with, which of
ours did, and what a resumed session owes. The state of one side; no I/O.

C{h} counts only what is done with, in order (contract promise 12): a notification
whose callback is still at work is sent again by the server after a loss, and is
then known as the same and not delivered twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ProtocolViolation
from .elements import CLIENT, Element

__all__ = ["MANAGEMENT", "StreamManagement", "isStanza"]

MANAGEMENT = "urn:xmpp:sm:3"
_MODULUS = 2**32
# Stanzas that a peer may leave unacknowledged, besides answering everything else.
_UNACKNOWLEDGED = 20_000
# So many of the peer's may be done with before it is told unasked.
_UNSAID = 20
# With so many of ours unacknowledged the peer is asked with the next ping. It says
# how far it is when a session is resumed: to know it sooner only keeps the list short.
_ASK_AT_BEAT = 20
# After so many of ours the peer is asked at once, not with the next ping: a flood of
# answers must not pile up here meanwhile.
_ASK_AFTER = 250


def isStanza(element: Element) -> bool:
    """Whether an element is one of those that are counted (XEP-0198 section 4)."""
    return element.namespace == CLIENT and element.name in ("iq", "message", "presence")


def _count(text: str | None) -> int:
    """
    The value of C{h} (XEP-0198 section 4: xs:unsignedInt).

    @raise ProtocolViolation: when it is none.
    """
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ProtocolViolation("the server sent a stream management count that is no number")
    return int(text)


class StreamManagement:
    """
    The state of one session; it outlives its connections.

    @ivar id: by which it can be resumed, or C{None}.
    @ivar resumeTimeout: seconds for which the server keeps it, or C{None} for unknown.
    @ivar expectedDuplicates: how many of the stanzas that come next are known already.
    @ivar location: where the server wants it to be resumed, C{host} or C{host:port}.
    """

    def __init__(self, id: str | None = None) -> None:
        self.id = id
        self.resumeTimeout: float | None = None
        self.location: str | None = None
        self._unacknowledged: list[bytes] = []
        self._unasked = 0
        self._acknowledged = 0
        self._received = 0
        self._said = 0
        # By identity; the element is held, so that no other one can get its id.
        self._undone: dict[int, tuple[int, Element]] = {}
        self.expectedDuplicates = 0

    def resumptionEnabled(self, enabled: Element) -> None:
        """The peer keeps the session, and says for how long and where (XEP-0198 section 3)."""
        self.id = enabled.get("id")
        self.location = enabled.get("location")
        resumeTimeout = enabled.get("max") or ""
        self.resumeTimeout = float(resumeTimeout) if resumeTimeout.isdecimal() else None

    # What we sent

    def sent(self, stanza: bytes) -> bool:
        """
        A stanza is on its way.

        @return: whether to ask the peer at once how many it is done with.
        """
        self._unacknowledged.append(stanza)
        self._unasked += 1
        return self._unasked >= _ASK_AFTER

    def requested(self) -> None:
        """The peer was asked how many it is done with."""
        self._unasked = 0

    @property
    def isOverdue(self) -> bool:
        """Whether the peer has acknowledged nothing for far too long."""
        return len(self._unacknowledged) > _UNACKNOWLEDGED

    def acknowledge(self, h: str | None) -> None:
        """
        The peer is done with so many stanzas, modulo 2^32.

        @raise ProtocolViolation: when it never got so many.
        """
        count = (_count(h) - self._acknowledged) % _MODULUS
        if count > len(self._unacknowledged):
            raise ProtocolViolation("the server acknowledged more stanzas than it was sent")
        del self._unacknowledged[:count]
        self._acknowledged = (self._acknowledged + count) % _MODULUS

    def resumed(self, h: str | None) -> None:
        """
        The session was resumed, and the peer says with how many stanzas it is done.

        @raise ProtocolViolation: when that cannot be; it is not resumed again then.
        """
        try:
            self.acknowledge(h)
        except ProtocolViolation:
            self.id = None
            raise

    @property
    def unacknowledged(self) -> Iterable[bytes]:
        """What to send again after a resumption, in order."""
        return tuple(self._unacknowledged)

    @property
    def shouldRequest(self) -> bool:
        """Whether to request an acknowledgement with the next ping."""
        return len(self._unacknowledged) >= _ASK_AT_BEAT

    # What we received

    def arrived(self, stanza: Element) -> bool:
        """
        A stanza came in.

        @return: whether it is new: one that is sent again after a resumption is not.
        """
        if self.expectedDuplicates:
            self.expectedDuplicates -= 1
            return False
        self._received += 1
        self._undone[id(stanza)] = self._received, stanza
        return True

    def receivedAndHandled(self) -> None:
        """A new stanza came in, and we are done with it."""
        self._received += 1

    def done(self, stanza: Element) -> None:
        """We are done with a stanza that came in; once is enough."""
        self._undone.pop(id(stanza), None)

    @property
    def handled(self) -> str:
        """C{h}: how many came in and are done with, without a gap; it is said now."""
        self._said = self._done
        return str(self._said % _MODULUS)

    @property
    def hasUnreportedStanzas(self) -> bool:
        """Whether the peer, which did not ask, should be told C{h} with the next ping."""
        return self._done - self._said >= _UNSAID

    @property
    def _done(self) -> int:
        if not self._undone:
            return self._received
        number, _ = self._undone[next(iter(self._undone))]
        return number - 1

    def resuming(self) -> str:
        """
        The session is about to be resumed: what follows C{h} will come again.

        @return: the C{h} to resume with; it must be the one that is sent.
        """
        self.expectedDuplicates = self._received - self._done
        return self.handled
