"""
HTTP proxies: which one is chosen, how a tunnel is opened, and what a broken one does.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from iris_twisted.connection.settings import Settings
from iris_twisted.errors import ConnectionFailed, IncorrectParameters
from iris_twisted.net.proxies import Proxies, Proxy
from iris_twisted.net.tunnel import TunnelEndpoint, _Tunnel

from ..network import RID, NetworkCase
from ..peers import ConnectProxy


class Choosing(SynchronousTestCase):
    """Which proxy is between here and a host."""

    def test_parse(self) -> None:
        """The usual forms; the password is percent-decoded, and shown nowhere."""
        for url, host, port, secure in (
            ("http://proxy.test:8080", "proxy.test", 8080, False),
            ("proxy.test", "proxy.test", 3128, False),
            ("proxy.test:81/", "proxy.test", 81, False),
            ("https://proxy.test", "proxy.test", 443, True),
            ("http://[::1]:1", "::1", 1, False),
        ):
            self.assertEqual(Proxy.parse(url), Proxy(host, port, secure))
        proxy = Proxy.parse("http://me:p%40ss-CANARY@proxy.test")
        self.assertEqual(proxy.authorization, "Basic bWU6cEBzcy1DQU5BUlk=")
        self.assertNotIn("bWU6", repr(proxy))
        self.assertEqual(Proxy.parse("http://[::1]:1").name, "http://[::1]:1")
        self.assertEqual(Proxy.parse("https://x").name, "https://x:443")

    def test_unusable(self) -> None:
        """What is none is refused, and the URL is not repeated."""
        for url in (
            "socks5://CANARY.test",
            "http://",
            "http://CANARY.test:x",
            "http://CANARY.test/path",
            "http://CANARY.test?q",
            "http://CANARY .test",
            "http://[CANARY",
            7,
        ):
            for make in (Proxy.parse, lambda url: Settings(proxy=url)):
                with self.assertRaises(IncorrectParameters, msg=repr(url)) as caught:
                    make(url)
                self.assertIn("proxy", caught.exception.message)
                self.assertNotIn("CANARY", caught.exception.message)

    def test_environment(self) -> None:
        """The usual variables, in their usual sense."""
        self.patch(
            os,
            "environ",
            {"HTTPS_PROXY": "http://s.test", "all_proxy": "http://a.test", "no_proxy": ".in.test"},
        )
        proxies = Proxies.ofEnvironment()
        self.assertEqual(proxies.choose("evm.test", True), Proxy("s.test", 3128))
        self.assertEqual(proxies.choose("evm.test", False), Proxy("a.test", 3128))
        self.assertIsNone(proxies.choose("evm.in.test", True))
        self.assertIsNone(proxies.choose("127.0.0.1", True))
        self.patch(os, "environ", {"https_proxy": "ftp://CANARY"})
        with self.assertRaises(IncorrectParameters) as caught:
            Proxies.ofEnvironment()
        self.assertIn("https_proxy", caught.exception.message)
        self.patch(os, "environ", {})
        self.assertIsNone(Proxies.ofEnvironment().choose("evm.test", True))

    def test_loopback(self) -> None:
        """What stays on this machine is not sent to another."""
        self.assertIsNone(Proxies("http://proxy.test").choose("localhost", False))
        self.assertIsNotNone(Proxies("http://localhost:1").choose("127.0.0.1", False))


class Tunnels(SynchronousTestCase):
    """The handshake, byte by byte."""

    def tunnel(self, proxy: str = "http://u:p@proxy.test") -> tuple[Any, StringTransport, Any]:
        got: list[bytes] = []

        class Inner(Protocol):
            def dataReceived(self, data: bytes) -> None:
                got.append(data)

        factory = Factory.forProtocol(Inner)
        tunnel = _Tunnel(Proxy.parse(proxy), "evm.test:443", factory)
        transport = StringTransport()
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]
        tunnel.makeConnection(transport)
        return tunnel, transport, got

    def test_request(self) -> None:
        """CONNECT with the authority, and the credentials for the proxy alone."""
        _, transport, _ = self.tunnel()
        self.assertEqual(
            transport.value(),
            b"CONNECT evm.test:443 HTTP/1.1\r\nHost: evm.test:443\r\n"
            b"Proxy-Authorization: Basic dTpw\r\n\r\n",
        )
        endpoint = TunnelEndpoint(Proxy("p", 1), None, "::1", 443)  # type: ignore[arg-type]
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        self.assertEqual(endpoint._target, "[::1]:443")

    @given(st.lists(st.integers(1, 60), max_size=4))
    def test_cut(self, cuts: list[int]) -> None:
        """However the answer is cut, what follows it is the tunnel's."""
        stream = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello"
        tunnel, _, got = self.tunnel()
        places = sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
        for start, end in itertools.pairwise(places):
            tunnel.dataReceived(stream[start:end])
        self.assertEqual(b"".join(got), b"hello")
        self.successResultOf(tunnel.opened)
        tunnel.dataReceived(b" again")
        self.assertEqual(b"".join(got), b"hello again")
        tunnel.connectionLost()

    def test_refusals(self) -> None:
        """Each refusal says what the proxy wanted."""
        for answer, words in (
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "a user and a password"),
            (b"HTTP/1.0 403 Forbidden\r\n\r\n", "refused to connect to evm.test:443 (403)"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer as an HTTP proxy does"),
            (b"HTTP/1.1 \xff\xfe\r\n\r\n", "does not answer as an HTTP proxy does"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "endless headers"),
        ):
            tunnel, transport, got = self.tunnel()
            tunnel.dataReceived(answer)
            tunnel.dataReceived(b"more")
            tunnel.connectionLost()
            error = self.failureResultOf(tunnel.opened, ConnectionFailed).value
            self.assertIn(words, error.message)
            self.assertIn("proxy.test:3128", error.message)
            self.assertTrue(transport.disconnecting)
            self.assertEqual(got, [])
        tunnel, _, _ = self.tunnel()
        tunnel.connectionLost()
        self.failureResultOf(tunnel.opened, ConnectionFailed)

    def test_cancelled(self) -> None:
        """A connect that is cancelled leaves nothing open, at either step."""
        memory = MemoryReactorClock()
        way = HostnameEndpoint(memory, "127.0.0.1", 1)
        endpoint = TunnelEndpoint(Proxy("p", 1), way, "evm.test", 443)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        tunnel, transport, _ = self.tunnel()
        tunnel.opened.addErrback(lambda failure: failure.trap(CancelledError) and None)
        tunnel.opened.cancel()
        self.assertTrue(transport.disconnecting)

    def test_factoryThatDeclines(self) -> None:
        """A factory that builds nothing ends the connection."""

        class Declining(Factory):
            def buildProtocol(self, _: object) -> None:
                return None

        tunnel = _Tunnel(Proxy("p", 1), "x:1", Declining())
        transport = StringTransport()
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]
        tunnel.makeConnection(transport)
        tunnel.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        self.failureResultOf(tunnel.opened, CancelledError)


