"""
The interface of floor 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Attribute, Interface

from .elements import Element
from .events import Resumption, SessionEvent

__all__ = ["IXmppSession"]


class IXmppSession(Interface):
    """
    Floor 3: one XMPP session, without I/O. Bytes in, events out; what is to be
    sent is fetched with L{takeOutgoing}; time is told, never asked.
    """

    isUp: bool = Attribute("Whether the session is bound and not ended.")
    jid: str | None = Attribute("The JID bound, or C{None} before.")
    sawFeatures: bool = Attribute("Whether the server said anything that settles the dialect.")

    resumption: Resumption | None = Attribute("What a later session needs to resume this one.")

    def start() -> None:
        """Called first, once, when the transport is open."""

    def receive(message: bytes) -> Sequence[SessionEvent]:
        """Called for each message; the events it brought, in order. Never raises for bad input."""

    defaultNamespace: str | None = Attribute(
        "The namespace in force around the next message, C{''} for none; C{None} when that "
        "message must be read by L{receive}, because the session is not up or in the middle "
        "of a stanza."
    )

    def admit(attributes: dict[str, str]) -> Element:
        """
        Called in the place of L{receive} for a message that is one whole IQ request,
        when L{defaultNamespace} allows it; the caller has read it.

        @return: what to L{reply} to.
        """

    def acknowledge(attributes: dict[str, str]) -> None:
        """Like L{admit} and L{reply} in one, when nothing came in between."""

    def takeOutgoing() -> Sequence[bytes]:
        """The messages to send since the last call, in order."""

    def sendIq(
        kind: str,
        payload: Sequence[Element],
        now: float,
        *,
        to: str | None = None,
        idSuffix: str = "",
    ) -> str:
        """
        Queue an IQ of the type C{kind}.

        @param now: seconds; the answer is due C{iqTimeout} after it.
        @return: its id, unpredictable; C{IqAnswered} or C{IqFailed} follows with it.
        """

    def sendStanza(stanza: Element) -> None:
        """
        Queue a message or a presence.

        @raise IncorrectParameters: for a character that XML does not allow.
        """

    def sendPing(now: float) -> None:
        """Queue a ping (XEP-0199 section 4.2); C{PingAnswered} follows, if anything does."""

    def reply(request: Element, condition: str | None = None) -> None:
        """
        Called for each L{IqRequest}, once it is done with: queue the answer
        (RFC 6120 section 8.2.3). When the connection is lost and the session can
        be resumed, the answer goes with the resumption.

        @param condition: the error to answer with, or C{None} for a result.
        """

    def expire(now: float) -> Sequence[SessionEvent]:
        """Called when the answer to an IQ is due: those that are overdue."""

    def requestAcknowledgement() -> Sequence[SessionEvent]:
        """
        Called with each ping: queue what keeps both sides' lists of unacknowledged
        stanzas short (XEP-0198 section 4), or end when the server has kept none for far too long.
        """

    def close() -> None:
        """End the session; queue what ends the stream politely, where the dialect has it."""

    def lost() -> None:
        """Called when the transport is gone."""
