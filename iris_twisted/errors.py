"""
Every error of the package: one root, the codes of the Iris web client, and for
each error whose fault it was and whether trying again can help.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

__all__ = [
    "ApiParameters",
    "BackendError",
    "CertificateRefused",
    "CertificateWanted",
    "Conflict",
    "ConnectionFailed",
    "DatabaseFailed",
    "Fault",
    "IncorrectParameters",
    "InvalidState",
    "IrisError",
    "NoAnswer",
    "NotAuthorized",
    "NotConnected",
    "NotHeld",
    "NotKept",
    "NotSupported",
    "NotTaken",
    "PeerClosed",
    "ProtocolViolation",
    "SeeOther",
    "ServerLeaving",
    "SinkRefused",
    "StanzaError",
    "TokenRefused",
]


class Fault(Enum):
    """Who has to change something before this error goes away."""

    CALLER = "caller"
    PEER = "peer"
    NETWORK = "network"


class IrisError(Exception):
    """
    The root of all errors of this package.

    @cvar code: the number of C{protocol.md} section 6, as the web client gives it.
    @cvar name: the name of that number.
    @cvar fault: whose fault it was.
    @cvar retryable: whether the same call can succeed later, nothing changed.
    @ivar message: a sentence that tells an operator what to check. It never
        holds a token, a password or a URL that carries one.
    """

    code: ClassVar[int] = -105
    name: ClassVar[str] = "ERR_BACKEND_ERROR"
    fault: ClassVar[Fault] = Fault.PEER
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.__cause__ = cause

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.code}: {self.message}>"


class IncorrectParameters(IrisError, ValueError):
    """An argument is missing, or of the wrong type or value; the message names it."""

    code = -101
    name = "ERR_INCORRECT_PARAMETERS"
    fault = Fault.CALLER
    retryable = False


class NotSupported(IrisError):
    """The server offers nothing that this client can or may use."""

    code = -102
    name = "ERR_NOT_SUPPORTED"
    retryable = False


class InvalidState(IrisError):
    """An API call came in a state that does not allow it."""

    code = -103
    name = "ERR_INVALID_STATE"
    fault = Fault.CALLER
    retryable = False


class NotConnected(IrisError):
    """An API call needs a live connection, and there is none."""

    code = -104
    name = "ERR_NOT_CONNECTED"
    fault = Fault.CALLER


class BackendError(IrisError):
    """The server answered with an error: SASL, bind, stream or IQ."""


class NotAuthorized(BackendError):
    """SASL refused the credentials: perhaps the websocket token is stale."""


class ProtocolViolation(BackendError):
    """The peer sent what the protocol, or a limit of ours, forbids."""


class Conflict(BackendError):
    """The same resource logged in elsewhere: coming back would throw that one out."""

    retryable = False


class ServerLeaving(BackendError):
    """The server ended the session politely and expects its clients to come back."""


class SeeOther(BackendError):
    """
    The server sends its clients to another address (RFC 7395 section 3.6.1).

    @ivar uri: the address as the server gave it, unchecked.
    """

    def __init__(self, message: str, uri: str) -> None:
        super().__init__(message)
        self.uri = uri


class StanzaError(BackendError):
    """
    An IQ was answered with an error (RFC 6120 section 8.3).

    @ivar condition: the defined condition, e.g. C{item-not-found}.
    """

    def __init__(self, message: str, condition: str) -> None:
        super().__init__(message)
        self.condition = condition


class ConnectionFailed(IrisError):
    """Discovery or the websocket failed, or reconnecting gave up."""

    code = -106
    name = "ERR_CREATE_CONNECTION_FAILED"
    fault = Fault.NETWORK


class CertificateRefused(ConnectionFailed):
    """The peer's certificate does not verify; it will not verify later either."""

    fault = Fault.PEER
    retryable = False


class CertificateWanted(ConnectionFailed):
    """The peer wants a certificate of ours, or another one than it was shown."""

    fault = Fault.CALLER


class DatabaseFailed(ConnectionFailed):
    """
    The database of a cluster did not do what it was asked.

    @ivar lasting: whether somebody has to change something before it does.
    """

    def __init__(
        self, message: str, *, lasting: bool = False, cause: BaseException | None = None
    ) -> None:
        super().__init__(message, cause=cause)
        self.lasting = lasting


class NoAnswer(ConnectionFailed):
    """The peer was silent at some step for longer than it may be."""


class PeerClosed(ConnectionFailed):
    """The socket was closed or lost without a word of XMPP."""


class ApiParameters(IrisError):
    """The event manager's answer is JSON, but lacks what is needed."""

    code = -109
    name = "ERR_API_PARAMETERS"


class NotKept(IrisError):
    """
    A notification could not be kept: there is no room, or the outbox is broken. Its IQ is
    answered C{resource-constraint} (RFC 6120 section 8.3.3.18).
    """

    fault = Fault.CALLER


class NotHeld(NotKept):
    """
    A notification came to a member of a cluster that does not hold the account any more, so it
    must not keep it. Whoever does is told too, or will be.
    """


class NotTaken(IrisError):
    """
    A sink could not take a call now.

    @ivar retryAfter: seconds until it may, if it said so.
    """

    def __init__(
        self, message: str, *, retryAfter: float | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(message, cause=cause)
        self.retryAfter = retryAfter


class SinkRefused(NotTaken):
    """A sink will never take this call."""

    retryable = False


class TokenRefused(IrisError):
    """The event manager refused the iris token; a new one is needed."""

    code = -116
    name = "ERR_SESSION_INVALID_TOKEN"
    fault = Fault.CALLER
    retryable = False