class Through(NetworkCase):
    """Discovery and websocket through a proxy over real sockets."""

    async def proxy(self, **options: Any) -> ConnectProxy:
        proxy = await ConnectProxy.start(reactor, **options)
        self.addCleanup(proxy.stop)
        return proxy

    async def test_everything(self) -> None:
        """Both go through it, plain and TLS, and a call arrives; the name is not looked up here."""
        for tls in (False, True):
            sandbox = await self.sandbox(tls=tls)
            proxy = await self.proxy(user="me:pass-CANARY")
            connection = self.connection(
                proxy=proxy.url("me:pass-CANARY"), trustRoot=sandbox.caFile
            )
            url = sandbox.url.replace("127.0.0.1", "localhost")
            await connection.connect(sandbox.token(RID), RID, url)
            rang = self.next("onNotification")
            sandbox.placeCall(RID)
            await rang
            port = sandbox.url.rpartition(":")[2]
            self.assertEqual(proxy.asked, [f"localhost:{port}"] * 2)
            await connection.close()

    async def test_failures(self) -> None:
        """What is wrong with the proxy is said of the proxy."""
        sandbox = await self.sandbox()
        proxy = await self.proxy(user="me:pass-CANARY")
        for url, words in (
            (proxy.url("me:wrong-CANARY"), "wants a user and a password"),
            (proxy.url(), "wants a user and a password"),
            ("http://127.0.0.1:1", "the proxy http://127.0.0.1:1 refused the connection"),
            (sandbox.url, "refused to connect"),
            (proxy.url().replace("http", "https"), "closed the connection"),
        ):
            connection = self.connection(proxy=url)
            with self.assertRaises(ConnectionFailed) as caught:
                await connection.connect(sandbox.token(RID), RID, sandbox.url)
            self.assertIn(words, caught.exception.message)
            self.assertEqual(sandbox.discoveries, [])

    async def test_silent(self) -> None:
        """A proxy that says nothing ends with the attempt, and leaves nothing open."""
        sandbox = await self.sandbox()
        proxy = await self.proxy(silent=True)
        connection = self.connection(proxy=proxy.url())
        outcome: Deferred[Any] = connection.connect(sandbox.token(RID), RID, sandbox.url)
        caught: list[Failure] = []
        outcome.addErrback(caught.append)
        await self.until(lambda: proxy.asked)
        await connection.close()
        self.assertEqual(len(caught), 1)
        await self.until(lambda: not proxy.open)


class Unused(SynchronousTestCase):
    """Without a proxy nothing of this takes part."""

    def test_none(self) -> None:
        """No proxy is the default, whatever the environment says."""
        self.patch(os, "environ", {"https_proxy": "http://proxy.test"})
        self.assertIsNone(Settings().proxies.choose("evm.test", True))
        self.assertEqual(Clock().getDelayedCalls(), [])
