"""
A TCP proxy that spoils what passes through it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Fault", "Proxy"]

UP, DOWN = "up", "down"


@attrs.define
class Fault:
    """
    What happens to the bytes of all connections from now on, counted together.

    @ivar cutAfter: how many bytes of C{direction} pass before C{how} happens.
    @ivar how: C{reset}, C{half-close} or C{blackhole}.
    @ivar slices: whether each byte travels alone.
    @ivar delay: seconds by which everything comes later.
    """

    direction: str = DOWN
    cutAfter: int | None = None
    how: str = "reset"
    slices: bool = False
    delay: float = 0.0
    passed: dict[str, int] = attrs.field(factory=lambda: {UP: 0, DOWN: 0})
    happened: bool = False


class _Side(Protocol):
    """One end of a connection through the proxy."""

    def __init__(self, proxy: Proxy, direction: str) -> None:
        self.proxy = proxy
        self.direction = direction
        self.other: _Side | None = None
        self.waiting: list[bytes] = []
        self.lost = False
        self.late: deque[bytes] = deque()
        self.ticking: Any = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.proxy.sides.add(self)

    def join(self, other: _Side) -> None:
        self.other = other
        for data in self.waiting:
            self.proxy.passOn(self, data)
        self.waiting = []
        if self.lost:
            other.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self.waiting.append(data)
        else:
            self.proxy.passOn(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self.other is not None and not self.other.lost and not self.late:
            self.other.transport.loseConnection()
        # What still comes to us has nowhere to go.
        if self.other is not None:
            self.other.late.clear()
            if self.other.ticking is not None:
                self.other.ticking.cancel()
                self.other.ticking = None
        self.proxy.gone(self)


class Proxy:
    """
    @ivar port: where it listens.
    @ivar fault: what it does to what passes.
    """

    def __init__(self, reactor: Any, target: int) -> None:
        self.sides: set[_Side] = set()
        self.fault = Fault()
        self.port = 0
        self._reactor = reactor
        self._target = target
        self._listening: Any = None
        self._empty: Deferred[None] | None = None

    async def start(self, port: int = 0) -> Proxy:
        """Listen on this port of loopback, or on a free one."""

        proxy = self

        class Accepting(Factory):
            noisy = False

            def buildProtocol(self, _: object) -> _Side:
                side = _Side(proxy, UP)
                proxy._connect(side)
                return side

        endpoint = TCP4ServerEndpoint(self._reactor, port, interface="127.0.0.1")
        self._listening = await endpoint.listen(Accepting())
        self.port = self._listening.getHost().port
        return self

    async def stop(self) -> None:
        """Close everything."""
        await maybeDeferred(self._listening.stopListening)
        if self.sides:
            self._empty = Deferred()
            self.cut()
            await self._empty

    def cut(self) -> None:
        """Cut every connection."""
        for side in list(self.sides):
            side.transport.abortConnection()

    def _connect(self, client: _Side) -> None:
        factory = Factory.forProtocol(lambda: _Side(self, DOWN))
        factory.noisy = False
        connecting = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._target).connect(factory)

        def connected(server: _Side) -> None:
            server.join(client)
            client.join(server)

        connecting.addCallbacks(connected, lambda _: client.transport.abortConnection())

    def gone(self, side: _Side) -> None:
        """A side is closed."""
        self.sides.discard(side)
        if not self.sides and self._empty is not None:
            done, self._empty = self._empty, None
            done.callback(None)

    def passOn(self, side: _Side, data: bytes) -> None:
        """Data came from one side: spoil it, and let the other have it."""
        fault = self.fault
        if fault.happened and fault.how == "blackhole":
            return
        if side.other is not None and side.other.transport.disconnecting:
            # Something before it was cut off: TCP leaves no gap.
            return
        if fault.direction == side.direction and fault.cutAfter is not None and not fault.happened:
            room = fault.cutAfter - fault.passed[side.direction]
            if len(data) > room:
                fault.happened = True
                self._deliver(side, data[:room])
                self._spoil(side)
                return
        fault.passed[side.direction] += len(data)
        self._deliver(side, data)

    def _deliver(self, side: _Side, data: bytes) -> None:
        other = side.other
        assert other is not None
        if not data:
            return
        pieces = [data[n : n + 1] for n in range(len(data))] if self.fault.slices else [data]
        # What is late already stays before it, whatever happens from now on.
        if self.fault.slices or self.fault.delay or side.late:
            side.late.extend(pieces)
            if side.ticking is None:
                side.ticking = self._reactor.callLater(self.fault.delay, self._tick, side)
        else:
            other.transport.write(data)

    def _tick(self, side: _Side) -> None:
        """Let one late piece through."""
        side.ticking = None
        if side.other is not None and not side.other.lost:
            side.other.transport.write(side.late.popleft())
            if side.lost and not side.late:
                side.other.transport.loseConnection()
            elif side.late:
                side.ticking = self._reactor.callLater(0, self._tick, side)

    def _spoil(self, side: _Side) -> None:
        assert side.other is not None
        if self.fault.how == "half-close":
            # What has passed arrives, then the end.
            side.other.transport.loseConnection()
        elif self.fault.how == "reset":
            for end in (side.other, side):
                end.transport.abortConnection()
