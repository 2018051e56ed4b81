"""
One connection's part in stream management (XEP-0198): when to ask the peer how far it
is, and when to tell it how far we are.
"""

from __future__ import annotations

from collections.abc import Callable

from .elements import Element
from .stream_management import MANAGEMENT, StreamManagement

__all__ = ["ASKING", "Acknowledgements"]

# Servers ask after every stanza of theirs, and each in one of these two ways.
ASKING = (f'<r xmlns="{MANAGEMENT}"/>'.encode(), f"<r xmlns='{MANAGEMENT}'/>".encode())


class Acknowledgements:
    """
    @param write: sends an element.
    @param send: sends what is an element already: the answer that goes with each ping.
    @param pingsOften: whether L{requestIfBehind} is called every few seconds.
    @ivar state: from the time on when stream management was asked for.
    @ivar incoming: the same, from the time on when the peer's stanzas count.
    @ivar hasUnreportedStanzas: whether anything but answers to our pings came, or was done with,
        since we said how far we are.
    """

    def __init__(
        self,
        write: Callable[[Element], None],
        send: Callable[[bytes], object],
        pingsOften: bool,
    ) -> None:
        self._write = write
        self._send = send
        self._pingsOften = pingsOften
        self._owesAnswer = False
        self.state: StreamManagement | None = None
        self.incoming: StreamManagement | None = None
        self.hasUnreportedStanzas = False

    def enable(self) -> None:
        """Ask for stream management (XEP-0198 section 3)."""
        self._write(Element("enable", MANAGEMENT, {"resume": "true"}))
        self.state = StreamManagement()

    def resume(self, state: StreamManagement, h: str | None) -> None:
        """
        The peer resumed the session with this state.

        @param h: how far it says it is.
        @raise ProtocolViolation: when it cannot be so far.
        """
        state.resumed(h)
        self.state = self.incoming = state

    def handle(self, name: str, element: Element) -> bool:
        """
        The peer said something of stream management.

        @return: whether that makes sense now.
        @raise ProtocolViolation: when what it says cannot be.
        """
        state = self.state
        if state is None:
            return False
        if name == "r" and self.incoming is not None:
            self.requested()
        elif name == "a":
            state.acknowledge(element.get("h"))
        elif name == "enabled" and self.incoming is None:
            self.incoming = state
            # What came before does not count.
            self.hasUnreportedStanzas = False
            if element.get("resume") in ("true", "1"):
                state.resumptionEnabled(element)
        elif name == "failed" and self.incoming is None:
            self.state = None
        else:
            return False
        return True

    def receivedAndHandled(self) -> None:
        """A stanza came in, and we are done with it."""
        if self.incoming is not None:
            self.incoming.receivedAndHandled()

    def answersRequest(self, message: bytes) -> bool:
        """Whether the peer asks, in one of the two usual ways, how far we are; it is told."""
        if self.incoming is None or message not in ASKING:
            return False
        self.requested()
        return True

    def requested(self) -> None:
        """The peer asks how far we are."""
        # Nobody would miss the answer to a ping: that can be told with the next one.
        if self.hasUnreportedStanzas or not self._pingsOften:
            self._answer()
        else:
            self._owesAnswer = True

    def request(self) -> None:
        """Ask the peer how far it is, if it is known to understand that."""
        if self.incoming is not None:
            self.incoming.requested()
            self._send(ASKING[0])

    def requestIfBehind(self) -> None:
        """With each ping: keep both sides' lists of unacknowledged stanzas short."""
        state = self.incoming
        if state is None:
            return
        if self._owesAnswer or state.hasUnreportedStanzas:
            self._answer()
        if state.shouldRequest:
            self.request()

    def _answer(self) -> None:
        self._owesAnswer = self.hasUnreportedStanzas = False
        if self.incoming is not None:
            self._send(f'<a xmlns="{MANAGEMENT}" h="{self.incoming.handled}"/>'.encode())
