"""
Calls into a stream of Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

import attrs
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import IncorrectParameters, NoAnswer, NotTaken
from ..net.deadline import deadlined
from .broker_sink import BrokerSink
from .broker_url import TLS_PARAMETERS, BrokerUrl, requireExtra
from .context import SinkContext
from .formats import withoutHeaders
from .group_commit import Batches
from .interfaces import IAskingSink, INotificationSink, INotificationSinkProvider, IOrderedSink
from .record import CallRecord

if TYPE_CHECKING:
    from .redis_connection import Entry, RedisConnection, RedisPlace

__all__ = ["RedisSink", "RedisSinks"]

_SCHEMES = {"redis": (False, 6379), "rediss": (True, 6379)}
_PARAMETERS = ("db", "durable", "maxlen", "password-file", "timeout", *TLS_PARAMETERS)
_DURABLE = {"ask": None, "yes": True, "no": False}

# An entry, and whether it shall leave still.
_Asked = tuple["Entry", Callable[[], bool]]


@implementer(IAskingSink, IOrderedSink)
class RedisSink(BrokerSink["RedisConnection"]):
    """
    Adds an entry for each call, with the fields C{key}, C{account}, C{type} and C{call}. What
    comes while Redis has not answered goes to it together: it writes them to its disk at once.

    Redis keeps what it has answered for only when it writes its append-only file to the disk
    before each answer; as it is installed it loses the last second, or the last minutes. So
    this sink is durable when Redis says that it does, or its operator.
    """

    def __init__(self, place: RedisPlace, context: SinkContext) -> None:
        super().__init__(place.name, place.timeout, context)
        # Until it can be asked: what is acknowledged must not depend on when it comes back.
        self.durable = place.durable is not False
        self._place = place
        self._format = withoutHeaders("redis", context.format)
        self._batches: Batches[_Asked, None] = Batches(context.reactor, self._add)

    async def _open(self) -> RedisConnection:
        from .redis_connection import openRedis

        context, place = self._context, self._place
        trust = context.settings.trust.showing(place.certificate)
        connection = await openRedis(context.reactor, trust, place)
        self.durable = connection.durable
        return connection

    def _readPassword(self) -> None:
        self._place = attrs.evolve(self._place, password=self._place.url.password())

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        entry = {
            "key": record.key.encode(),
            "account": record.account.encode(),
            "type": str(record.notification.get("type") or "").encode(),
            "call": self._format.encode(record).body,
        }
        return self._batches.submit((entry, mayLeave))

    def _add(self, asked: Sequence[_Asked]) -> Deferred[Sequence[Failure | None]]:
        return Deferred.fromCoroutine(self._added(asked))

    async def _added(self, asked: Sequence[_Asked]) -> Sequence[Failure | None]:
        connection = await self._kept.get()
        leaving = [mayLeave() for _, mayLeave in asked]
        entries = [entry for (entry, _), leaves in zip(asked, leaving, strict=True) if leaves]
        timeout = self._place.timeout
        try:
            added = await deadlined(
                self._context.reactor,
                timeout,
                connection.add(entries),
                lambda: f"{self.name} did not answer within {timeout:g} seconds",
            )
        except NoAnswer as e:
            # Its answers come in order, if they come.
            connection.abort()
            raise NotTaken(e.message, cause=e) from None
        results = iter(added)
        stays = Failure(NotTaken(f"{self.name} is not asked any more"))
        return [next(results) if leaves else stays for leaves in leaving]

    def stop(self) -> Deferred[None]:
        return super().stop().addCallback(lambda _: self._batches.idle())


@implementer(IPlugin, INotificationSinkProvider)
class RedisSinks:
    """C{redis:URL/STREAM}."""

    name = "redis"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        url = BrokerUrl.parse(self.name, argument, _SCHEMES, _PARAMETERS, context.settings.insecure)
        stream = unquote(url.path.removeprefix("/"))
        if not stream or not stream.isprintable():
            raise IncorrectParameters("sink redis needs a stream: redis:redis://HOST/STREAM")
        durable = url.parameters.get("durable", "ask")
        if durable not in _DURABLE:
            raise IncorrectParameters(
                f"sink redis: durable must be one of {', '.join(_DURABLE)}, not {durable!r}"
            )
        database = url.parameters.get("db", "0")
        if not (database.isascii() and database.isdigit() and len(database) < 6):
            raise IncorrectParameters(f"sink redis: db must be a number, not {database!r}")
        password = url.password()
        if url.user is not None and password is None:
            raise IncorrectParameters(
                f"sink redis: the user {url.user!r} needs a password: password-file=PATH, or the "
                f"environment variable IRIS_REDIS_PASSWORD"
            )
        longest, timeout = url.count("maxlen", 100_000), url.seconds("timeout", 10.0)
        requireExtra(self.name, "txredisapi", "txredisapi")
        requireExtra(self.name, "hiredis", "hiredis")
        from .redis_connection import RedisPlace

        place = RedisPlace(
            url=url,
            name=f"redis:{url.origin}/{stream}",
            password=password,
            database=int(database),
            stream=stream,
            longest=longest,
            durable=_DURABLE[durable],
            timeout=timeout,
            certificate=url.certificate(),
        )
        return RedisSink(place, context)
