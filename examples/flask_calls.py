"""
A Flask application beside a connection that lives in a thread of its own. Django, and
whatever else answers requests in threads, does the same.

    IRIS_EVENT_MANAGER=https://... IRIS_ROUTING_ID=USER@DOMAIN IRIS_TOKEN=... \\
        flask --app examples/flask_calls.py run

    GET  /calls               those that ring now
    POST /calls/ROOM/reject   reject one

With one process: each has a connection of its own, and each would get every call.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from flask import Flask, abort

from iris_twisted import IrisError, aio


class IrisThread:
    """
    A connection on an asyncio loop in a thread. Requests may ask for anything of it: they wait in
    their threads for what the loop does in its own.
    """

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


iris = IrisThread(
    os.environ.get("IRIS_TOKEN", ""),
    os.environ.get("IRIS_ROUTING_ID", ""),
    os.environ.get("IRIS_EVENT_MANAGER", ""),
)
atexit.register(iris.stop)
app = Flask(__name__)


@app.get("/calls")
def calls() -> Any:
    return iris.wait(iris.calls)


@app.post("/calls/<room>/reject")
def reject(room: str) -> Any:
    if not iris.wait(iris.reject, room):
        abort(404, f"no call rings for {room}")
    return {"rejected": room}


@app.errorhandler(IrisError)
def failed(error: IrisError) -> Any:
    return {"error": error.message, "code": error.code}, 502
