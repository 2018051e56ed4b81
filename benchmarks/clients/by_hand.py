"""
The least that the whole way costs: from the websockets through a file to a sink's library, in one
loop that is written for this and nothing else, with the libraries that we use.

    python -m benchmarks.clients.by_hand URL CONNECTIONS CALLS FILE SINK WHERE

It prints C{up} when all are connected, and the CPU when the sink has all calls. A call is on the
disk before it is acknowledged, is told apart from one that comes again, and is forgotten when the
sink has it. There is no session, no second sink, no attempt after a failure, no order within an
account, no size that is limited, no metric.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater, react

from iris_twisted.sinks import CallRecord
from iris_twisted.sinks.call_key import NAMESPACE

from .bare import NULL, SENDERS, Call, kafkaProducer
from .meter import Meter

reactor: Any = _reactor
# Seconds between two looks at what Kafka has.
_LOOK = 0.002
_SCHEMA = "CREATE TABLE calls (key TEXT PRIMARY KEY, line BLOB) WITHOUT ROWID"
# What may be under way to a sink that takes many at once.
_MANY = 256

Begin = Callable[[Sequence[Call], Callable[[CallRecord], None]], None]


class Calls(WebSocketClientProtocol):  # type: ignore[misc]
    """Hands over each call, and how it is acknowledged."""

    byHand: ByHand
    open = 0

    def onOpen(self) -> None:
        Calls.open += 1

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        iq = ElementTree.fromstring(payload)
        data = iq[0][0].attrib
        key = str(uuid.uuid5(NAMESPACE, data["roomid"] + data["traceid"] + data["userdata"]))
        notification: dict[str, Any] = {**data, "userdata": json.loads(data["userdata"])}
        record = CallRecord(key, iq.attrib["to"].partition("/")[0], time.time(), notification)
        self.byHand.keep(self, iq.attrib["id"], record)


class ByHand:
    """
    @param number: how many calls the sink has under way at most.
    @param begin: gives it some.
    """

    def __init__(self, path: str, number: int, begin: Begin, meter: Meter) -> None:
        self._number, self._begin, self._meter = number, begin, meter
        self._table = sqlite3.connect(path, isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _SCHEMA):
            self._table.execute(statement)
        self._came: list[tuple[Calls, str, CallRecord, bytes]] = []
        self._waiting: deque[Call] = deque()
        self._taken: list[tuple[str]] = []
        self._underWay = 0
        self._turn: Any = None

    def keep(self, client: Calls, id: str, record: CallRecord) -> None:
        """One came."""
        self._meter.came()
        line = record.line.encode()
        self._came.append((client, id, record, line))
        self._soon()

    def _soon(self) -> None:
        if self._turn is None:
            self._turn = reactor.callLater(0, self._commit)

    def _commit(self) -> None:
        self._turn = None
        came, self._came = self._came, []
        taken, self._taken = self._taken, []
        table = self._table
        table.execute("BEGIN IMMEDIATE")
        rows = [(record.key, line) for _, _, record, line in came]
        table.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?)", rows)
        table.executemany("DELETE FROM calls WHERE key = ?", taken)
        table.execute("COMMIT")
        for client, id, record, line in came:
            client.sendMessage(f"<iq type='result' id='{id}'/>".encode())
            self._waiting.append((record, line))
        for _ in taken:
            self._meter.ended("by hand", "taken", 0.0)
        self._give()

    def _give(self) -> None:
        free = self._number - self._underWay
        some = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        if some:
            self._underWay += len(some)
            self._begin(some, self._done)

    def _done(self, record: CallRecord) -> None:
        self._underWay -= 1
        self._taken.append((record.key,))
        self._soon()


def _lines(write: Callable[[bytes], object]) -> Begin:
    def begin(some: Sequence[Call], done: Callable[[CallRecord], None]) -> None:
        write(b"".join(line + b"\n" for _, line in some))
        for record, _ in some:
            done(record)

    return begin


def _nothing(_: bytes) -> None:
    """Whoever takes each call at once."""


def _stdout(lines: bytes) -> None:
    for line in lines.splitlines():
        print(line.decode(), file=NULL, flush=True)


def _file(where: str) -> Begin:
    number = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(lines: bytes) -> None:
        os.write(number, lines)
        os.fsync(number)

    return _lines(write)


def _kafka(where: str) -> Begin:
    producer, produce = kafkaProducer(where)

    def begin(some: Sequence[Call], done: Callable[[CallRecord], None]) -> None:
        for record, line in some:

            def delivered(error: Any, _: object, record: CallRecord = record) -> None:
                assert error is None, error
                done(record)

            produce(record, line, delivered)

    def look() -> None:
        producer.poll(0)
        reactor.callLater(_LOOK, look)

    look()
    return begin


async def beginning(sink: str, where: str) -> tuple[int, Begin]:
    """What gives that sink calls, and how many at a time."""
    if sink in SENDERS:
        number, send = await SENDERS[sink](where)

        def begin(some: Sequence[Call], done: Callable[[CallRecord], None]) -> None:
            for record, line in some:
                sent: Any = send(record, line)
                if not isinstance(sent, Deferred):
                    sent = ensureDeferred(sent)
                sent.addCallback(lambda _, record=record: done(record))

        return number, begin
    if sink == "kafka":
        return 1000, _kafka(where)
    if sink == "file":
        return _MANY, _file(where)
    return _MANY, _lines(_stdout if sink == "stdout" else _nothing)


async def main(url: str, connections: int, count: int, path: str, sink: str, where: str) -> None:
    meter = Meter(count)
    Calls.byHand = ByHand(path, *await beginning(sink, where), meter)
    factory = WebSocketClientFactory(
        url.replace("http", "ws") + "/xmpp-websocket", protocols=["xmpp"]
    )
    factory.protocol = Calls
    host, _, port = url.partition("//")[2].partition(":")
    for _ in range(connections):
        await HostnameEndpoint(reactor, host, int(port)).connect(factory)
    while Calls.open < connections:
        await deferLater(reactor, 0.05)
    gc.collect()
    gc.freeze()
    print("up", flush=True)
    await meter.ended_
    meter.tell()


if __name__ == "__main__":
    url, connections, count, path, sink, where = sys.argv[1:]
    Path(path).unlink(missing_ok=True)
    react(
        lambda _: Deferred.fromCoroutine(main(url, int(connections), int(count), path, sink, where))
    )
