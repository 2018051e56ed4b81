"""
A TCP proxy that spoils what passes through it.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
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
        self.due = 0.0

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
        self.proxy.gone(self)
        if self.other is not None and not self.other.lost:
            self.other.transport.loseConnection()


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
        self._late: list[Any] = []

    async def start(self) -> Proxy:
        """Listen on a free port of loopback."""

        proxy = self

        class Accepting(Factory):
            noisy = False

            def buildProtocol(self, _: object) -> _Side:
                side = _Side(proxy, UP)
                proxy._connect(side)
                return side

        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        self._listening = await endpoint.listen(Accepting())
        self.port = self._listening.getHost().port
        return self

    async def stop(self) -> None:
        """Close everything."""
        await self._listening.stopListening()
        for call in self._late:
            if call.active():
                call.cancel()
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
        for piece in pieces:
            if self.fault.slices or self.fault.delay:
                # One after the other, never one past another.
                now = self._reactor.seconds()
                side.due = max(now + self.fault.delay, side.due + 1e-5)
                self._late.append(
                    self._reactor.callLater(side.due - now, self._write, other, piece)
                )
            else:
                other.transport.write(piece)

    @staticmethod
    def _write(side: _Side, piece: bytes) -> None:
        if not side.lost:
            side.transport.write(piece)

    def _spoil(self, side: _Side) -> None:
        assert side.other is not None
        if self.fault.how == "half-close":
            # What has passed arrives, then the end.
            side.other.transport.loseConnection()
        elif self.fault.how == "reset":
            for end in (side.other, side):
                end.transport.abortConnection()
