"""
What a session is told, and what it tells.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..errors import IrisError, StanzaError
from ..net.addresses import RoutingId
from ..net.limits import Limits
from ..net.random_bytes import randomChunks
from .elements import Element
from .iqs import PendingIqs
from .stanzas import iqCondition
from .stream_management import StreamManagement

__all__ = [
    "DIALECTS",
    "Ended",
    "Established",
    "IqAnswered",
    "IqFailed",
    "IqRequest",
    "PingAnswered",
    "Resumption",
    "SessionEvent",
    "SessionSettings",
    "StanzaReceived",
    "outcome",
]

DIALECTS = ("stream", "framed")


@attrs.frozen
class Established:
    """
    The session is up.

    @ivar resumed: whether it goes on where an earlier one was cut.
    """

    jid: str
    resumed: bool = False


@attrs.frozen
class IqRequest:
    """An IQ that wants an answer (or has no type at all); pings are answered already."""

    element: Element


@attrs.frozen
class StanzaReceived:
    """A message or a presence: only told when C{settings.stanzas} asks for it."""

    element: Element


@attrs.frozen
class IqAnswered:
    """An IQ of ours got its result."""

    id: str
    element: Element


@attrs.frozen
class IqFailed:
    """An IQ of ours got an error, or no answer."""

    id: str
    error: IrisError


@attrs.frozen
class PingAnswered:
    """
    A ping of ours got its result, or an error: who cannot ping is alive all the same.

    @ivar sent: when it was sent.
    """

    sent: float


@attrs.frozen
class Ended:
    """The session is over; nothing follows. The transport is the caller's to close."""

    error: IrisError


def outcome(iq: Element) -> IqAnswered | IqFailed:
    """What an answer to an IQ of ours says."""
    id = iq.attributes["id"]
    if iq.get("type") == "result":
        return IqAnswered(id, iq)
    condition = iqCondition(iq)
    return IqFailed(id, StanzaError(f"the server answered with an error: {condition}", condition))


SessionEvent = (
    Established | IqRequest | StanzaReceived | IqAnswered | IqFailed | PingAnswered | Ended
)


@attrs.frozen
class Resumption:
    """What a later session needs to go on where this one was cut (XEP-0198 section 5)."""

    jid: str
    management: StreamManagement
    iqs: PendingIqs


_nextId = randomChunks(8)


@attrs.frozen
class SessionSettings:
    """
    What a session needs to know.

    @ivar dialect: one of L{DIALECTS}.
    @ivar token: the websocket token.
    @ivar secure: whether nobody can listen on the transport: TLS, or loopback.
    @ivar iqTimeout: seconds until an IQ counts as unanswered.
    @ivar newId: makes an id that nobody can guess.
    @ivar streamManagement: whether to use XEP-0198 where it is offered.
    @ivar pingsOften: whether C{requestAcknowledgement} is called every few seconds.
    @ivar resumption: what to resume, where that is possible.
    @ivar stanzas: whether to tell of messages and presence, which mean nothing to Iris.
    """

    dialect: str
    routingId: RoutingId
    token: str = attrs.field(repr=False)
    secure: bool
    anonymous: bool = False
    limits: Limits = attrs.field(factory=Limits)
    iqTimeout: float = 10.0
    newId: Callable[[], str] = lambda: _nextId().hex()
    streamManagement: bool = True
    pingsOften: bool = False
    resumption: Resumption | None = attrs.field(default=None, repr=False)
    stanzas: bool = False
