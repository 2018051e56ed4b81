"""
A FastAPI application that shows the calls which ring, and rejects them.

    IRIS_EVENT_MANAGER=https://... IRIS_ROUTING_ID=USER@DOMAIN IRIS_TOKEN=... \\
        uvicorn --app-dir examples fastapi_calls:app

    GET  /calls               those that ring now
    POST /calls/ROOM/reject   reject one
    GET  /health              200 while connected, otherwise 503

With one worker: each process has a connection of its own, and each would get every call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response

from iris_twisted import IrisError, aio

ringing: dict[str, aio.Call] = {}
MOST = 100


async def remember(connection: aio.AsyncioConnection) -> None:
    """Keep what rings. Nobody hears the end of some calls: more than so many are forgotten."""
    async for call in connection.calls():
        if call.type == "notify":
            ringing[call.room] = call
            while len(ringing) > MOST:
                del ringing[next(iter(ringing))]
        elif call.type == "cancel":
            ringing.pop(call.room, None)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    connection = aio.connect(
        os.environ.get("IRIS_TOKEN", ""),
        os.environ.get("IRIS_ROUTING_ID", ""),
        os.environ.get("IRIS_EVENT_MANAGER", ""),
    )
    async with connection:
        app.state.iris = connection
        # It ends with the connection.
        app.state.remembering = asyncio.create_task(remember(connection))
        yield


app = FastAPI(title="Calls", lifespan=lifespan)


@app.get("/calls")
async def calls() -> list[dict[str, Any]]:
    return [
        {"room": call.room, "caller": call.caller, "number": call.number}
        for call in ringing.values()
    ]


@app.post("/calls/{room}/reject")
async def reject(room: str) -> dict[str, str]:
    call = ringing.get(room)
    if call is None:
        raise HTTPException(404, f"no call rings for {room}")
    try:
        await call.reject()
    except IrisError as e:
        raise HTTPException(502, e.message) from e
    ringing.pop(room, None)
    return {"rejected": room}


@app.get("/health")
async def health(response: Response) -> dict[str, str]:
    iris: aio.AsyncioConnection = app.state.iris
    if not iris.isAlive:
        response.status_code = 503
    return {"connection": iris.state.value}
