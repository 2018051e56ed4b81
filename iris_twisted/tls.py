"""
Trust: which certificates are accepted, for discovery and websocket alike.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from OpenSSL import SSL
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from .errors import IncorrectParameters
from .interfaces import ITlsTrust

__all__ = ["TlsTrust"]

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """TLS with anybody: for C{insecure=True} only."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = CertificateOptions(verify=False).getContext()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if self._host.isascii() and ":" not in self._host:
            connection.set_tlsext_host_name(self._host.encode())
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _NamedOnly:
    """
    Twisted's verification, without its hole: a certificate that names nobody (no
    subjectAltName) makes Twisted 26.10 log an error and accept it for any host.
    """

    def __init__(self, host: str, creator: Any) -> None:
        self._creator = creator
        try:
            ipaddress.ip_address(host)
            self._id: Any = IPAddress_ID(host)
        except ValueError:
            self._id = DNS_ID(host if host.isascii() else host.encode("idna").decode())

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)

        def verify(_: SSL.Connection, certificate: Any, error: int, depth: int, ok: int) -> bool:
            if depth == 0:
                try:
                    verify_service_identity(extract_patterns(certificate), [self._id], [])
                except Exception:
                    # Whatever was wrong with it: no name, no trust.
                    tlsProtocol.failVerification(Failure())
                    return False
            return bool(ok)

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection


# A context on the platform's trust store costs about a megabyte and several
# milliseconds: one per trust root and host name, shared by all connections.
# (Twisted's public API binds a context to the one name that it verifies.)
@lru_cache(maxsize=256)
def _verified(trustRoot: Any, host: str) -> IOpenSSLClientConnectionCreator:
    return _NamedOnly(host, optionsForClientTLS(host, trustRoot))


@lru_cache(maxsize=256)
def _unverified(host: str) -> IOpenSSLClientConnectionCreator:
    return _Unverified(host)


@lru_cache(maxsize=1)
def _platform() -> Any:
    return platformTrust()


@lru_cache(maxsize=16)
def _fromPem(pem: bytes) -> Any:
    blocks = [_BEGIN + rest.partition(_END)[0] + _END for rest in pem.split(_BEGIN)[1:]]
    return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])


@implementer(ITlsTrust, IPolicyForHTTPS)
class TlsTrust:
    """
    Which certificates to trust.

    @param trustRoot: C{None} for the platform's trust store, the path of a PEM
        file, or a Twisted trust root.
    @param insecure: accept any certificate; logged loudly.
    @raise IncorrectParameters: when the file cannot be read or holds no certificate.
    """

    _log = Logger()

    def __init__(self, trustRoot: Any = None, insecure: bool = False) -> None:
        self._insecure = insecure
        if insecure:
            self._log.critical(
                "INSECURE: certificates are not verified and plain text is allowed; "
                "anybody on the way can read and change everything"
            )
        if trustRoot is None:
            self._trustRoot = _platform()
        elif isinstance(trustRoot, str):
            try:
                with open(trustRoot, "rb") as file:
                    pem = file.read()
            except (OSError, ValueError) as e:
                raise IncorrectParameters(f"trustRoot {trustRoot!r} cannot be read: {e}") from None
            try:
                if _BEGIN not in pem:
                    raise ValueError
                self._trustRoot = _fromPem(pem)
            except (SSL.Error, ValueError):
                raise IncorrectParameters(
                    f"trustRoot {trustRoot!r} holds no certificate in PEM form"
                ) from None
        else:
            self._trustRoot = trustRoot
            try:
                self.forHost("localhost")
            except (TypeError, AttributeError):
                raise IncorrectParameters(
                    f"trustRoot must be a path or a Twisted trust root, not {trustRoot!r}"
                ) from None

    def forHost(self, host: str) -> IOpenSSLClientConnectionCreator:
        if self._insecure:
            return _unverified(host)
        return _verified(self._trustRoot, host)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See C{IPolicyForHTTPS}."""
        return self.forHost(hostname.decode("ascii").strip("[]"))
