"""
Contract promise 15; security.md, "TLS": discovery and websocket alike.
"""

from __future__ import annotations

import json
import shutil
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import platformTrust
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.errors import CertificateRefused, ConnectionFailed
from iris_twisted.net import tls, tls_resumption
from iris_twisted.net.tls import TlsTrust
from iris_twisted.sandbox.certificates import Certificates

from ..network import RID, NetworkCase

EXPIRED = datetime.now(UTC) - timedelta(days=1)


class Verification(NetworkCase):
    """Which certificates are believed."""

    async def bad(self, certificates: Certificates, trusted: bool, words: str) -> None:
        """Refused for discovery, and for the websocket behind a good discovery."""
        bad = await self.sandbox(tls=certificates)
        trustRoot = bad.caFile if trusted else None
        error = await self.refused(self.connection(trustRoot=trustRoot), "t", bad.url)
        self.assertIsInstance(error, CertificateRefused)
        self.assertIn(words, error.message)
        self.assertIn("event manager", error.message)
        # The same server as the websocket of an event manager that is fine.
        good = await self.sandbox()
        good.answerDiscovery(
            200,
            json.dumps(
                {
                    "websocket_server": f"wss://{bad.url.removeprefix('https://')}",
                    "websocket_server_token": "t",
                    "websocket_server_token_expiry_time": 1,
                }
            ).encode(),
        )
        error = await self.refused(self.connection(trustRoot=trustRoot), "t", good.url)
        self.assertIsInstance(error, CertificateRefused)
        self.assertIn(words, error.message)
        self.assertIn("websocket server", error.message)
        # Turned off explicitly, it connects.
        connection = self.connection(insecure=True)
        await connection.connect("any", RID, bad.url)
        self.assertTrue(connection.isConnectionAlive())

    async def test_unknownAuthority(self) -> None:
        """A CA that is not trusted."""
        await self.bad(Certificates(), False, "cannot be verified")

    async def test_selfSigned(self) -> None:
        """A certificate that vouches for itself."""
        ca = trustme.CA()
        pem = ca.private_key_pem.bytes() + ca.cert_pem.bytes()
        # It names nobody: refused when it is not trusted, and also when it is.
        for trusted, words in ((False, ""), (True, "another host name")):
            certificates = Certificates()
            certificates.options = ssl.PrivateCertificate.loadPEM(pem).options()
            with open(certificates.caFile, "wb") as file:
                file.write(ca.cert_pem.bytes())
            await self.bad(certificates, trusted, words)

    async def test_wrongName(self) -> None:
        """Another host's certificate."""
        await self.bad(Certificates(["other.test"]), True, "another host name")

    async def test_expired(self) -> None:
        """An expired certificate."""
        await self.bad(Certificates(notAfter=EXPIRED), True, "cannot be verified")

    async def test_trustRoots(self) -> None:
        """A path and a Twisted trust root do the same."""
        sandbox = await self.sandbox(tls=True)
        with open(sandbox.caFile or "", "rb") as file:
            root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(file.read())])
        for trustRoot in (sandbox.caFile, root):
            connection = self.connection(trustRoot=trustRoot)
            await connection.connect("any", RID, sandbox.url)

    async def test_plaintext(self) -> None:
        """A server that speaks no TLS where TLS is expected, and the other way round."""
        plain = await self.sandbox()
        error = await self.refused(
            self.connection(connectTimeout=0.5), "t", plain.url.replace("http://", "https://")
        )
        self.assertIsInstance(error, ConnectionFailed)
        encrypted = await self.sandbox(tls=True)
        error = await self.refused(
            self.connection(connectTimeout=0.5), "t", encrypted.url.replace("https://", "http://")
        )
        self.assertEqual(error.code, -106)

    async def test_downgrade(self) -> None:
        """https may not lead to ws."""
        sandbox = await self.sandbox(tls=True)
        answer: dict[str, Any] = {
            "websocket_server": "ws://127.0.0.1:1",
            "websocket_server_token": "t",
            "websocket_server_token_expiry_time": 1,
        }
        sandbox.answerDiscovery(200, json.dumps(answer).encode())
        error = await self.refused(self.connection(trustRoot=sandbox.caFile), "t", sandbox.url)
        self.assertIn("not be encrypted", error.message)


