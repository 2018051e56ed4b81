"""
The sandbox's own certificate, made by trustme and gone when the sandbox stops.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime

import trustme
from twisted.internet.ssl import CertificateOptions, PrivateCertificate

__all__ = ["Certificates"]


class Certificates:
    """
    @param names: the host names and addresses that the certificate is good for.
    @param notAfter: until when it is valid; C{None} for long enough.
    @ivar caFile: the path of the CA's certificate, PEM.
    @ivar options: for a server's endpoint.
    """

    def __init__(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        notAfter: datetime | None = None,
    ) -> None:
        ca = trustme.CA()
        issued = ca.issue_cert(*names, not_after=notAfter)
        certificate = PrivateCertificate.loadPEM(issued.private_key_and_cert_chain_pem.bytes())
        # As web servers have it, and Twisted not: sessions that can be resumed (RFC 8446 2.2).
        self.options = CertificateOptions(
            privateKey=certificate.privateKey.original,
            certificate=certificate.original,
            enableSessions=True,
            enableSessionTickets=True,
        )
        handle, self.caFile = tempfile.mkstemp(prefix="iris-sandbox-", suffix=".pem")
        with os.fdopen(handle, "wb") as file:
            file.write(ca.cert_pem.bytes())

    def remove(self) -> None:
        """Remove the file."""
        os.unlink(self.caFile)
