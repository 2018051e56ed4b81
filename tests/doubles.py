"""
Doubles that implement the interfaces, for tests with a clock and no network.

The peer is the sandbox's own server session, which is without I/O as well: what
a double transport is given, it answers in a later turn of the clock.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from iris_twisted.connection.connection import IrisRtcConnection
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import PeerClosed
from iris_twisted.interfaces import (
    IEventManager,
    IIrisListener,
    IMessageReceiver,
    IMessageTransport,
    IRetryPolicy,
    ITransportProvider,
)
from iris_twisted.net.steady_time import steadyTime
from iris_twisted.sandbox.platform import Platform
from iris_twisted.sandbox.rtc_session import RtcSession
from iris_twisted.transport.destination import Destination, Scheme
from iris_twisted.xmpp.elements import Element

TOKEN = "iris-token-CANARY"
RID = "alice@example.test"
URL = "https://evm.example.test"


def jwt(claims: dict[str, Any]) -> str:
    """A token with these claims, unsigned."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@implementer(IIrisListener)
class Recorder:
    """Writes down every callback; C{react} may be given what to do on one."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.react: dict[str, Callable[..., Any]] = {}

    def _record(self, name: str, *args: Any) -> Any:
        self.calls.append((name, *args))
        reaction = self.react.get(name)
        return None if reaction is None else reaction(*args)

    def names(self, events: bool = False) -> list[str]:
        """The callbacks so far, by name."""
        return [call[0] for call in self.calls if events or call[0] != "onEvent"]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of one callback."""
        return [call[1:] for call in self.calls if call[0] == name]

    def states(self) -> list[str]:
        """The states of the events so far."""
        return [event["state"] for (event,) in self.of("onEvent")]

    def onConnected(self) -> Any:
        return self._record("onConnected")

    def onConnectionError(self, errorCode: int, errorMessage: str) -> Any:
        return self._record("onConnectionError", errorCode, errorMessage)

    def onDisconnected(self) -> Any:
        return self._record("onDisconnected")

    def onReconnecting(self) -> Any:
        return self._record("onReconnecting")

    def onNotification(self, notificationInfo: dict[str, Any]) -> Any:
        return self._record("onNotification", notificationInfo)

    def onEvent(self, event: dict[str, Any]) -> Any:
        return self._record("onEvent", event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> Any:
        return self._record("onTokenAboutToExpire", secondsLeft)


class DriftingClock(Clock):
    """A clock whose wall time can be set while its true time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._true = 0.0

    def monotonicSeconds(self) -> float:
        return self._true

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        # As the real ones do.
        assert delay >= 0, f"{delay} seconds from now"
        return super().callLater(delay, callable, *args, **kw)

    def advance(self, amount: float) -> None:
        self._true += amount
        super().advance(amount)

    def isBusy(self, seconds: float) -> None:
        """So much time passes, in which nobody gets a turn."""
        self._true += seconds
        self.rightNow += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, which the watching thread would notice within a second."""
        self.rightNow += seconds
        steadyTime(self).wallWasSet()


@implementer(IRetryPolicy)
class FixedDelay:
    """Always the same wait."""

    def __init__(self, seconds: float | None = 1.0) -> None:
        self.seconds = seconds
        self.attempts: list[int] = []

    def delay(self, attempt: int) -> float | None:
        self.attempts.append(attempt)
        return self.seconds


@implementer(IEventManager)
class Discovery:
    """
    Answers with C{outcomes}, one after the other, then with the good answer.

    @ivar tokens: the iris tokens that it was asked with.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.outcomes: list[Any] = []
        self.tokens: list[str] = []
        self.traceIds: list[str] = []
        self.cancelled = 0

    def good(self, routingId: str = RID) -> ServerInfo:
        token = self._platform.websocketToken(routingId)
        return ServerInfo("rtc.example.test", token, "1700000000")

    def discover(self, irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        self.tokens.append(irisToken)
        self.traceIds.append(traceId)
        outcome = self.outcomes.pop(0) if self.outcomes else self.good(routingId)
        if isinstance(outcome, Deferred):
            return outcome
        if isinstance(outcome, Exception):
            return fail(outcome)
        return succeed(outcome)

    def hanging(self) -> Deferred[ServerInfo]:
        """An outcome that never comes."""

        def cancel(_: object) -> None:
            self.cancelled += 1

        return Deferred(cancel)


@implementer(IMessageTransport)
class MemoryTransport:
    """
    A transport whose peer is a session of the sandbox.

    @ivar polite: whether it joins in a close, which is seen only when it is read.
    @ivar silent: whether it says nothing.
    @ivar together: what it says in one message with the IQ that it says next.
    """

    def __init__(self, world: World, destination: Destination, receiver: IMessageReceiver) -> None:
        self.destination = destination
        self.receiver = receiver
        self.bytesReceived = 0
        self.sent: list[bytes] = []
        self.open = True
        self.opened: Deferred[IMessageTransport] = Deferred(lambda _: self.abort())
        self.wasOpen = False
        self.closing = False
        self.paused = False
        self.polite = True
        self.silent = False
        self.together: list[bytes] = []
        self._closeUnread = False
        self._world = world
        self._inbox: list[bytes] = []
        path = destination.path.split("/")
        self.id = f"session-{len(world.transports)}"
        self.jid = ""
        self.routingId = path[3] if len(path) > 3 else RID
        self.dialect = ""
        self._session = RtcSession(world.platform, self, self.routingId, path[-1])

    # The client's side

    def send(self, message: bytes) -> None:
        if self.open and not self.closing:
            self.sent.append(message)
            self._world.clock.callLater(0, self._answer, message)

    def close(self) -> None:
        if self.open and not self.closing:
            self.closing = True
            if self.polite:
                self._world.clock.callLater(0, self._closed)

    def abort(self) -> None:
        self._world.clock.callLater(0, self.lose)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._world.clock.callLater(0, self._drain)

    # The server's side

    def deliver(self, stanza: Element) -> None:
        self._session.send(stanza)
        self._world.clock.callLater(0, self._flush)

    def goAway(self) -> None:
        self._session.close()
        self._world.clock.callLater(0, self._flush)

    def say(self, message: bytes) -> None:
        """Let the client receive a message, at once."""
        if not self.wasOpen:
            return
        self._inbox.append(message)
        self._drain()

    def lose(self, error: Exception | None = None) -> None:
        """The socket is gone."""
        if not self.open:
            return
        self.open = False
        self._world.platform.left(self, self._session.lost())
        error = error or PeerClosed("the socket was closed")
        if self.wasOpen:
            self.receiver.transportLost(error)
        elif not self.opened.called:
            self.opened.errback(error)

    def _closed(self) -> None:
        self._closeUnread = self.paused
        if not self.paused:
            self.lose()

    def _answer(self, message: bytes) -> None:
        if self.open:
            self._session.receive(message)
            self._flush()

    def _flush(self) -> None:
        messages, self._session.outgoing = self._session.outgoing, []
        if self.silent:
            return
        for message in messages:
            if self.together and message.startswith(b"<iq"):
                message += b"".join(self.together)
                self.together.clear()
            self.say(message)
        if self._session.ended:
            self.lose()

    def _drain(self) -> None:
        while self._inbox and self.open and not self.paused:
            message = self._inbox.pop(0)
            self.bytesReceived += len(message)
            self.receiver.messageReceived(message)
            self._world.afterEachMessage()
        if self._closeUnread and not self.paused:
            self.lose()


@implementer(IPlugin, ITransportProvider)
class MemoryTransports:
    """
    Opens L{MemoryTransport}s, or answers with C{outcomes} first.
    """

    schemes = (Scheme("wss", True, 443), Scheme("ws", False, 80))
    dialects = ("stream", "framed")

    def __init__(self, world: World) -> None:
        self._world = world
        self.outcomes: list[Any] = []

    def open(
        self, destination: Destination, receiver: IMessageReceiver, *_: Any
    ) -> Deferred[IMessageTransport]:
        self._world.destinations.append(destination)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Deferred):
            return outcome
        if isinstance(outcome, Exception):
            return fail(outcome)
        transport = MemoryTransport(self._world, destination, receiver)
        self._world.transports.append(transport)
        self._world.clock.callLater(0, self._opened, transport)
        return transport.opened

    @staticmethod
    def _opened(transport: MemoryTransport) -> None:
        if not transport.opened.called:
            transport.wasOpen = True
            transport.opened.callback(transport)


class World:
    """A connection with its clock, its doubles, and a platform to talk to."""

    def __init__(self, clock: Clock | None = None, **settings: Any) -> None:
        self.clock = Clock() if clock is None else clock
        self.clock.advance(1_700_000_000)
        self.platform = Platform(self.clock.seconds)
        self.transports: list[MemoryTransport] = []
        self.destinations: list[Destination] = []
        self.discovery = Discovery(self.platform)
        self.provider = MemoryTransports(self)
        self.policy = FixedDelay()
        self.recorder = Recorder()
        self.connection = IrisRtcConnection(
            self.clock,
            **{
                "listener": self.recorder,
                "discovery": self.discovery,
                "transport": self.provider,
                "retryPolicy": self.policy,
                "trustRoot": _TRUST,
                **settings,
            },
        )
        self.afterEachMessage: Callable[[], object] = lambda: None

    @property
    def transport(self) -> MemoryTransport:
        """The newest transport."""
        return self.transports[-1]

    def settle(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(200):
            due = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
            if not due:
                return
            self.clock.advance(0)
        raise AssertionError("it does not settle")

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, in steps, settling in between."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() + step < end:
            self.clock.advance(step)
            self.settle()
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        self.settle()

    def connect(self, token: Any = TOKEN, routingId: Any = RID, url: Any = URL) -> list[Any]:
        """Call connect(); the list gets its outcome."""
        outcome: list[Any] = []
        self.connection.connect(token, routingId, url).addBoth(
            lambda r: outcome.append(r.value if isinstance(r, Failure) else r)
        )
        return outcome

    def up(self) -> World:
        """Connect, and come up."""
        outcome = self.connect()
        self.settle()
        assert outcome == [self.connection], outcome
        return self

    def close(self) -> list[Any]:
        """Call close(); the list gets its outcome."""
        outcome: list[Any] = []
        self.connection.close().addBoth(outcome.append)
        return outcome

    def notify(self, count: int = 1) -> None:
        """Ring the client, so many times."""
        for _ in range(count):
            self.platform.placeCall(RID)
        self.settle()

    def leftovers(self) -> list[Any]:
        """What should not be there when everything is over."""
        timers = self.clock.getDelayedCalls()
        return [*timers, *(t for t in self.transports if t.open)]


def _makeTrust() -> Any:
    from twisted.internet.ssl import trustRootFromCertificates

    return trustRootFromCertificates([])


_TRUST = _makeTrust()