class Contexts(SynchronousTestCase):
    """One context per trust root, not one per connection or host."""

    def context(self, trust: TlsTrust, host: str) -> SSL.Context:
        protocol = TLSMemoryBIOProtocol(None, Protocol())
        return trust.forHost(host).clientConnectionForTLS(protocol).get_context()

    def test_shared(self) -> None:
        """All connections to all hosts share what is costly."""
        for make in (
            lambda: TlsTrust(),
            lambda: TlsTrust(insecure=True),
            lambda root=platformTrust(): TlsTrust(root),
        ):
            self.assertIs(self.context(make(), "a.test"), self.context(make(), "b.test"))

    def test_apart(self) -> None:
        """What is trusted differently shares nothing."""
        certificates = Certificates()
        self.addCleanup(certificates.remove)
        trusts = (TlsTrust(), TlsTrust(insecure=True), TlsTrust(certificates.caFile))
        self.assertEqual(len({self.context(trust, "a.test") for trust in trusts}), 3)

    def test_fromFile(self) -> None:
        """Those that name the same PEM file share it too."""
        certificates = Certificates()
        self.addCleanup(certificates.remove)
        one, two = TlsTrust(certificates.caFile), TlsTrust(certificates.caFile)
        self.assertIs(self.context(one, "a.test"), self.context(two, "a.test"))

    def test_serverName(self) -> None:
        """The server is told which host is meant (RFC 6066), unless that is an address."""
        for host, name in (("a.test", b"a.test"), ("bücher.test", b"xn--bcher-kva.test")):
            protocol = TLSMemoryBIOProtocol(None, Protocol())
            connection = TlsTrust().forHost(host).clientConnectionForTLS(protocol)
            self.assertEqual(connection.get_servername(), name)
        for host in ("127.0.0.1", "::1"):
            protocol = TLSMemoryBIOProtocol(None, Protocol())
            connection = TlsTrust().forHost(host).clientConnectionForTLS(protocol)
            self.assertIsNone(connection.get_servername())


class Resumption(NetworkCase):
    """Sessions that go on where an earlier connection is (RFC 8446 section 2.2)."""

    def wasResumed(self, connection: Any) -> bool:
        protocol = connection._driver._link._transport.transport
        return bool(SSL._lib.SSL_session_reused(protocol._tlsConnection._ssl))

    async def up(self, sandbox: Any, **settings: Any) -> Any:
        connection = self.connection(**{"trustRoot": sandbox.caFile, **settings})
        await connection.connect("any", RID, sandbox.url)
        return connection

    async def test_sameHost(self) -> None:
        """The second connection verifies nothing anew: it was verified."""
        sandbox = await self.sandbox(tls=True)
        verified: list[int] = []
        verify = tls._verify
        self.patch(tls, "_verify", lambda *args: (verified.append(1), verify(*args))[1])
        await self.up(sandbox)
        self.assertTrue(verified)
        del verified[:]
        for _ in range(3):
            self.assertTrue(self.wasResumed(await self.up(sandbox)))
        self.assertEqual(verified, [])

    async def test_otherTrust(self) -> None:
        """What another trust root, another name or insecure=True began is never offered."""
        sandbox = await self.sandbox(tls=True)
        await self.up(sandbox, trustRoot=None, insecure=True)
        self.assertFalse(self.wasResumed(await self.up(sandbox)))
        other = await self.sandbox(tls=True)
        with self.assertRaises(CertificateRefused):
            await self.up(sandbox, trustRoot=other.caFile)
        # By another name of the same server.
        connection = self.connection(trustRoot=sandbox.caFile)
        await connection.connect("any", RID, sandbox.url.replace("127.0.0.1", "localhost"))
        sessions = tls_resumption._hosts[
            tls._verifying(connection._driver._settings.trust._trustRoot, None)
        ]
        self.assertEqual(set(sessions), {"127.0.0.1", "localhost"})

    async def test_unknownToTheServer(self) -> None:
        """A server that knows nothing of the session, for it was started anew, is verified anew."""
        sandbox = await self.sandbox(tls=True)
        trusted = self.mktemp()
        shutil.copy(str(sandbox.caFile), trusted)
        connection = await self.up(sandbox, trustRoot=trusted)
        await connection.close()
        await sandbox.stop()
        port = int(sandbox.url.rpartition(":")[2])
        stranger = await self.sandbox(tls=True, port=port)
        with self.assertRaises(CertificateRefused):
            await self.up(stranger, trustRoot=trusted)

    def test_books(self) -> None:
        """Bounded: hosts, connections of a host, and how often one is asked."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        connections = []
        for number in range(100):
            connection = SSL.Connection(context, None)
            connections.append(connection)
            tls_resumption.resume(context, f"host-{number}", connection)
        self.assertEqual(len(tls_resumption._hosts[context]), 64)
        host = tls_resumption._Host()
        for connection in connections:
            host.began(connection)
        self.assertEqual(len(host._recent), 8)
        self.assertIsNone(host.session())

        class Finished:
            def get_peer_finished(self) -> bytes:
                return b"finished"

            def get_session(self) -> str:
                return "a session"

        finished = Finished()
        host._recent.appendleft(weakref.ref(finished))  # type: ignore[arg-type]
        for _ in range(256):
            self.assertEqual(host.session(), "a session")
        self.assertEqual(len(host._recent), 9)
        self.assertEqual(host.session(), "a session")
        self.assertEqual(len(host._recent), 8)
