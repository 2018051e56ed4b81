"""
A certificate of our own, for servers that ask who comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet import reactor
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate
from twisted.internet.ssl import trustRootFromCertificates as trustIn
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken
from iris_twisted.net.client_certificate import ClientCertificate, certificateOf
from iris_twisted.sinks import SinkContext
from iris_twisted.sinks.testing import SinkConformance
from iris_twisted.sinks.webhook import WebhookSinks

from ..network import NetworkCase
from ..peers import WebServer


class Files(SynchronousTestCase):
    """What may stand in them."""

    def setUp(self) -> None:
        self.issued = trustme.CA().issue_cert("iris.test")

    def file(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def refused(self, words: str, path: str | None, keyPath: str | None) -> None:
        with self.assertRaises(IncorrectParameters) as caught:
            certificateOf("the certificate", path, keyPath)
        self.assertIn(words, caught.exception.message)
        self.assertNotIn("BEGIN", caught.exception.message)

    def test_read(self) -> None:
        """Two files, or one that holds both; the chain is kept, the key is not shown."""
        chain = b"".join(pem.bytes() for pem in self.issued.cert_chain_pems)
        key = self.issued.private_key_pem.bytes()
        for path, keyPath in (
            (self.file(chain), self.file(key)),
            (self.file(key + chain), None),
        ):
            found = certificateOf("the certificate", path, keyPath)
            assert found is not None
            identity = found.read()
            self.assertEqual(len(identity.options()["extraCertChain"]), chain.count(b"BEGIN") - 1)
            self.assertNotIn("PRIVATE", repr(identity))
        self.assertIsNone(certificateOf("the certificate", None, None))

    def test_renewed(self) -> None:
        """The files are read each time: certificates are renewed."""
        path = self.file(self.issued.private_key_and_cert_chain_pem.bytes())
        certificate = ClientCertificate("the certificate", path, path)
        before = certificate.read()
        other = trustme.CA().issue_cert("iris.test").private_key_and_cert_chain_pem.bytes()
        Path(path).write_bytes(other)
        self.assertNotEqual(certificate.read(), before)

    def test_mistakes(self) -> None:
        """What is wrong with which file, and nothing of what is in it."""
        chain = self.file(self.issued.cert_chain_pems[0].bytes())
        pem = self.issued.private_key_pem.bytes()
        key = self.file(pem)
        other = self.file(trustme.CA().issue_cert("iris.test").private_key_pem.bytes())
        encrypted = self.file(
            load_pem_private_key(pem, None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        self.refused("the certificate in '/no/where' cannot be read", "/no/where", None)
        self.refused("'/no/where' cannot be read", chain, "/no/where")
        self.refused(f"the certificate in {chain!r} cannot be used: it must hold", chain, None)
        self.refused(f"in PEM form, and {chain!r} its key", key, chain)
        self.refused(f"the key in {other!r} is that of another", chain, other)
        self.refused("it is encrypted", chain, encrypted)
        self.refused("the certificate is missing", None, key)


class Webhooks(NetworkCase):
    """A webhook that asks who comes."""

    async def test_shown(self) -> None:
        """It gets the certificate, with the calls; without one, or another, it gets none."""
        ca, theirs = trustme.CA(), trustme.CA()
        folder = Path(self.mktemp())
        folder.mkdir()
        theirs.cert_pem.write_to_path(str(folder / "ca.pem"))
        server: Any = PrivateCertificate.loadPEM(
            theirs.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        )
        options = CertificateOptions(
            privateKey=server.privateKey.original,
            certificate=server.original,
            trustRoot=trustIn([Certificate.loadPEM(ca.cert_pem.bytes())]),
        )
        peer = await WebServer.start(reactor, options)
        self.addCleanup(peer.stop)
        paths = {}
        for name, issuer in (("ours", ca), ("other", theirs)):
            paths[name] = str(folder / name)
            issuer.issue_cert("iris.test").private_key_and_cert_chain_pem.write_to_path(paths[name])
        for name, words in (
            (None, "wants a certificate of ours"),
            ("other", "wants a certificate of ours"),
            ("ours", None),
        ):
            sink: Any = WebhookSinks().make(
                peer.url,
                SinkContext(
                    reactor=reactor,
                    write=lambda line: None,
                    settings=Settings(trustRoot=str(folder / "ca.pem")),
                    webhookCertificate=certificateOf("it", paths.get(name or ""), None),
                ),
            )
            self.addCleanup(sink.stop)
            if words is None:
                await sink.take(SinkConformance.record())
                # Its file is read again for another connection.
                await sink.stop()
                Path(paths["ours"]).write_text("")
                words = "cannot be used"
            with self.assertRaises(NotTaken) as caught:
                await sink.take(SinkConformance.record())
            self.assertIn(words, caught.exception.message)
        self.assertEqual(len(peer.received), 1)
