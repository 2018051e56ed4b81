"""
From the outbox to one sink: as many at a time as it takes, again with backoff, and to the
dead letters when there is no hope.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..connection.interfaces import IRetryPolicy
from ..errors import IrisError, NotKept, NotTaken, SinkRefused
from ..sinks.interfaces import INotificationSink
from .interfaces import IOutboxStore
from .values import Due

__all__ = ["SinkWorker"]

# Seconds after which it looks again anyway: somebody may have revived dead letters.
_LOOK = 10.0
# Seconds to wait when the outbox itself does not work.
_MEND = 5.0
_BATCH = 64


class SinkWorker:
    """
    @param spec: what the sink is called in the store.
    @param policy: when to try again.
    @param retryFor: seconds from a call's arrival in which it is tried.
    @param ended: called with the delivery, its outcome (C{taken}, C{failed}, C{dead}), the
        seconds that it took, and the error if there was one.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        store: IOutboxStore,
        spec: str,
        sink: INotificationSink,
        policy: IRetryPolicy,
        retryFor: float,
        ended: Callable[[Due, str, float, IrisError | None], None],
    ) -> None:
        self.sink = sink
        self._reactor = reactor
        self._store = store
        self._spec = spec
        self._policy = policy
        self._retryFor = retryFor
        self._ended = ended
        self._ready: deque[Due] = deque()
        self._known: set[int] = set()
        self._working: set[Deferred[None]] = set()
        self._looking = False
        self._lookAgain = False
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self._failing = False

    def wake(self) -> None:
        """Something may be due."""
        if self._looking:
            self._lookAgain = True
        elif not self._ready:
            self._start(self._look())

    @property
    def isGiving(self) -> bool:
        """Whether the sink is being given something."""
        return len(self._known) > len(self._ready)

    async def stop(self) -> None:
        """Leave what is under way to the next start, and close the sink."""
        self._stopped = True
        self._cancelTimer()
        working = list(self._working)
        for work in working:
            work.cancel()
        await gatherResults(working)
        await self.sink.stop()

    def _start(self, work: Any) -> None:
        if self._stopped:
            work.close()
            return
        working: Deferred[None] = Deferred.fromCoroutine(work)
        self._working.add(working)

        def ended(failure: Any) -> None:
            self._working.discard(working)
            if failure is not None and not failure.check(CancelledError):
                self._log.failure("a bug in delivering to {name}", failure, name=self.sink.name)

        working.addBoth(lambda result: ended(result))

    def _cancelTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    async def _look(self) -> None:
        """Fetch what is due, and give the sink as much as it takes."""
        self._looking = True
        self._cancelTimer()
        try:
            while True:
                self._lookAgain = False
                now, most = self._reactor.seconds(), _BATCH + len(self._known)
                look = await self._mended(partial(self._store.due, self._spec, now, most))
                fresh = [due for due in look.due if due.id not in self._known]
                self._ready.extend(fresh)
                self._known.update(due.id for due in fresh)
                if not self._lookAgain or self._ready:
                    break
            wait = _LOOK
            if not self._ready and look.next is not None:
                wait = min(wait, max(0.0, look.next - self._reactor.seconds()))
        finally:
            self._looking = False
        if self._stopped:
            return
        if self._lookAgain and not self._ready:
            wait = 0.0
        self._timer = self._reactor.callLater(wait, self.wake)
        self._pump()

    def _pump(self) -> None:
        underWay = len(self._known) - len(self._ready)
        while self._ready and underWay < self.sink.concurrency:
            underWay += 1
            self._start(self._deliver(self._ready.popleft()))

    async def _mended(self, work: Callable[[], Deferred[Any]]) -> Any:
        """Do that in the store, as soon as it works."""
        while True:
            try:
                result = await work()
            except NotKept as e:
                if not self._failing:
                    self._failing = True
                    self._log.error("{reason}; trying again", reason=e.message)
                await deferLater(self._reactor, _MEND)
            else:
                self._failing = False
                return result

    async def _deliver(self, due: Due) -> None:
        began = self._reactor.seconds()
        error: IrisError | None = None
        outcome = "taken"
        try:
            await maybeDeferred(self.sink.take, due.record)
        except CancelledError:
            raise
        except IrisError as e:
            error = e
        except Exception as e:
            self._log.failure("the sink {name} failed", name=self.sink.name)
            error = NotTaken(f"{self.sink.name} failed: {type(e).__name__}", cause=e)
        seconds = self._reactor.seconds() - began
        if error is None:
            await self._mended(lambda: self._store.taken(due.id, self._spec))
        else:
            again = self._again(due, error)
            outcome = "dead" if again is None else "failed"
            words = error.message
            await self._mended(lambda: self._store.failed(due.id, self._spec, again, words))
            self._tell(due, error, again)
        self._known.discard(due.id)
        self._ended(due, outcome, seconds, error)
        if self._ready:
            self._pump()
        else:
            self.wake()

    def _again(self, due: Due, error: IrisError) -> float | None:
        """When to try again, epoch seconds; C{None} for never."""
        if isinstance(error, SinkRefused):
            return None
        now: float = self._reactor.seconds()
        delay = self._policy.delay(due.attempts + 1)
        asked = error.retryAfter if isinstance(error, NotTaken) else None
        if asked is not None:
            delay = max(delay or 0.0, asked)
        if delay is None or now + delay > due.record.received + self._retryFor:
            return None
        return now + delay

    def _tell(self, due: Due, error: IrisError, again: float | None) -> None:
        if again is None:
            self._log.error(
                "{reason}: the call {key} for {account} is a dead letter",
                reason=error.message,
                key=due.record.key,
                account=due.record.account,
            )
        else:
            self._log.warn(
                "{reason}: trying again in {wait:.1f} seconds",
                reason=error.message,
                wait=again - self._reactor.seconds(),
            )
