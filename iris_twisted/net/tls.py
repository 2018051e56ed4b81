"""
Trust: which certificates are accepted, for discovery and websocket alike.
"""

from __future__ import annotations

import ipaddress
from copy import copy
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import IncorrectParameters
from .client_certificate import ClientCertificate, Identity
from .interfaces import ITlsTrust
from .tls_resumption import resume

__all__ = ["TlsTrust"]

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"


# Whom each connection means to reach; its app data is Twisted's.
_wanted: WeakKeyDictionary[SSL.Connection, Any] = WeakKeyDictionary()


@implementer(IOpenSSLClientConnectionCreator)
class _ToHost:
    """
    TLS with one host, on a context that other hosts share.

    Twisted's C{optionsForClientTLS} has a context for each name, and (26.10) a hole:
    a certificate that names nobody, without a subjectAltName, makes it log an error and
    accept it for any host. So the name is verified here, as RFC 9525 says.
    """

    def __init__(self, host: str, context: SSL.Context) -> None:
        self._context = context
        self._host = host.lower()
        self._serverName: bytes | None = None
        try:
            ipaddress.ip_address(host)
            self._id: Any = IPAddress_ID(host)
        except ValueError:
            name = host if host.isascii() else host.encode("idna").decode()
            self._id = DNS_ID(name)
            # RFC 6066 section 3: an address is no server name.
            self._serverName = name.encode()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        _wanted[connection] = self._id
        if self._serverName is not None:
            connection.set_tlsext_host_name(self._serverName)
        resume(self._context, self._host, connection)
        return connection


def _verify(connection: SSL.Connection, certificate: Any, error: int, depth: int, ok: int) -> bool:
    """Called by OpenSSL for each certificate of a chain."""
    if depth == 0:
        try:
            verify_service_identity(extract_patterns(certificate), [_wanted[connection]], [])
        except Exception:
            # Whatever was wrong with it: no name, no trust.
            connection.get_app_data().failVerification(Failure())
            return False
    return bool(ok)


# A context on the platform's trust store costs about a megabyte and several
# milliseconds: one per trust root, shared by all connections to all hosts.
@lru_cache(maxsize=16)
def _verifying(trustRoot: Any, identity: Identity | None) -> SSL.Context:
    ours = {} if identity is None else identity.options()
    options = CertificateOptions(trustRoot=trustRoot, enableSessionTickets=True, **ours)
    context = options.getContext()
    # Once for all connections: each callback of OpenSSL's costs memory of its own.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    return context


@lru_cache(maxsize=16)
def _trusting(identity: Identity | None) -> SSL.Context:
    """TLS with anybody: for C{insecure=True} only."""
    ours = {} if identity is None else identity.options()
    return CertificateOptions(verify=False, **ours).getContext()


@lru_cache(maxsize=1)
def _platform() -> Any:
    return platformTrust()


@lru_cache(maxsize=16)
def _fromPem(pem: bytes) -> Any:
    blocks = [_BEGIN + rest.partition(_END)[0] + _END for rest in pem.split(_BEGIN)[1:]]
    return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])


@implementer(ITlsTrust)
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
        self._certificate: ClientCertificate | None = None
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
                _verifying(trustRoot, None)
            except (TypeError, AttributeError):
                raise IncorrectParameters(
                    f"trustRoot must be a path or a Twisted trust root, not {trustRoot!r}"
                ) from None

    def showing(self, certificate: ClientCertificate | None) -> TlsTrust:
        """
        The same, with a certificate of our own for servers that ask for one. Its files are read
        for each connection: L{forHost} raises L{IncorrectParameters} when they are no good.
        """
        trust = copy(self)
        trust._certificate = certificate
        return trust

    def forHost(self, host: str) -> IOpenSSLClientConnectionCreator:
        identity = None if self._certificate is None else self._certificate.read()
        if self._insecure:
            return _ToHost(host, _trusting(identity))
        return _ToHost(host, _verifying(self._trustRoot, identity))
