"""
The outbox: takes each call, and gives it to all its sinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ..connection.interfaces import IRetryPolicy
from ..connection.retry import FullJitter
from ..errors import IrisError, NotKept
from ..sinks.interfaces import INotificationSink
from ..sinks.record import CallRecord
from .interfaces import IOutboxStore
from .sink_worker import SinkWorker
from .spool import Spool
from .values import Due, Place

__all__ = ["Outbox", "OutboxObserver"]

# Seconds between two looks at whether all sinks are done.
_GLANCE = 0.05


class OutboxObserver:
    """Is told what happens; this one does not care."""

    def accepted(self, seconds: float) -> None:
        """A call may be acknowledged, so long after it came."""

    def repeated(self) -> None:
        """A call was told again: it is kept already, and may be acknowledged again."""

    def ended(self, sink: str, outcome: str, seconds: float) -> None:
        """An attempt to give a call to a sink was C{taken}, has C{failed}, or is C{dead}."""


class Outbox:
    """
    @param store: keeps the calls; or the path of a spool, a file for that; C{None} for one in
        memory: then a call is acknowledged only when its durable sinks have it, and the
        platform keeps what they do not take.
    @param make: makes the sink of a specification.
    @param policy: when to try a sink again; C{None} for full jitter up to five minutes.
    @param retryFor: seconds from a call's arrival until it is a dead letter; C{None} for a
        day, and for one minute in memory, since somebody waits.
    @param forgetKeysAfter: seconds for which a call is known that is told again, also when
        it was delivered meanwhile. A store that is given has its own.
    @param observer: is told what happens.
    @raise IncorrectParameters: when the spool cannot be opened.
    """

    def __init__(
        self,
        reactor: Any,
        store: IOutboxStore | str | None,
        make: Callable[[str], INotificationSink],
        *,
        policy: IRetryPolicy | None = None,
        retryFor: float | None = None,
        forgetKeysAfter: float = 24 * 3600.0,
        observer: OutboxObserver | None = None,
    ) -> None:
        self._reactor = reactor
        if store is None or isinstance(store, str):
            store = Spool(reactor, store, forgetKeysAfter)
        self._store = store
        self._keeps = store.keeps
        self._make = make
        self._policy = policy or FullJitter(cap=300.0)
        self._retryFor = retryFor or (24 * 3600.0 if self._keeps else 60.0)
        self._observer = observer or OutboxObserver()
        self._workers: dict[str, SinkWorker] = {}
        self._waiting: dict[int, tuple[set[str], Deferred[None]]] = {}
        # By their keys, who waits for calls that are being kept.
        self._arriving: dict[str, list[Deferred[None]]] = {}

    def use(self, specs: Iterable[str]) -> None:
        """
        Make these sinks, and begin with what they are owed from before.

        @raise IncorrectParameters: naming what is wrong with one.
        """
        for spec in specs:
            if spec not in self._workers:
                self._workers[spec] = worker = SinkWorker(
                    self._reactor,
                    self._store,
                    spec,
                    self._make(spec),
                    self._policy,
                    self._retryFor,
                    partial(self._ended, spec),
                )
                worker.wake()

    def offer(
        self,
        account: str,
        notification: dict[str, Any],
        specs: Iterable[str],
        place: Place | None = None,
    ) -> Deferred[None]:
        """
        A call came, or one that came before is told again: sinks get it once.

        @param specs: whom to give it to; all were named to L{use}.
        @param place: by which right, in a cluster.
        @return: fires when the call may be acknowledged; fails with L{NotKept
            <iris_twisted.errors.NotKept>} when there is no room for it, and with what a
            sink said when that is the only place where it could have gone.
        """
        try:
            record = CallRecord.of(account, notification, self._reactor.seconds())
        except (TypeError, ValueError, RecursionError) as e:
            return fail(NotKept(f"a call for {account} cannot be written as JSON", cause=e))
        told: Deferred[None] = Deferred()
        waiting = self._arriving.get(record.key)
        if waiting is not None:
            self._observer.repeated()
            waiting.append(told)
            return told
        self._arriving[record.key] = [told]
        keeping = Deferred.fromCoroutine(self._keep(record, list(specs), place))
        keeping.addBoth(self._arrived, record.key)
        return told

    def _arrived(self, result: Failure | None, key: str) -> None:
        for told in self._arriving.pop(key):
            told.callback(result)

    async def _keep(self, record: CallRecord, specs: list[str], place: Place | None) -> None:
        id = await self._store.add(record, specs, place)
        if id is None:
            self._observer.repeated()
            return
        durable = {spec for spec in specs if self._workers[spec].sink.durable}
        taken: Deferred[None] | None = None
        if durable and not self._keeps:
            taken = Deferred()
            self._waiting[id] = durable, taken
        for spec in specs:
            self._workers[spec].wake()
        if taken is not None:
            await taken
        self._observer.accepted(self._reactor.seconds() - record.received)

    def _ended(
        self, spec: str, due: Due, outcome: str, seconds: float, error: IrisError | None
    ) -> None:
        self._observer.ended(self._workers[spec].sink.name, outcome, seconds)
        if outcome == "dead" and not self._keeps:
            # Nobody can look at it there.
            self._store.taken(due.id, spec).addErrback(lambda failure: failure.trap(NotKept))
        owed, taken = self._waiting.get(due.id, (set(), None))
        if taken is None or spec not in owed or outcome == "failed":
            return
        if error is not None:
            del self._waiting[due.id]
            # It is not kept: told again, it is another attempt.
            forgetting = self._store.forgetKey(due.record.key)
            forgetting.addErrback(lambda failure: failure.trap(NotKept))
            forgetting.addCallback(lambda _: taken.errback(error))
            return
        owed.discard(spec)
        if not owed:
            del self._waiting[due.id]
            taken.callback(None)

    async def depths(self) -> dict[tuple[str, bool], int]:
        """
        How many deliveries there are, by the name of their sink and whether they are dead.
        Of a sink that is not configured any more the name is C{other}.

        @raise NotKept: when the store does not work.
        """
        names = self._names()
        depths: dict[tuple[str, bool], int] = {
            (name, dead): 0 for name in names.values() for dead in (False, True)
        }
        for (spec, dead), count in (await self._store.depths()).items():
            key = names.get(spec, "other"), dead
            depths[key] = depths.get(key, 0) + count
        return depths

    async def oldestAges(self) -> dict[str, float]:
        """
        Since how many seconds the oldest call waits for its delivery, by the name of the
        sink as in L{depths}; 0 where none waits.

        @raise NotKept: when the store does not work.
        """
        names, now = self._names(), self._reactor.seconds()
        ages = dict.fromkeys(names.values(), 0.0)
        for spec, received in (await self._store.oldestWaiting()).items():
            name = names.get(spec, "other")
            ages[name] = max(ages.get(name, 0.0), now - received)
        return ages

    def _names(self) -> dict[str, str]:
        return {spec: worker.sink.name for spec, worker in self._workers.items()}

    def wake(self) -> None:
        """Something may be due that others put there."""
        for worker in self._workers.values():
            worker.wake()

    def reopen(self) -> None:
        """Files may have been moved away."""
        for worker in self._workers.values():
            worker.sink.reopen()

    async def settle(self, seconds: float) -> None:
        """Wait for what is being given to a sink right now, so long and no longer."""
        for _ in range(int(seconds / _GLANCE)):
            if not any(worker.isGiving for worker in self._workers.values()):
                return
            await deferLater(self._reactor, _GLANCE)

    async def stop(self) -> None:
        """Stop giving, and close everything; what is owed is kept, if there is a spool."""
        for worker in self._workers.values():
            await worker.stop()
        self._waiting.clear()
        await self._store.close()
