"""
Calls on their way to an asyncio program: handed over one by one, acknowledged when the
program asks for the next.

There is no second queue that could overflow. What waits here is unanswered, and a
connection hands over no more than C{limits.unanswered} of these before it stops reading
(contract promise 16).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred

from ..errors import IrisError
from ..rtc.caller_number import callerNumber

__all__ = ["Call", "CallIterator", "CallQueue"]

Reject = Callable[[dict[str, Any]], Awaitable[None]]


class Call:
    """
    A notification: a call, that its caller hung up, a chat message, or anything newer.

    @ivar info: as C{onNotification} gets it.
    """

    def __init__(self, info: dict[str, Any], reject: Reject) -> None:
        self.info = info
        self.answered: Deferred[None] = Deferred()
        self._reject = reject

    def __repr__(self) -> str:
        return f"<Call {self.type} from {self.caller} for {self.room}>"

    @property
    def type(self) -> str:
        """C{notify} for a call, C{cancel} when its caller hung up, C{chat}, ..."""
        return str(self.info.get("type", ""))

    @property
    def room(self) -> str:
        """Which call: what a C{cancel} has in common with its call."""
        return str(self.info.get("roomid", ""))

    @property
    def caller(self) -> str:
        """The routing id of who calls."""
        return str(self.info.get("routingid", ""))

    @property
    def number(self) -> str | None:
        """The caller's number as it is shown, or C{None}."""
        return callerNumber(self.info)

    def acknowledge(self) -> None:
        """
        Tell the platform that the program has it, now: otherwise that is done when the
        next one is asked for. Again, it does nothing.
        """
        if not self.answered.called:
            self.answered.callback(None)

    def refuse(self, error: Exception) -> None:
        """
        Tell the platform that the program could not take it, instead of L{acknowledge}.

        @param error: is logged. C{NotKept} is told as C{resource-constraint}, anything else
            as C{internal-server-error}.
        """
        if not self.answered.called:
            self.answered.errback(error)

    async def reject(self) -> None:
        """
        Reject the call. That settles it: it is acknowledged first.

        @raise IrisError: as C{rejectSession} fails.
        """
        self.acknowledge()
        await self._reject(self.info)


class CallQueue:
    """
    Calls that came and nobody took yet, and those who wait for one.

    @param reject: rejects a call.
    """

    def __init__(self, reject: Reject) -> None:
        self._reject = reject
        self._calls: deque[Call] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ended = False
        self._error: IrisError | None = None

    def put(self, info: dict[str, Any]) -> Deferred[None]:
        """One more; fires when it is answered, and fails when it is refused."""
        call = Call(info, self._reject)
        self._calls.append(call)
        self._wake()
        return call.answered

    def end(self, error: IrisError | None) -> None:
        """
        No more will come.

        @param error: what those hear who ask once everything is taken; C{None} to end their
            loops at once.
        """
        if self._ended:
            return
        self._ended = True
        self._error = error
        if error is None:
            self._calls.clear()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def next(self) -> Call:
        """
        @raise StopAsyncIteration: when the connection was closed.
        @raise IrisError: when it ended for another reason.
        """
        while not self._calls:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        return self._calls.popleft()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and self._calls:
                # The call that woke it is somebody else's then.
                self._wake()
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class CallIterator(AsyncIterator[Call]):
    """
    The calls, one at a time. Several may share a queue: each call goes to one of them.
    """

    def __init__(self, queue: CallQueue) -> None:
        self._queue = queue
        self._inHand: Call | None = None

    def __aiter__(self) -> CallIterator:
        return self

    async def __anext__(self) -> Call:
        inHand, self._inHand = self._inHand, None
        if inHand is not None:
            inHand.acknowledge()
        self._inHand = await self._queue.next()
        return self._inHand
