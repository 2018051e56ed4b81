"""
The member of a cluster that C{twist iris --cluster} is.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from ..connection.interfaces import IIrisListener
from ..connection.retry import FullJitter
from ..daemon.accounts import Account
from ..daemon.configuration import Configuration
from ..daemon.interfaces import IAccountSet, ICluster
from ..errors import DatabaseFailed, NotHeld, NotKept
from ..net.steady_time import steadyTime
from ..outbox.outbox import Outbox
from ..outbox.postgresql import PostgreSQLStore
from ..outbox.postgresql_tables import adopt
from ..version import __version__
from . import schema
from .connections import Connections
from .key_file import Keys
from .member import ClusterMember
from .membership import Identity
from .overview import accountsPage, statusOf

__all__ = ["DaemonMember"]

# How many deliveries of a dead member are adopted by one statement.
_ADOPTED = 1000
_PAGE = 25


@implementer(ICluster)
class DaemonMember:
    """
    @param failed: called with the reason when the program cannot go on.
    @raise IncorrectParameters: when the key file is none.
    @ivar member: of the cluster.
    @ivar connections: that it keeps.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, configuration: Configuration, failed: Callable[[DatabaseFailed], None]
    ) -> None:
        self._reactor = reactor
        self._configuration = configuration
        host = socket.gethostname()
        self._name: str = configuration["member"] or host
        capacity, zone = configuration["capacity"], configuration["zone"]
        self.connections = Connections(reactor, configuration)
        self.member = ClusterMember(
            reactor,
            configuration["cluster"],
            Identity(self._name, capacity, zone, host, os.getpid(), __version__),
            Keys(configuration["cluster-key-file"]),
            self.connections,
            failed,
            self._adopt,
            self._refresh,
        )
        self._store: PostgreSQLStore | None = None
        self._outbox: Outbox | None = None
        self._adopting: Deferred[None] | None = None
        self._waiting: Deferred[Any] | None = None
        self._givenUp = False
        self._failed = failed

    @property
    def accounts(self) -> int:
        return len(self.connections)

    # Beginning and ending

    def prepare(self) -> Deferred[bool]:
        return Deferred.fromCoroutine(self._prepare())

    async def _prepare(self) -> bool:
        policy, attempt = FullJitter(base=0.3, cap=2.0), 0
        while not self._givenUp:
            try:
                await self.member.run(schema.migrate)
            except DatabaseFailed as e:
                if e.lasting:
                    self._failed(e)
                    return False
                attempt += 1
                if attempt == 1:
                    self._log.error("{reason}; trying again", reason=e.message)
                self._waiting = deferLater(
                    steadyTime(self._reactor), policy.delay(attempt) or 0.0
                ).addErrback(lambda failure: failure.trap(CancelledError) and None)
                await self._waiting
            else:
                return True
        return False

    def giveUp(self) -> None:
        self._givenUp = True
        if self._waiting is not None:
            self._waiting.cancel()

    def store(self, forgetAfter: float) -> PostgreSQLStore:
        conninfo = self._configuration["cluster"]
        self._store = PostgreSQLStore(
            self._reactor,
            conninfo,
            self._name,
            self.member.fence,
            forgetAfter=forgetAfter,
            strictOrder=self._configuration["strict-order"],
        )
        return self._store

    def begin(self, accountSet: IAccountSet, outbox: Outbox) -> None:
        self._outbox = outbox
        self.connections.use(accountSet, outbox)
        self.member.startService()

    def drain(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        if self.member.running:
            with self._hurrying():
                await self.member.drain(self._configuration["drain-timeout"])

    @contextmanager
    def _hurrying(self) -> Any:
        """Whoever signals a second time does not want to wait."""
        signals = signal.SIGTERM, signal.SIGINT

        def hurry(*_: object) -> None:
            self._reactor.callFromThread(self.member.hurry)

        try:
            before = [signal.signal(number, hurry) for number in signals]
        except ValueError:
            # Not in the main thread: nobody signals there.
            before = []
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=False):
                signal.signal(number, handler)

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self.member.running:
            await self.member.stopService()
        if self._adopting is not None:
            await self._adopting

    def leave(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._leave())

    async def _leave(self) -> None:
        try:
            if self._store is not None and self.member.hasJoined:
                # What is still owed to sinks is for the others.
                await self.member.run(self._release)
        except DatabaseFailed as e:
            self._log.warn("others deliver what is left later: {reason}", reason=e.message)
        await self.member.close()

    def _release(self, connection: Any) -> None:
        """In a thread."""
        with connection.cursor() as cursor:
            while adopt(cursor, self._name, None, _ADOPTED):
                pass

    # Accounts and calls

    def listener(self, account: Account) -> IIrisListener:
        return self.connections.listener(account)

    def offer(
        self, routingId: str, notification: dict[str, Any], specs: Sequence[str]
    ) -> Deferred[None]:
        return Deferred.fromCoroutine(self._offer(routingId, notification))

    async def _offer(self, routingId: str, notification: dict[str, Any]) -> None:
        try:
            await self.connections.offer(self.member.right(routingId), notification)
        except NotHeld:
            self.member.doubt()
            raise

    def ended(self, account: Account) -> None:
        self.connections.ended(account)

    # How it is

    def facts(self) -> tuple[bool, dict[str, Any]]:
        member = self.member
        since = member.sinceRenewal
        return member.inTouch, {
            "inTouch": member.inTouch,
            "secondsSinceRenewal": None if since is None else round(since, 1),
            "members": 0 if member.sight is None else len(member.sight.members),
        }

    def metrics(self) -> Iterable[Any]:
        # Only now: not everybody wants it.
        from .metrics import clusterMetrics

        return clusterMetrics(self.member, self.connections.fenced)

    def overview(self, words: str, page: int) -> Deferred[dict[str, Any]]:
        def look(connection: Any) -> dict[str, Any]:
            return {
                "me": self._name,
                "cluster": statusOf(connection),
                **accountsPage(connection, words, page, _PAGE),
            }

        return self.member.run(look)

    # What the dead owed

    def _refresh(self) -> None:
        """Others may have adopted what was read and is not under way; see what is still ours."""
        if self._outbox is not None:
            self._outbox.refresh()

    def _adopt(self, names: Sequence[str]) -> None:
        if self._store is not None and self._adopting is None:
            self._adopting = Deferred.fromCoroutine(self._adoptFrom(self._store, names))

    async def _adoptFrom(self, store: PostgreSQLStore, names: Sequence[str]) -> None:
        count = 0
        try:
            for name in names:
                while found := await store.adopt(name, None, _ADOPTED):
                    count += found
        except NotKept as e:
            self._log.warn("not adopted: {reason}", reason=e.message)
        self._adopting = None
        if count:
            words = "{count} deliveries of {names} were adopted"
            self._log.warn(words, count=count, names=", ".join(names))
            if self._outbox is not None:
                self._outbox.wake()
