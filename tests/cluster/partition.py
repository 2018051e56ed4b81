"""
A cable between a member and its PostgreSQL that can be cut: nothing comes through then, and
nobody is told.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

__all__ = ["Cable"]

_SOCKET = ".s.PGSQL.5432"


class _End(Protocol):
    """One end; what comes goes out at the other."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self.other: _End | None = None
        self._held: list[bytes] = []
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._cable.ends.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._held.append(data)
        self.flush()

    def flush(self) -> None:
        if self.other is not None and not self._cable.isCut:
            for data in self._held:
                self.other.transport.write(data)
            self._held.clear()

    def connectionLost(self, reason: object) -> None:
        self._cable.ends.remove(self)
        self.gone.callback(None)
        if self.other is not None and not self._cable.isCut:
            self.other.transport.loseConnection()


class Cable(Factory):
    """
    @param folder: of the server's socket.
    @ivar folder: of the socket that leads there.
    """

    def __init__(self, case: TestCase, folder: Path) -> None:
        self._target = str(folder / _SOCKET)
        self.folder = tempfile.mkdtemp(prefix="iris-cable-")
        self.ends: list[_End] = []
        self.isCut = False
        self._port: Any = None
        case.addCleanup(self._remove)

    async def lay(self) -> None:
        """Let it be used."""
        endpoint = UNIXServerEndpoint(reactor, f"{self.folder}/{_SOCKET}")
        self._port = await endpoint.listen(self)

    def buildProtocol(self, address: object) -> _End:
        near = _End(self)
        far = _End(self)

        def connected(_: object) -> None:
            near.other, far.other = far, near
            near.flush()

        connecting = connectProtocol(UNIXClientEndpoint(reactor, self._target), far)
        connecting.addCallbacks(connected, lambda failure: near.transport.loseConnection())
        return near

    def cut(self) -> None:
        """Nothing comes through."""
        self.isCut = True

    def mend(self) -> None:
        """What was on the way arrives."""
        self.isCut = False
        for end in list(self.ends):
            end.flush()
            if end.other is not None and end.other not in self.ends:
                end.transport.loseConnection()

    async def _remove(self) -> None:
        if self._port is not None:
            await self._port.stopListening()
        ends = list(self.ends)
        for end in ends:
            end.transport.abortConnection()
        await gatherResults([end.gone for end in ends])
        Path(self.folder).rmdir()
