"""
A certificate of our own, for servers that ask who comes (RFC 8446 section 4.3.2).
"""

from __future__ import annotations

from typing import Any

import attrs
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.ssl import CertificateOptions

from ..errors import IncorrectParameters

__all__ = ["ClientCertificate", "Identity", "certificateOf"]

_LONGEST = 64 * 1024


@attrs.frozen
class Identity:
    """
    What stands in the files of a L{ClientCertificate}, in PEM form.

    @ivar chain: the certificate, and those that lead from it to its CA.
    @ivar key: its private key, which may stand among them.
    """

    chain: bytes = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)

    def options(self) -> dict[str, Any]:
        """
        For C{CertificateOptions}.

        @raise ValueError: when one of them is none; C{TypeError} when the key is encrypted.
        """
        key = PKey.from_cryptography_key(load_pem_private_key(self.key, None))  # type: ignore[arg-type]
        first, *rest = map(X509.from_cryptography, load_pem_x509_certificates(self.chain))
        return {"privateKey": key, "certificate": first, "extraCertChain": rest}


@attrs.frozen
class ClientCertificate:
    """
    Where a certificate of ours is.

    @ivar what: it is called in errors, as in "sink amqp: the certificate".
    @ivar path: of the certificate, and of those that lead from it to its CA.
    @ivar keyPath: of its private key, without a passphrase; one file may hold both.
    """

    what: str
    path: str
    keyPath: str

    def read(self) -> Identity:
        """
        What the files hold now: certificates are renewed.

        @raise IncorrectParameters: naming the file and what is wrong with it.
        """
        identity = Identity(self._content(self.path), self._content(self.keyPath))
        try:
            CertificateOptions(**identity.options()).getContext()
        except TypeError:
            words = "it is encrypted, and nobody is there to ask"
            raise self._wrong(self.keyPath, words) from None
        except SSL.Error:
            raise self._wrong(
                self.path, f"the key in {self.keyPath!r} is that of another"
            ) from None
        except ValueError:
            words = "it must hold a certificate in PEM form, and its key"
            if self.path != self.keyPath:
                words = f"it must hold a certificate in PEM form, and {self.keyPath!r} its key"
            raise self._wrong(self.path, words) from None
        return identity

    def _content(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read(_LONGEST)
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) else str(e)
            raise IncorrectParameters(f"{self.what} in {path!r} cannot be read: {reason}") from None

    def _wrong(self, path: str, words: str) -> IncorrectParameters:
        return IncorrectParameters(f"{self.what} in {path!r} cannot be used: {words}")


def certificateOf(what: str, path: str | None, keyPath: str | None) -> ClientCertificate | None:
    """
    The certificate that options name, if they do.

    @param what: as in "the webhook certificate".
    @param keyPath: C{None} when the key is in the same file.
    @raise IncorrectParameters: when it cannot be used.
    """
    if path is None:
        if keyPath is not None:
            raise IncorrectParameters(f"{what} is missing: a key is of no use without it")
        return None
    certificate = ClientCertificate(what, path, keyPath or path)
    certificate.read()
    return certificate
