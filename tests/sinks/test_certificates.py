"""
Certificates that somebody does not accept, found before the first call, whatever the sink.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.internet.threads import deferToThread

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters, NotTaken, SinkRefused
from iris_twisted.net import greeting
from iris_twisted.net.client_certificate import certificateOf
from iris_twisted.sinks import SinkContext, checkSinks, makeSink, testing

from ..network import RID, NetworkCase
from ..peers import ConnectProxy, WebServer
from ..processes import startTwist


class Certificates(NetworkCase):
    """A server is one for all of them: what follows on the handshake, none of them comes to."""

    timeout = 60
    record = staticmethod(testing.SinkConformance.record)

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.theirs, self.ours, self.other = (trustme.CA() for _ in range(3))
        self.caFile = self.path("ca.pem", self.theirs.cert_pem)
        self.otherCaFile = self.path("other-ca.pem", self.other.cert_pem)
        self.password = self.folder / "password"
        self.password.write_text("password-CANARY\n")

    def path(self, name: str, content: Any) -> str:
        content.write_to_path(str(self.folder / name))
        return str(self.folder / name)

    def certificate(self, ca: trustme.CA | None) -> str | None:
        """The file of a certificate of ours, of that CA."""
        if ca is None:
            return None
        return self.path("mine.pem", ca.issue_cert("iris.test").private_key_and_cert_chain_pem)

    async def server(self, *, asks: bool = False, version: Any = TLSVersion.TLSv1_3) -> WebServer:
        """One of the name 127.0.0.1, and no other."""
        issued = self.theirs.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        server: Any = PrivateCertificate.loadPEM(issued)
        ca = Certificate.loadPEM(self.ours.cert_pem.bytes())
        options = CertificateOptions(
            privateKey=server.privateKey.original,
            certificate=server.original,
            trustRoot=trustRootFromCertificates([ca]) if asks else None,
            lowerMaximumSecurityTo=version,
        )
        peer = await WebServer.start(reactor, options)
        self.addCleanup(peer.stop)
        return peer

    def sinks(
        self, server: WebServer, caFile: str, mine: str | None = None, host: str = "127.0.0.1"
    ) -> list[Any]:
        """One of each kind; its names begin with what stands before the colon."""
        place = f"{host}:{server.url.split(':')[2].split('/')[0]}"
        settings = "security.protocol=ssl\n"
        ours = ""
        if mine is not None:
            settings += f"ssl.certificate.location={mine}\nssl.key.location={mine}\n"
            ours = f"&certificate-file={mine}"
        config = self.folder / "kafka.conf"
        config.write_text(settings)
        password = f"password-file={self.password}"
        context = SinkContext(
            reactor=reactor,
            write=lambda line: None,
            settings=Settings(trustRoot=caFile),
            webhookTimeout=5.0,
            webhookCertificate=certificateOf("it", mine, None),
        )
        specs = (
            f"webhook:https://{place}/token-CANARY",
            f"amqp:amqps://guest@{place}/?exchange=calls&{password}{ours}",
            f"redis:rediss://{place}/calls?{password}{ours}",
            f"kafka:{place}/calls?config={config}&timeout=1",
        )
        found = [makeSink(spec, context) for spec in specs]
        for sink in found:
            self.addCleanup(sink.stop)
        return found

    async def refused(self, sinks: list[Any], words: str, kafkas: str) -> None:
        """All say so when they are asked, and a call waits until somebody has mended it."""
        for sink in sinks:
            with self.assertRaises(IncorrectParameters, msg=sink.name) as caught:
                await sink.check()
            message = caught.exception.message
            self.assertIn(sink.name.partition(":")[2], message)
            self.assertIn(kafkas if sink.name.startswith("kafka") else words, message)
            self.assertNotIn("CANARY", message)
            with self.assertRaises(NotTaken) as late:
                await sink.take(self.record())
            self.assertNotIsInstance(late.exception, SinkRefused)
        with self.assertRaises(IncorrectParameters):
            await checkSinks(sinks[:1])

    async def test_theirs(self) -> None:
        """One of a CA that nobody knows here, or for another name."""
        server = await self.server()
        for caFile, host, words in (
            (self.otherCaFile, "127.0.0.1", "a certificate that cannot be verified"),
            (self.caFile, "localhost", "a certificate for another host name"),
        ):
            sinks = self.sinks(server, caFile, host=host)
            await self.refused(sinks, words, "certificate verify failed")
        self.assertEqual(server.received, [])

    async def test_ours(self) -> None:
        """One is asked for that we have not, or is of a CA that nobody knows there."""
        for version, ca, words, kafkas in (
            (TLSVersion.TLSv1_3, None, "wants a certificate of ours", "alert certificate required"),
            (TLSVersion.TLSv1_2, None, "does it want a certificate of ours?", "alert handshake"),
            (TLSVersion.TLSv1_3, self.other, "wants a certificate of ours", "alert unknown ca"),
            (TLSVersion.TLSv1_2, self.other, "wants a certificate of ours", "alert unknown ca"),
        ):
            server = await self.server(asks=True, version=version)
            sinks = self.sinks(server, self.caFile, self.certificate(ca))
            await self.refused(sinks, words, kafkas)
            self.assertEqual(server.received, [])

    async def test_accepted(self) -> None:
        """Where both sides accept each other's, a webhook is asked nothing more at the start."""
        for asks in (False, True):
            for version in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3):
                server = await self.server(asks=asks, version=version)
                mine = self.certificate(self.ours if asks else None)
                webhook = self.sinks(server, self.caFile, mine)[0]
                await webhook.check()
                self.assertEqual(server.received, [])
                await webhook.take(self.record())
                self.assertEqual(len(server.received), 1)

    async def test_byProxy(self) -> None:
        """It is asked by the way that its calls take."""
        server = await self.server()
        proxy = await ConnectProxy.start(reactor)
        self.addCleanup(proxy.stop)
        for caFile, kind in ((self.caFile, None), (self.otherCaFile, IncorrectParameters)):
            settings = Settings(trustRoot=caFile, proxy=proxy.url())
            context = SinkContext(reactor=reactor, write=lambda line: None, settings=settings)
            sink: Any = makeSink(f"webhook:{server.url}", context)
            self.addCleanup(sink.stop)
            asking = sink.check()
            if kind is None:
                await asking
            else:
                with self.assertRaises(kind):
                    await asking
        self.assertEqual(len(proxy.asked), 2)

    async def test_closesLate(self) -> None:
        """One that accepts, and does not answer that we close, is right, and is left."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.theirs.issue_cert("127.0.0.1").configure_cert(context)
        self.patch(greeting, "_CLOSING", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def accept() -> ssl.SSLSocket:
                return context.wrap_socket(listening.accept()[0], server_side=True)

            accepting = deferToThread(accept)
            server = WebServer()
            server.url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            await self.sinks(server, self.caFile)[0].check()
            (await accepting).close()

    async def test_away(self) -> None:
        """Nobody, or one that says nothing, is no mistake; stopping ends what is being asked."""
        silent: list[Any] = []

        class Nobody(Protocol):
            def connectionMade(self) -> None:
                silent.append(self.transport)

        factory = Factory.forProtocol(Nobody)
        factory.noisy = False
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        url = f"webhook:https://127.0.0.1:{port.getHost().port}/"

        def made(timeout: float) -> Any:
            sink: Any = makeSink(
                url, SinkContext(reactor=reactor, write=lambda _: None, webhookTimeout=timeout)
            )
            self.addCleanup(sink.stop)
            return sink

        with self.assertRaises(NotTaken) as caught:
            await made(0.2).check()
        self.assertIn("did not answer within 0.2 seconds", caught.exception.message)
        silent.clear()
        sink = made(60)
        asking = sink.check()
        await self.until(lambda: silent)
        await sink.stop()
        with self.assertRaises(CancelledError):
            await asking
        await self.until(lambda: not any(transport.connected for transport in silent))
        await port.stopListening()
        with self.assertRaises(NotTaken) as caught:
            await made(5).check()
        self.assertIn("refused the connection", caught.exception.message)

    async def test_daemon(self) -> None:
        """twist iris ends at its start, with one sentence."""
        server, sandbox = await self.server(), await self.sandbox()
        program = startTwist(
            self,
            *("iris", "--event-manager", sandbox.url, "--routing-id", RID),
            *("--sink", f"webhook:{server.url}"),
            env={"IRIS_TOKEN": sandbox.token(RID)},
        )
        self.assertEqual(await program.ended, 69)
        self.assertIn("shows a certificate that cannot be verified", program.stderr)
        self.assertEqual(program.stderr.count("\n"), 1, program.stderr)
