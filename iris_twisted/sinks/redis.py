"""
Calls into a stream of Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from ..errors import IncorrectParameters, NoAnswer, NotTaken
from ..net.deadline import deadlined
from .broker_url import BrokerUrl, requireExtra
from .context import SinkContext
from .formats import withoutHeaders
from .interfaces import IAskingSink, ICheckedSink, INotificationSink, INotificationSinkProvider
from .kept_connection import KeptConnection
from .record import CallRecord

if TYPE_CHECKING:
    from .redis_connection import RedisConnection, RedisPlace

__all__ = ["RedisSink", "RedisSinks"]

_SCHEMES = {"redis": (False, 6379), "rediss": (True, 6379)}
_PARAMETERS = ("db", "durable", "maxlen", "password-file", "timeout")
_DURABLE = {"ask": None, "yes": True, "no": False}


@implementer(IAskingSink, ICheckedSink)
class RedisSink:
    """
    Adds an entry for each call, with the fields C{key}, C{account}, C{type} and C{call}.

    Redis keeps what it has answered for only when it writes its append-only file to the disk
    before each answer; as it is installed it loses the last second, or the last minutes. So
    this sink is durable when Redis says that it does, or its operator.
    """

    concurrency = 64

    def __init__(self, place: RedisPlace, context: SinkContext) -> None:
        self.name = place.name
        # Until it can be asked: what is acknowledged must not depend on when it comes back.
        self.durable = place.durable is not False
        self._place = place
        self._context = context
        self._format = withoutHeaders("redis", context.format)
        self._kept: KeptConnection[RedisConnection] = KeptConnection(
            context.reactor, self.name, self._open, place.timeout
        )

    def _open(self) -> Deferred[RedisConnection]:
        return Deferred.fromCoroutine(self._opened())

    async def _opened(self) -> RedisConnection:
        from .redis_connection import openRedis

        context = self._context
        connection = await openRedis(context.reactor, context.settings.trust, self._place)
        self.durable = connection.durable
        return connection

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._take(record, mayLeave))

    async def _take(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        connection = await self._kept.get()
        if not mayLeave():
            raise NotTaken(f"{self.name} is not asked any more")
        timeout = self._place.timeout
        fields: dict[str, str | bytes] = {
            "key": record.key,
            "account": record.account,
            "type": str(record.notification.get("type") or ""),
            "call": self._format.encode(record).body,
        }
        words = [word for pair in fields.items() for word in pair]
        adding: Deferred[None] = Deferred.fromCoroutine(connection.add(words))
        try:
            await deadlined(
                self._context.reactor,
                timeout,
                adding,
                lambda: f"{self.name} did not answer within {timeout:g} seconds",
            )
        except NoAnswer as e:
            # Its answers come in order, if they come.
            connection.abort()
            raise NotTaken(e.message, cause=e) from None

    def check(self) -> Deferred[None]:
        async def check() -> None:
            await self._kept.ask()

        return Deferred.fromCoroutine(check())

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kept.stop())


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
        )
        return RedisSink(place, context)
