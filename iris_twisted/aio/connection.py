"""
L{AsyncioConnection}: the same connection, for C{async with} and C{async for}.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from ..connection import IrisRtcConnection
from ..connection.interfaces import IIrisListener
from ..connection.settings import Settings, checkProvider
from ..connection.state import ConnectionState
from ..errors import InvalidState, IrisError
from .calls import CallIterator, CallQueue
from .loop_reactor import loopReactor

if TYPE_CHECKING:
    from ..sandbox import Sandbox

__all__ = ["AsyncioConnection", "connect", "sandbox"]


def _awaited(result: object) -> object:
    """What a callback of an asyncio program returned, for Twisted to wait for."""
    if asyncio.iscoroutine(result) or asyncio.isfuture(result):
        return Deferred.fromFuture(asyncio.ensure_future(result))
    return result


async def _toTheEnd(closing: asyncio.Future[None]) -> None:
    """Wait for it even when the task is cancelled meanwhile: it takes seconds at most."""
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as e:
            cancelled = e
    if cancelled is not None:
        raise cancelled
    closing.result()


class _Connection(IrisRtcConnection):
    """Its notifications go to a queue; the other callbacks may be asyncio's coroutines."""

    def __init__(self, reactor: Any, queue: CallQueue, **keywords: Any) -> None:
        super().__init__(reactor, **keywords)
        self._queue = queue
        self._driver.whenErrorTold(self._errorTold)

    def _errorTold(self, error: IrisError) -> None:
        # A token that was refused while reconnecting ends nothing: another may come.
        if self.state is ConnectionState.DISCONNECTED:
            self._queue.end(error)

    def onNotification(self, notificationInfo: dict[str, Any]) -> object:
        return self._queue.put(notificationInfo)

    def onConnected(self) -> object:
        return _awaited(super().onConnected())

    def onConnectionError(self, errorCode: int, errorMessage: str) -> object:
        return _awaited(super().onConnectionError(errorCode, errorMessage))

    def onDisconnected(self) -> object:
        return _awaited(super().onDisconnected())

    def onReconnecting(self) -> object:
        return _awaited(super().onReconnecting())

    def onEvent(self, event: dict[str, Any]) -> object:
        return _awaited(super().onEvent(event))

    def onTokenAboutToExpire(self, secondsLeft: float) -> object:
        return _awaited(super().onTokenAboutToExpire(secondsLeft))


class AsyncioConnection:
    """
    One connection, kept up from C{async with} to its end::

        async with connect(token, "alice@example.com", "https://evm.example.com") as connection:
            async for call in connection.calls():
                print(call.caller)
                await call.reject()

    Entering it connects; it raises the L{IrisError} that C{connect()} fails with. Leaving
    it, by an exception and by cancellation too, closes: when it is left, no socket, timer or
    request of it remains.

    @param irisToken: a JWT, for the event manager.
    @param routingId: C{user@domain}.
    @param eventManagerUrl: C{host}, C{host:port} or an C{https://} URL.
    @param listener: provides L{IIrisListener}, for the other callbacks; they, and the
        C{tokenProvider}, may be coroutine functions of asyncio. Its C{onNotification} is
        not called: L{calls} has the notifications.
    @param reactor: C{None} for one on the loop that runs (L{loopReactor}).
    @param keywords: see L{Settings<iris_twisted.connection.settings.Settings>}.
    @raise IncorrectParameters: naming the argument of the wrong type or value.
    @ivar connection: the L{IrisRtcConnection}, once it was entered.
    """

    connection: IrisRtcConnection

    def __init__(
        self,
        irisToken: str,
        routingId: str,
        eventManagerUrl: str,
        *,
        listener: IIrisListener | None = None,
        reactor: Any = None,
        tokenProvider: Callable[[], Any] | None = None,
        **keywords: Any,
    ) -> None:
        checkProvider("tokenProvider", tokenProvider)
        self._where = irisToken, routingId, eventManagerUrl
        self._listener = listener
        self._reactor = reactor
        self._settings = Settings(**keywords)
        self._provider = tokenProvider
        self._queue = CallQueue(self.reject)
        self._entered = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value} {self.jid or ''}>".replace(" >", ">")

    async def __aenter__(self) -> AsyncioConnection:
        if self._entered:
            raise InvalidState("a connection is entered once: make another one")
        reactor = loopReactor() if self._reactor is None else self._reactor
        provider = self._provider
        self.connection = _Connection(
            reactor,
            self._queue,
            listener=self._listener,
            settings=self._settings,
            tokenProvider=None if provider is None else lambda: _awaited(provider()),
        )
        self._entered = True
        try:
            await self.connection.connect(*self._where).asFuture(asyncio.get_running_loop())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def calls(self) -> CallIterator:
        """
        The notifications as they come, those meanwhile in order, through all reconnects.

        Each is acknowledged to the platform when the loop asks for the next, or by
        C{call.acknowledge()}: what a program that crashes has in hand is not. Nor is the last
        one of a loop that is left by C{break}, or what C{anext(connection.calls())} gave:
        another C{calls()} knows nothing of it, so acknowledge it yourself. The iteration
        ends when the connection is closed, and raises the L{IrisError} that ended it
        otherwise. Several tasks may iterate; each call goes to one of them.
        """
        return CallIterator(self._queue)

    async def reject(self, notificationPayload: dict[str, Any]) -> None:
        """
        Reject a call by its notification; C{call.reject()} is shorter.

        @raise IrisError: as C{rejectSession} fails.
        """
        rejecting = self._up("reject()").rejectSession(notificationPayload)
        await rejecting.asFuture(asyncio.get_running_loop())

    def updateToken(self, irisToken: str | None = None) -> None:
        """See L{IrisRtcConnection.updateToken}."""
        self._up("updateToken()").updateToken(irisToken)

    async def close(self) -> None:
        """End everything; the loops over L{calls} end. Leaving C{async with} does it too."""
        self._queue.end(None)
        if self._entered:
            await _toTheEnd(self.connection.close().asFuture(asyncio.get_running_loop()))

    @property
    def state(self) -> ConnectionState:
        """What the connection is doing."""
        return self.connection.state if self._entered else ConnectionState.DISCONNECTED

    @property
    def jid(self) -> str | None:
        """The JID bound last, or C{None}."""
        return self.connection.jid if self._entered else None

    @property
    def isAlive(self) -> bool:
        """Whether the session is up and the server not overdue with an answer."""
        return self._entered and self.connection.isConnectionAlive()

    def _up(self, what: str) -> IrisRtcConnection:
        if not self._entered:
            raise InvalidState(f"{what} needs a connection: use async with")
        return self.connection


def connect(
    irisToken: str, routingId: str, eventManagerUrl: str, **keywords: Any
) -> AsyncioConnection:
    """A connection to enter with C{async with}: see L{AsyncioConnection}."""
    return AsyncioConnection(irisToken, routingId, eventManagerUrl, **keywords)


@asynccontextmanager
async def sandbox(**options: Any) -> AsyncIterator[Sandbox]:
    """
    A sandbox on the loop that runs, for tests: C{async with sandbox() as platform}.

    @param options: see L{startSandbox<iris_twisted.sandbox.startSandbox>}.
    """
    from ..sandbox import startSandbox

    loop = asyncio.get_running_loop()
    platform = await startSandbox(loopReactor(loop), **options).asFuture(loop)
    try:
        yield platform
    finally:
        await _toTheEnd(platform.stop().asFuture(loop))
