"""
SASL, the client's side: which mechanism to use, and what each one says
(RFC 6120 section 6, RFC 4616, RFC 4505, RFC 5802 by the library scramp).
"""

from __future__ import annotations

from collections.abc import Collection

from scramp import ScramClient, ScramException

from ..errors import BackendError, NotSupported, ProtocolViolation
from ..net.addresses import RoutingId

__all__ = ["Mechanism", "chooseMechanism"]


class Mechanism:
    """
    One exchange. This base is a mechanism that says its first word and no other.

    @ivar name: as in the features.
    """

    def __init__(self, name: str, initial: bytes = b"") -> None:
        self.name = name
        self._initial = initial

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def initialResponse(self) -> bytes:
        """What goes into C{<auth/>}."""
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        """
        What goes into C{<response/>}.

        @raise BackendError: when the server's challenge makes no sense.
        """
        raise ProtocolViolation(f"the server sent a challenge to SASL {self.name}, which has none")

    def succeeded(self, additional: bytes) -> None:
        """
        Called with the data of C{<success/>}.

        @raise BackendError: when the server did not prove who it is.
        """


class _Scram(Mechanism):
    """RFC 5802; the server proves that it knows the secret as well."""

    def __init__(self, name: str, user: str, password: str) -> None:
        super().__init__(name)
        self._client = ScramClient([name], user, password)
        self._answered = self._proved = False

    def initialResponse(self) -> bytes:
        first: str = self._client.get_client_first()
        return first.encode()

    def respond(self, challenge: bytes) -> bytes:
        try:
            if self._answered:
                # Some servers send the signature as a challenge, and success without data.
                self._client.set_server_final(challenge.decode())
                self._proved = True
                return b""
            self._answered = True
            self._client.set_server_first(challenge.decode())
            final: str = self._client.get_client_final()
        except (ScramException, ValueError) as e:
            raise BackendError(f"SASL {self.name} failed: {type(e).__name__}", cause=None) from None
        return final.encode()

    def succeeded(self, additional: bytes) -> None:
        if self._proved:
            return
        try:
            self._client.set_server_final(additional.decode())
        except (ScramException, ValueError):
            raise BackendError(
                f"SASL {self.name}: the server's signature is wrong or missing; "
                f"it may not be who it says"
            ) from None


def chooseMechanism(
    offered: Collection[str], routingId: RoutingId, token: str, *, secure: bool, anonymous: bool
) -> Mechanism:
    """
    The best mechanism that is offered and may be used here.

    @param token: the websocket token, which is the password of SCRAM and PLAIN.
    @param secure: whether nobody can listen: TLS, or loopback.
    @param anonymous: whether the user asked for an anonymous login.
    @raise NotSupported: when there is none; the message says what was offered.
    """
    if "NOAUTH" in offered:
        return Mechanism("NOAUTH", routingId.bare.encode())
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        if name in offered:
            return _Scram(name, routingId.local, token)
    if "PLAIN" in offered and secure:
        return Mechanism("PLAIN", b"\0" + routingId.local.encode() + b"\0" + token.encode())
    if "ANONYMOUS" in offered and anonymous:
        return Mechanism("ANONYMOUS")
    names = ", ".join(sorted(n[:40] for n in offered)[:10]) or "none"
    reasons = ""
    if "PLAIN" in offered:
        reasons += "; PLAIN needs an encrypted connection"
    if "ANONYMOUS" in offered:
        reasons += "; ANONYMOUS has to be asked for"
    raise NotSupported(
        f"the server offers no SASL mechanism to use here (offered: {names}{reasons})"
    )
