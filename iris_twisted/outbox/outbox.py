"""
The outbox: takes each call, and gives it to all its sinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection.interfaces import IRetryPolicy
from ..connection.retry import FullJitter
from ..errors import IrisError, NotKept
from ..net.steady_time import steadyTime
from ..sinks.interfaces import INotificationSink
from ..sinks.record import CallRecord
from .ages import Ages
from .interfaces import IOutboxStore
from .observer import OutboxObserver, tell
from .sink_worker import SinkWorker
from .spool import Spool
from .unkept import Unkept
from .values import Addition, Due, Place

__all__ = ["Outbox"]

# Seconds between two looks at whether all sinks are done.
_POLL = 0.05


def _closed() -> Failure:
    return Failure(NotKept("the outbox is closed"))


class Outbox:
    """
    Keeps calls, and gives each to all its sinks: at least once, in the order of each account, with
    backoff while a sink does not take them. What it could not give in time is a dead letter.

    @param reactor: for time and threads.
    @param store: keeps the calls; or the path of a spool, a file for that; C{None} for one in
        memory: then a call is acknowledged only when its durable sinks have it, and the
        platform keeps what they do not take.
    @param make: makes the sink of a specification, as L{makeSink<iris_twisted.sinks.makeSink>}
        does.
    @param policy: when to try a sink again; C{None} for full jitter up to five minutes.
    @param retryFor: seconds from a call's arrival in which a sink is tried, before the call is a
        dead letter; 0 for one attempt; C{None} for a day, and for one minute in memory, since
        somebody waits.
    @param forgetKeysAfter: seconds for which a call is known that is told again, also when
        it was delivered meanwhile. A store that is given has its own.
    @param strictOrder: whether a call of an account waits while one before it is tried again.
        A store that is given must know it too.
    @param observer: is told what happens.
    @raise IncorrectParameters: when the spool cannot be opened.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        store: IOutboxStore | str | None,
        make: Callable[[str], INotificationSink],
        *,
        policy: IRetryPolicy | None = None,
        retryFor: float | None = None,
        forgetKeysAfter: float = 24 * 3600.0,
        strictOrder: bool = False,
        observer: OutboxObserver | None = None,
    ) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._ages = Ages(reactor)
        if store is None or isinstance(store, str):
            store = Spool(reactor, store, forgetKeysAfter, strictOrder)
        self._store = store
        self._keeps = store.keeps
        self._make = make
        self._policy = policy or FullJitter(cap=300.0)
        if retryFor is None:
            retryFor = 24 * 3600.0 if self._keeps else 60.0
        self._retryFor = retryFor
        self._strict = strictOrder
        self._stopped = False
        self._observer = observer or OutboxObserver()
        self._workers: dict[str, SinkWorker] = {}
        self._unkept = Unkept(store, self._accepted, self._arrived)
        # What came in this turn, and goes to the store in the next one.
        self._coming: list[Addition] = []
        # By the key of a call, who waits to hear that it may be acknowledged.
        self._arriving: dict[str, list[Deferred[None]]] = {}

    def use(self, specs: Iterable[str]) -> None:
        """
        Make those of these sinks that are not there yet, and begin with what they are owed.

        @param specs: their specifications, as C{--sink} has them.
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
                    self._strict,
                )
                worker.wake()

    def offer(
        self,
        account: str,
        notification: dict[str, Any],
        specs: Sequence[str],
        place: Place | None = None,
    ) -> Deferred[None]:
        """
        A call came, or one that came before is told again: sinks get it once.

        @param account: the routing id that was notified.
        @param notification: as C{onNotification} got it.
        @param specs: the sinks to give it to, each once however often it is named; all were named
            to L{use}.
        @param place: by which right, in a cluster.
        @return: fires when the call may be acknowledged; fails with L{NotKept
            <iris_twisted.errors.NotKept>} when it cannot be stored, or this is stopped, and with
            what a durable sink said when it was not stored anywhere else.
        @raise ValueError: when a sink is not one of those that L{use} has made.
        """
        if self._stopped:
            return fail(_closed())
        if not self._workers.keys() >= set(specs):
            raise ValueError("a sink was not named to use() before")
        try:
            record = CallRecord.of(account, notification, self._reactor.seconds())
        except (TypeError, ValueError, RecursionError) as e:
            return fail(NotKept(f"a call for {account} cannot be written as JSON", cause=e))
        told: Deferred[None] = Deferred()
        waiting = self._arriving.get(record.key)
        if waiting is not None:
            tell(self._observer.repeated)
            waiting.append(told)
            return told
        self._arriving[record.key] = [told]
        if not self._coming:
            # What else comes in this turn goes along.
            self._time.callLater(0, self._add)
        self._coming.append(Addition(record, tuple(dict.fromkeys(specs)), place))
        return told

    def _add(self) -> None:
        coming, self._coming = self._coming, []
        if not coming:
            # Done at the end already.
            return
        term = self._store.term()
        adding = maybeDeferred(self._store.add, coming)
        adding.addCallbacks(
            self._added, self._notAdded, callbackArgs=(coming, term), errbackArgs=(coming,)
        )
        adding.addErrback(lambda failure: self._log.failure("a bug in keeping calls", failure))

    def _notAdded(self, failure: Failure, additions: Sequence[Addition]) -> None:
        """The store has a bug: whoever waits for these calls shall not wait for ever."""
        self._log.failure("a bug in keeping calls", failure)
        error = Failure(NotKept(f"the outbox failed by a bug: {type(failure.value).__name__}"))
        for addition in additions:
            self._arrived(error, addition.record.key)

    def _added(
        self,
        results: Sequence[int | NotKept | None],
        additions: Sequence[Addition],
        term: int | None,
    ) -> None:
        for result, addition in zip(results, additions, strict=True):
            if result is None:
                tell(self._observer.repeated)
                self._arrived(None, addition.record.key)
            elif isinstance(result, NotKept):
                self._arrived(Failure(result), addition.record.key)
            else:
                self._kept(result, addition, term)

    def _kept(self, id: int, addition: Addition, term: int | None) -> None:
        record, specs = addition.record, addition.sinks
        durable = set[str]()
        if not self._keeps:
            durable = {spec for spec in specs if self._workers[spec].sink.durable}
        if durable and self._stopped:
            self._arrived(_closed(), record.key)
        elif durable:
            self._unkept.add(id, record.key, durable)
        else:
            self._accepted(record)
        due = Due(id, 0, record)
        for spec in specs:
            self._workers[spec].give(due, term)

    def _accepted(self, record: CallRecord) -> None:
        tell(self._observer.accepted, self._ages.since(record.received))
        self._arrived(None, record.key)

    def _arrived(self, result: Failure | None, key: str) -> None:
        """Whoever told of that call hears what became of it."""
        for told in self._arriving.pop(key):
            told.callback(result)

    def _ended(
        self, spec: str, due: Due, outcome: str, seconds: float, error: IrisError | None
    ) -> None:
        tell(self._observer.ended, self._workers[spec].sink.name, outcome, seconds)
        if not self._keeps:
            self._unkept.ended(spec, due, outcome, error)

    async def depths(self) -> dict[tuple[str, bool], int]:
        """
        How many deliveries there are, by the name of their sink and whether they are dead letters.
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
        names = self._names()
        ages = dict.fromkeys(names.values(), 0.0)
        for spec, received in (await self._store.oldestWaiting()).items():
            name = names.get(spec, "other")
            ages[name] = max(ages.get(name, 0.0), self._ages.since(received))
        return ages

    def _names(self) -> dict[str, str]:
        return {spec: worker.sink.name for spec, worker in self._workers.items()}

    @property
    def store(self) -> IOutboxStore:
        """Where the calls are."""
        return self._store

    @property
    def specs(self) -> list[str]:
        """The sinks that L{use} has made, as they are configured: one may hold a secret."""
        return list(self._workers)

    def wake(self) -> None:
        """Something may be due that came by another way: adopted, for one."""
        for worker in self._workers.values():
            worker.wake()

    def refresh(self) -> None:
        """Somebody else may have what is not under way: read again what is ours still."""
        for worker in self._workers.values():
            worker.refresh()

    def reopen(self) -> None:
        """Files may have been moved away: each sink is told to open its own again."""
        for worker in self._workers.values():
            try:
                worker.sink.reopen()
            except Exception:
                # A plugin's, for one: the others are to be told all the same.
                self._log.failure("the sink {name} did not reopen", name=worker.sink.name)

    async def settle(self, seconds: float) -> None:
        """Wait until no sink is being given anything, so many seconds at most."""
        for _ in range(int(seconds / _POLL)):
            if not any(worker.isGiving for worker in self._workers.values()):
                return
            await deferLater(self._time, _POLL)

    async def stop(self) -> None:
        """
        Stop giving, and close everything; what is owed is kept, if the store outlives the process.
        Otherwise the offers that wait fail with L{NotKept <iris_twisted.errors.NotKept>}.
        """
        for worker in self._workers.values():
            try:
                await worker.stop()
            except Exception:
                # A plugin's, for one: the others and the store are to be closed all the same.
                self._log.failure("the sink {name} did not stop", name=worker.sink.name)
        self._stopped = True
        self._add()
        self._unkept.close()
        await self._store.close()
