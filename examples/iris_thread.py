"""
A connection in a thread of its own, for an application that answers requests in threads:
flask_calls.py and django_calls.py use it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from iris_twisted import aio

__all__ = ["IrisThread"]


class IrisThread:
    """
    A connection on an asyncio loop in a thread. Requests may ask for anything of it: they wait in
    their threads for what the loop does in its own.
    """

    @classmethod
    def ofEnvironment(cls) -> IrisThread:
        """As whom, and where to, IRIS_TOKEN, IRIS_ROUTING_ID and IRIS_EVENT_MANAGER say."""
        names = "IRIS_TOKEN", "IRIS_ROUTING_ID", "IRIS_EVENT_MANAGER"
        return cls(*(os.environ.get(name, "") for name in names))

    MOST = 100
    PATIENCE = 20.0

    def __init__(self, irisToken: str, routingId: str, eventManager: str) -> None:
        self._where = irisToken, routingId, eventManager
        self._ringing: dict[str, aio.Call] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="iris", daemon=True)
        self._thread.start()
        self._task: Future[None] = asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    async def _run(self) -> None:
        async with aio.connect(*self._where) as connection:
            async for call in connection.calls():
                if call.type == "notify":
                    self._ringing[call.room] = call
                    while len(self._ringing) > self.MOST:
                        del self._ringing[next(iter(self._ringing))]
                elif call.type == "cancel":
                    self._ringing.pop(call.room, None)

    def wait(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> Any:
        """
        Let the loop do something; from any thread but the loop's.

        @raise IrisError: when the connection could not be made, or has ended for good.
        """
        if self._task.done():
            self._task.result()
        return asyncio.run_coroutine_threadsafe(work(*args), self._loop).result(self.PATIENCE)

    async def calls(self) -> list[dict[str, Any]]:
        return [
            {"room": call.room, "caller": call.caller, "number": call.number}
            for call in self._ringing.values()
        ]

    async def reject(self, room: str) -> bool:
        """Whether such a call rang."""
        call = self._ringing.get(room)
        if call is not None:
            await call.reject()
            self._ringing.pop(room, None)
        return call is not None

    def stop(self) -> None:
        """Close the connection, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(self.PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self.PATIENCE)

    async def _end(self) -> None:
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
