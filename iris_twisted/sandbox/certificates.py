"""
The sandbox's own certificate, made by trustme and gone when the sandbox stops.
"""

from __future__ import annotations

import os
import tempfile

import trustme
from twisted.internet.ssl import PrivateCertificate

__all__ = ["Certificates"]


class Certificates:
    """
    @ivar caFile: the path of the CA's certificate, PEM.
    @ivar options: for a server's endpoint.
    """

    def __init__(self) -> None:
        ca = trustme.CA()
        issued = ca.issue_cert("localhost", "127.0.0.1", "::1")
        certificate = PrivateCertificate.loadPEM(issued.private_key_and_cert_chain_pem.bytes())
        self.options = certificate.options()
        handle, self.caFile = tempfile.mkstemp(prefix="iris-sandbox-", suffix=".pem")
        with os.fdopen(handle, "wb") as file:
            file.write(ca.cert_pem.bytes())

    def remove(self) -> None:
        """Remove the file."""
        os.unlink(self.caFile)
