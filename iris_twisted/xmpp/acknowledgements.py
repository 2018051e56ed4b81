"""
One connection's part in stream management (XEP-0198): when to ask the peer how far it
is, and when to tell it how far we are.
"""

from __future__ import annotations

from collections.abc import Callable

from .elements import Element
from .stream_management import MANAGEMENT, StreamManagement

__all__ = ["ASKING", "Acknowledging"]

# Servers ask after every stanza of theirs, and each in one of these two ways.
ASKING = (f'<r xmlns="{MANAGEMENT}"/>'.encode(), f"<r xmlns='{MANAGEMENT}'/>".encode())


class Acknowledging:
    """
    @param write: sends an element.
    @param send: sends what is an element already: the answer that goes with each ping.
    @param beatsSoon: whether L{beat} is called every few seconds.
    @ivar books: from the time on when stream management was asked for.
    @ivar incoming: the same, from the time on when the peer's stanzas count.
    @ivar heardOfOthers: whether anything but answers to us came, or was done with, since we
        said how far we are.
    """

    def __init__(
        self,
        write: Callable[[Element], None],
        send: Callable[[bytes], object],
        beatsSoon: bool,
    ) -> None:
        self._write = write
        self._send = send
        self._beatsSoon = beatsSoon
        self._owesAnswer = False
        self.books: StreamManagement | None = None
        self.incoming: StreamManagement | None = None
        self.heardOfOthers = False

    def enable(self) -> None:
        """Ask for stream management (XEP-0198 section 3)."""
        self._write(Element("enable", MANAGEMENT, {"resume": "true"}))
        self.books = StreamManagement()

    def goOn(self, books: StreamManagement, h: str | None) -> None:
        """
        The peer resumed the session of these books.

        @param h: how far it says it is.
        @raise ProtocolViolation: when it cannot be so far.
        """
        books.resumed(h)
        self.books = self.incoming = books

    def heard(self, name: str, element: Element) -> bool:
        """
        The peer said something of stream management.

        @return: whether that makes sense now.
        @raise ProtocolViolation: when what it says cannot be.
        """
        books = self.books
        if books is None:
            return False
        if name == "r" and self.incoming is not None:
            self.asked()
        elif name == "a":
            books.acknowledge(element.get("h"))
        elif name == "enabled" and self.incoming is None:
            self.incoming = books
            if element.get("resume") in ("true", "1"):
                books.mayBeResumed(element)
        elif name == "failed" and self.incoming is None:
            self.books = None
        else:
            return False
        return True

    def arrivedAndDone(self) -> None:
        """A stanza came in, and we are done with it."""
        if self.incoming is not None:
            self.incoming.arrivedAndDone()

    def asks(self, message: bytes) -> bool:
        """Whether the peer asks, in one of the two usual ways, how far we are; it is told."""
        if self.incoming is None or message not in ASKING:
            return False
        self.asked()
        return True

    def asked(self) -> None:
        """The peer asks how far we are."""
        # Nobody would miss the answer to a ping: that can be told with the next one.
        if self.heardOfOthers or not self._beatsSoon:
            self._answer()
        else:
            self._owesAnswer = True

    def ask(self) -> None:
        """Ask the peer how far it is, if it is known to understand that."""
        if self.incoming is not None:
            self.incoming.asked()
            self._send(ASKING[0])

    def beat(self) -> None:
        """Now and then: keep both sides' books short."""
        books = self.incoming
        if books is None:
            return
        if self._owesAnswer or books.owesNews:
            self._answer()
        if books.wantsAnswer:
            self.ask()

    def _answer(self) -> None:
        self._owesAnswer = self.heardOfOthers = False
        if self.incoming is not None:
            self._send(f'<a xmlns="{MANAGEMENT}" h="{self.incoming.handled}"/>'.encode())
