"""
A sandbox and connections over real sockets on loopback.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from typing import Any

import txaio
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import TestCase

from iris_twisted import IrisRtcConnection
from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import IrisError
from iris_twisted.sandbox import Sandbox, startSandbox
from iris_twisted.sandbox.platform import Platform

from .doubles import Recorder

RID = "alice@sandbox.test"


class NetworkCase(TestCase):
    """
    Real sockets; each test ends within its time-out, leaves nothing open, and has
    let no secret out: contract promise 14, watched over everything that is logged
    at any level, Autobahn's and treq's loggers included.
    """

    timeout = 30

    def setUp(self) -> None:
        # Each line is searched at once, for what was made lately: a secret leaks in its time.
        self.secrets: deque[str] = deque(maxlen=64)
        self.leaks: list[str] = []
        self.connections: list[IrisRtcConnection] = []
        self.recorders: dict[IrisRtcConnection, Recorder] = {}
        txaio.set_global_log_level("debug")
        self.addCleanup(txaio.set_global_log_level, "info")
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        for name in ("websocketToken", "token"):
            self.patch(Platform, name, self._remembering(getattr(Platform, name)))
        self.addCleanup(self._searched)

    def _remembering(self, make: Callable[..., str]) -> Callable[..., str]:
        def made(*args: Any) -> str:
            secret = make(*args)
            self.secrets.append(secret)
            # As SASL PLAIN would carry it.
            self.secrets.append(base64.b64encode(f"\0alice\0{secret}".encode()).decode()[8:])
            return secret

        return made

    def _search(self, line: str) -> None:
        if any(secret in line for secret in ("CANARY", "TURN-PASSWORD", *self.secrets)):
            self.leaks.append(line)

    def _observe(self, event: LogEvent) -> None:
        self._search(eventAsText(event, includeTraceback=True))
        self._search(repr({k: v for k, v in event.items() if k != "log_logger"}))

    def _searched(self) -> None:
        for connection in self.connections:
            for thing in (connection, connection.serverInfo, connection.stats):
                self._search(repr(thing))
            for call in self.recorders[connection].calls:
                # The notification itself carries its room token.
                text = repr(call)
                if call[0] != "onNotification" and "roomtoken" not in text:
                    self._search(text)
        self.assertEqual(self.leaks, [])

    async def sandbox(self, **options: Any) -> Sandbox:
        sandbox = await startSandbox(reactor, **options)
        ring = Platform.placeCall
        if not hasattr(ring, "remembers"):

            def remembering(*args: Any, **kw: Any) -> Any:
                call = ring(*args, **kw)
                self.secrets.append(call.info["roomtoken"])
                return call

            remembering.remembers = True  # type: ignore[attr-defined]
            self.patch(Platform, "placeCall", remembering)
        self.addCleanup(sandbox.stop)
        return sandbox

    def connection(self, **settings: Any) -> IrisRtcConnection:
        self.recorder = Recorder()
        connection = IrisRtcConnection(reactor, listener=self.recorder, **settings)
        self.connections.append(connection)
        self.recorders[connection] = self.recorder
        self.addCleanup(connection.close)
        return connection

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Let the reactor work until it is so, or the test's time-out ends it: for what a
        peer of its own will does, which has no callback to wait for.
        """
        while not condition():
            # Not in each turn: the peer, which may be a process, wants the processor too.
            await deferLater(reactor, 0.001)

    def next(self, name: str) -> Deferred[Any]:
        """Fires at the next callback of that name."""
        happened: Deferred[Any] = Deferred()

        def react(*args: Any) -> None:
            del self.recorder.react[name]
            happened.callback(args)

        self.recorder.react[name] = react
        return happened

    async def server(self, answer: Callable[[Protocol, bytes], None]) -> int:
        """A server that answers each piece of data; its port."""
        open: list[Protocol] = []

        class Answering(Protocol):
            def connectionMade(self) -> None:
                open.append(self)

            def dataReceived(self, data: bytes) -> None:
                answer(self, data)

            def connectionLost(self, reason: Any = None) -> None:
                open.remove(self)
                if not open and closing:
                    closing[0].callback(None)

        closing: list[Deferred[None]] = []
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(Answering)
        )

        async def stop() -> None:
            await port.stopListening()
            if open:
                closing.append(Deferred())
                for protocol in open:
                    protocol.transport.abortConnection()
                await closing[0]

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return int(port.getHost().port)

    async def refused(self, connection: IrisRtcConnection, token: str, url: str) -> IrisError:
        """The error that connect() fails with; it is told once, and nothing stays open."""
        try:
            await connection.connect(token, RID, url)
        except IrisError as e:
            self.assertEqual(self.recorder.of("onConnectionError"), [(e.code, e.message)])
            self.assertIs(connection.state, ConnectionState.DISCONNECTED)
            return e
        self.fail("it connected")
