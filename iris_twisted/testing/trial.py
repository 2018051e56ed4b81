"""
For trial: a sandbox and connections on the test's reactor, cleaned up after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ..connection import IrisRtcConnection
from ..sandbox import Sandbox, startSandbox

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase

    _Base = TestCase
else:
    _Base = object

__all__ = ["IrisTestMixin"]

_LOOK = 0.005


class IrisTestMixin(_Base):
    """
    For a C{twisted.trial.unittest.TestCase}: what it starts it ends, in its cleanups, in the
    right order, so that trial finds a clean reactor.

    @ivar irisReactor: whose sockets and timers are used; C{None} for trial's.
    """

    irisReactor: Any = None

    async def irisSandbox(self, **options: Any) -> Sandbox:
        """
        A sandbox of its own for this test.

        @param options: see L{startSandbox<iris_twisted.sandbox.startSandbox>}.
        """
        sandbox = await startSandbox(self._irisReactor(), **options)
        self.addCleanup(sandbox.stop)
        return sandbox

    async def irisConnection(
        self,
        sandbox: Sandbox,
        routingId: str = "alice@sandbox.test",
        *,
        irisToken: str | None = None,
        **keywords: Any,
    ) -> IrisRtcConnection:
        """
        A connection to the sandbox that is up, and is closed when the test ends.

        @param irisToken: C{None} for one of the sandbox's that lasts.
        @param keywords: see L{IrisRtcConnection}.
        """
        if sandbox.caFile is not None:
            keywords.setdefault("trustRoot", sandbox.caFile)
        connection = IrisRtcConnection(self._irisReactor(), **keywords)
        self.addCleanup(connection.close)
        token = sandbox.token(routingId) if irisToken is None else irisToken
        await connection.connect(token, routingId, sandbox.url)
        return connection

    async def irisUntil(self, condition: Callable[[], object]) -> None:
        """Let the reactor work until it is so; the test's C{timeout} ends it otherwise."""
        while not condition():
            turn: Deferred[None] = deferLater(self._irisReactor(), _LOOK)
            await turn

    def _irisReactor(self) -> Any:
        if self.irisReactor is None:
            from twisted.internet import reactor

            return reactor
        return self.irisReactor
