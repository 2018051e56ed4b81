"""
A connection to Redis, by txredisapi and hiredis.

Only this module imports them, and only a sink that is used imports this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import attrs
import hiredis
import txredisapi
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import IncorrectParameters, IrisError, NotTaken
from ..net.client_certificate import ClientCertificate
from ..net.endpoints import clientEndpoint
from ..net.failures import explain
from ..net.interfaces import ITlsTrust
from ..net.steady_time import steadyTime
from .broker_url import BrokerUrl

__all__ = ["Entry", "RedisConnection", "RedisPlace", "openRedis"]

# Of a stream: its fields.
Entry = Mapping[str, bytes]

_log = Logger()
# Seconds for a polite close, before the socket is cut.
_CLOSING = 3.0
_LONGEST_REASON = 200
# Errors whose text repeats nothing of a command, which holds the call.
_CODE = re.compile(r"([A-Z]+) ")
_HARMLESS = (
    *("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH"),
    *("NOPERM", "NOREPLICAS", "OOM", "READONLY", "WRONGPASS", "WRONGTYPE"),
)


@attrs.frozen(kw_only=True)
class RedisPlace:
    """
    Where calls go at a Redis.

    @ivar stream: the key.
    @ivar longest: about how many entries it may have.
    @ivar durable: whether what it took is safe; C{None} to ask it.
    @ivar certificate: ours, for one that asks for it.
    """

    url: BrokerUrl
    name: str
    password: str | None = attrs.field(repr=False)
    database: int
    stream: str
    longest: int
    durable: bool | None
    timeout: float
    certificate: ClientCertificate | None = None


def _words(error: Exception) -> str:
    text = str(error)
    code = _CODE.match(text)
    if code is None or code[1] not in _HARMLESS:
        return code[1] if code else "ERR"
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_REASON]


class _Protocol(txredisapi.RedisProtocol):  # type: ignore[misc]
    """
    txredisapi's, which tells when its socket is gone, and why.

    Password and database are sent by L{RedisConnection}: txredisapi gives the answers to
    them to a factory of its own.
    """

    def __init__(self) -> None:
        super().__init__(charset="utf-8", convertNumbers=False)
        self.gone: Deferred[None] = Deferred()
        self.reason: Failure = connectionDone

    def _build_command(self, *words: Any, **_: object) -> bytes:
        # txredisapi reads by hiredis, and writes by a loop that takes longer than all else
        # that a call costs here.
        command: bytes = hiredis.pack_command(words)
        return command

    def connectionLost(self, why: Failure = connectionDone) -> None:
        self.reason = why
        try:
            super().connectionLost(why)
        finally:
            self.gone.callback(None)


class RedisConnection:
    """
    @ivar gone: fires when its socket is closed.
    @ivar durable: whether this Redis has what it answered for on its disk.
    """

    def __init__(self, reactor: Any, place: RedisPlace, protocol: _Protocol) -> None:
        self.gone: Deferred[None] = Deferred()
        self.durable = bool(place.durable)
        self._reactor = reactor
        self._place = place
        self._protocol = protocol
        self._closing: Any = None
        protocol.gone.addCallback(self._lost)

    async def open(self) -> None:
        """Log in, and see that there is nothing else under the key."""
        place = self._place
        if place.password is not None:
            user = [] if place.url.user is None else [place.url.user]
            try:
                await self._do("AUTH", *user, place.password)
            except txredisapi.ResponseError as e:
                raise IncorrectParameters(
                    f"{place.name} refused the user {place.url.user or 'default'!r} or its "
                    f"password ({_words(e)})"
                ) from None
        if place.database:
            await self._do("SELECT", str(place.database))
        kind = await self._do("TYPE", place.stream)
        if kind not in ("none", "stream"):
            raise IncorrectParameters(
                f"{place.name}: the key {place.stream!r} is a {kind}, and not a stream"
            )
        if place.durable is None:
            self.durable = await self._isDurable()

    async def _isDurable(self) -> bool:
        """Whether it writes each command to its disk before it answers."""
        settings = {}
        for name in ("appendonly", "appendfsync"):
            try:
                answer = await self._do("CONFIG", "GET", name)
            except txredisapi.ResponseError as e:
                _log.warn(
                    "{name} does not tell how it keeps data ({words}): it counts as not durable; "
                    "durable=yes says otherwise",
                    name=self._place.name,
                    words=_words(e),
                )
                return False
            settings[name] = answer[1] if len(answer) == 2 else ""
        return settings == {"appendonly": "yes", "appendfsync": "always"}

    async def _do(self, *words: str | bytes) -> Any:
        return await self._protocol.execute_command(*words)

    def add(self, entries: Sequence[Entry]) -> Deferred[list[Failure | None]]:
        """
        Add entries to the stream, in this order.

        @return: fires with what became of each: a failure with L{NotTaken}, or C{None}.
        """
        place = self._place
        command = ("XADD", place.stream, "MAXLEN", "~", str(place.longest), "*")
        execute: Callable[..., Deferred[Any]] = self._protocol.execute_command
        # It raises what it could not even write.
        adding = [maybeDeferred(execute, *command, *chain(*entry.items())) for entry in entries]
        added: Deferred[Any] = DeferredList(adding, consumeErrors=True)
        return added.addCallback(
            lambda results: [None if well else self._notAdded(result) for well, result in results]
        )

    def _notAdded(self, failure: Failure) -> Failure:
        # Of one that was cancelled nothing is known: so nor of those beside it.
        failure.trap(txredisapi.RedisError)
        error = failure.value
        if isinstance(error, txredisapi.ResponseError):
            words = f"{self._place.name} did not take the call: {_words(error)}"
        else:
            words = f"{self._place.name} lost its connection"
        return Failure(NotTaken(words, cause=error))

    def close(self) -> None:
        if self._closing is None and not self._protocol.gone.called:
            transport: Any = self._protocol.transport
            steady = steadyTime(self._reactor)
            self._closing = steady.callLater(_CLOSING, transport.abortConnection)
            transport.loseConnection()

    def abort(self) -> None:
        """It does not answer: cut it."""
        self.close()
        if not self._protocol.gone.called:
            self._protocol.transport.abortConnection()

    def _lost(self, _: None) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.gone.callback(None)


async def openRedis(reactor: Any, trust: ITlsTrust, place: RedisPlace) -> RedisConnection:
    """
    @return: a connection that is ready.
    @raise IncorrectParameters: when somebody has to change something before it can be.
    @raise ConnectionFailed: when nobody answers as they should; or L{NotTaken}.
    """
    url = place.url
    protocol = _Protocol()
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    endpoint = clientEndpoint(
        reactor, trust, url.host, url.port, secure=url.secure, timeout=place.timeout
    )
    try:
        await endpoint.connect(factory)
    except (IrisError, CancelledError):
        raise
    except Exception:
        raise explain(place.name, Failure()) from None
    connection = RedisConnection(reactor, place, protocol)
    # So that a peer that has vanished is noticed while nothing is sent.
    protocol.transport.setTcpKeepAlive(1)
    try:
        await connection.open()
    except BaseException as e:
        lost = protocol.gone.called
        if not lost:
            gone: Deferred[None] = Deferred()
            connection.gone.addCallback(gone.callback)
            connection.abort()
            await gone
        if isinstance(e, txredisapi.ResponseError):
            raise _cannotUse(place, e) from None
        if isinstance(e, txredisapi.RedisError):
            raise explain(place.name, protocol.reason) from None
        raise
    return connection


def _cannotUse(place: RedisPlace, error: Exception) -> IrisError:
    words = f"{place.name} cannot be used: {_words(error)}"
    if str(error).startswith(("NOAUTH", "NOPERM", "MOVED")):
        return IncorrectParameters(words, cause=error)
    if "DB index" in str(error):
        return IncorrectParameters(f"{place.name} has no database {place.database}", cause=error)
    return NotTaken(words, cause=error)
