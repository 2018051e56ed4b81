"""
A Flask application beside a connection that lives in a thread of its own.

    IRIS_EVENT_MANAGER=https://... IRIS_ROUTING_ID=USER@DOMAIN IRIS_TOKEN=... \\
        flask --app examples/flask_calls.py run

    GET  /calls               those that ring now
    POST /calls/ROOM/reject   reject one

With one process: each has a connection of its own, and each would get every call.
"""

from __future__ import annotations

import atexit
from typing import Any

from flask import Flask, abort
from iris_thread import IrisThread

from iris_twisted import IrisError

iris = IrisThread.ofEnvironment()
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
