"""
What a failure of the network means, in words, without the secrets that the
failing library may have put into its own.
"""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from ..errors import CertificateRefused, CertificateWanted, ConnectionFailed, PeerClosed

__all__ = ["CAUSES", "explain"]

# What Twisted raises, whether the connection stood already, and what that means.
CAUSES = (
    (
        ConnectionRefusedError,
        False,
        "refused the connection: is it running, and the port right?",
    ),
    (
        DNSLookupError,
        False,
        "has a host name that cannot be found: check the name and the DNS",
    ),
    (NoRouteError, False, "cannot be reached: there is no route to it"),
    ((TCPTimedOutError, TimeoutError), False, "did not answer in time"),
    (ConnectionDone, True, "closed the connection"),
    (ConnectionLost, True, "dropped the connection"),
    (ConnectError, False, "could not be reached"),
)


def _roots(error: BaseException | None) -> list[BaseException]:
    """The failures that a wrapping one is about."""
    if isinstance(error, (ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed)):
        return [root for reason in error.reasons for root in _roots(reason.value)]
    return [] if error is None else [error]


def _tls(error: SSL.Error) -> tuple[bool, str]:
    """Whether the certificate was at fault, and OpenSSL's own word for it."""
    try:
        words = [str(entry[-1]) for entry in error.args[0]]
    except (IndexError, TypeError):
        words = []
    refused = any("certificate verify failed" in word for word in words)
    return refused, "; ".join(words)[:200] or "the connection was cut"


# What a server's alert says of a certificate of ours (RFC 8446 section 6.2).
_OURS = ("certificate required", "bad certificate", "certificate unknown", "unknown ca")
# The same in TLS 1.2 (RFC 5246 section 7.4.6), which says it of other things too.
_PERHAPS_OURS = "alert handshake failure"


def explain(what: str, failure: Failure) -> ConnectionFailed:
    """
    @param what: what was being done, as the beginning of a sentence: "the event
        manager https://evm.example.com:443".
    @return: the error that says what happened to it and what to check.
    """
    roots = _roots(failure.value)
    error: BaseException | None
    for error in roots:
        if isinstance(error, ConnectionFailed):
            return error
        if isinstance(error, (CertificateError, VerificationError)):
            return CertificateRefused(
                f"{what} shows a certificate for another host name; not trusted", cause=error
            )
        if isinstance(error, SSL.Error):
            refused, words = _tls(error)
            if refused:
                return CertificateRefused(
                    f"{what} shows a certificate that cannot be verified ({words}): check its "
                    f"expiry, or give the CA's file",
                    cause=error,
                )
            if "alert" in words and any(alert in words for alert in _OURS):
                return CertificateWanted(
                    f"{what} wants a certificate of ours that it accepts ({words})", cause=error
                )
            if _PERHAPS_OURS in words:
                return CertificateWanted(
                    f"{what} does not speak TLS with us ({words}): does it want a certificate of "
                    f"ours?",
                    cause=error,
                )
            return ConnectionFailed(f"{what} does not speak TLS as expected ({words})", cause=error)
    error = roots[0] if roots else None
    for kind, closed, words in CAUSES:
        if isinstance(error, kind):
            return (PeerClosed if closed else ConnectionFailed)(f"{what} {words}", cause=error)
    return ConnectionFailed(f"{what} failed: {type(error).__name__}", cause=error)
