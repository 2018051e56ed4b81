"""
From the outbox to one sink: as many at a time as it takes, in the order of each account, again
with backoff, and to the dead letters when there is no hope.

What was kept just now is given at once, without reading it back, as long as nothing that came
before it is still to be read.

Before each delivery the store is asked whether what is known here may still be given: a member of
a cluster that was stopped for a while, or has lost its database, may owe nothing of it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection.interfaces import IRetryPolicy
from ..errors import IrisError, NotTaken
from ..net.earliest_call import EarliestCall
from ..net.steady_time import steadyTime
from ..sinks.interfaces import IAskingSink, INotificationSink, IOrderedSink
from .attempts import Attempts
from .failed_attempts import FailedAttempts
from .interfaces import IOutboxStore
from .lanes import Lanes
from .marks import Marks
from .store_retry import StoreRetry
from .values import Attempt, Due

__all__ = ["SinkWorker"]

# Seconds after which it looks again anyway: somebody may have revived dead letters.
_LOOK = 10.0
# Seconds after which it asks again whether it may give anything.
_HOLD = 0.5
# How many are read at a time.
_BATCH = 256
# How many calls a sink has at most of which it is not written down yet that it took them, and how
# many more for each that it takes at a time: what happens to us or the store repeats no others.
_UNMARKED = 64
_UNMARKED_EACH = 4


class SinkWorker:
    """
    Gives one sink what it is owed. See the module.

    @param spec: what the sink is called in the store.
    @param policy: when to try again.
    @param retryFor: see L{Attempts}.
    @param ended: called with the delivery, its outcome (C{taken}, C{failed}, C{dead}), the
        seconds that it took, and the error if there was one.
    @param strictOrder: whether a call of an account waits while one before it is tried again.
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
        strictOrder: bool = False,
    ) -> None:
        self.sink = sink
        self._time = steadyTime(reactor)
        self._store = store
        self._spec = spec
        self._attempts = Attempts(reactor, policy, retryFor)
        self._failures = FailedAttempts(reactor, sink.name)
        self._ended = ended
        self._strict = strictOrder
        # A sink that keeps the order by itself gets many calls of an account at a time.
        self._lanes = Lanes(serial=strictOrder or not IOrderedSink.providedBy(sink))
        self._taking: dict[int, Deferred[Any]] = {}
        self._storing = StoreRetry(reactor, sink.name)
        self._marks = Marks(reactor, store, spec, self._storing, self._marked)
        # In which term of the store's all was read that is known here; none at the beginning.
        self._term: int | None = None
        # Whether the store may hold what is due and not in C{_lanes}.
        self._more = True
        # Whether the store may hold what is due later.
        self._waitsForDate = True
        self._looking = False
        self._lookAgain = False
        # The accounts of which an earlier call went back to the store while it looked.
        self._putBack: set[str] = set()
        self._pumping = False
        self._nextLook = EarliestCall(reactor, self.wake)
        self._stopped = False

    # What may be asked of it

    def wake(self) -> None:
        """Something may be due in the store that is not known here: read it, when that is next."""
        self._more = True
        if self._looking:
            self._lookAgain = True
        elif not self._lanes.ready:
            self._storing.start(self._look())

    def give(self, due: Due, term: int | None) -> None:
        """
        A call was kept just now, after all that was kept before.

        @param term: in which it was brought to the store.
        """
        behind = self._strict or self._looking or self._more or self._lanes.isFull
        if behind or term != self._term:
            # What came before it is read first, and it again where it may be somebody else's.
            self.wake()
        elif due.id not in self._lanes.known:
            self._renewDates()
            self._lanes.put(due)
            self._pump()

    def refresh(self) -> None:
        """Forget what is known and not under way: somebody else may have it by now."""
        self._putBack |= self._lanes.forgetWaiting()
        self.wake()

    @property
    def isGiving(self) -> bool:
        """Whether the sink is being given something, or what it took is being marked."""
        return bool(self._taking or self._marks.waiting or self._storing.writing)

    async def stop(self) -> None:
        """Leave what is under way to the next start, and close the sink."""
        self._stopped = True
        self._nextLook.cancel()
        self._failures.stop()
        for taking in list(self._taking.values()):
            taking.cancel()
        self._marks.write()
        await self._storing.stop()
        await self.sink.stop()

    # Reading what is due

    def _lookAt(self, time: float) -> None:
        """Look at that date of L{Attempts}, or before."""
        self._nextLook.within(max(0.0, time - self._attempts.now()))

    @property
    def _isSure(self) -> bool:
        """Whether what is known here may be given."""
        return self._term is not None and self._store.term() == self._term

    def _hold(self) -> None:
        """Forget what somebody else may have by now; read it again when it may be given."""
        self._term = None
        self._lanes.forgetWaiting()
        self._more = True
        self._nextLook.within(_HOLD)

    async def _look(self) -> None:
        """Read what is due."""
        self._looking = True
        self._lookAgain = False
        self._putBack.clear()
        self._nextLook.cancel()
        lanes, now = self._lanes, self._attempts.now()
        if not self._isSure:
            lanes.forgetWaiting()
            self._term = self._store.term()
        lanes.beforeLook()
        try:
            look = await self._storing.do(
                lambda: self._store.due(
                    self._spec, now, _BATCH, tuple(lanes.known), tuple(lanes.skipped)
                )
            )
            # What was asked before a pause of the process may be answered after it.
            sure = self._isSure
            for due in look.due if sure else ():
                if due.id not in lanes.known and due.record.account not in self._putBack:
                    lanes.put(due)
            again = self._lookAgain or bool(self._putBack)
            self._more = not sure or again or len(look.due) >= _BATCH
            self._waitsForDate = look.next is not None
            if look.next is not None and self._attempts.meet(look.next):
                self._more = True
            self._renewDates()
        finally:
            self._looking = False
        if self._stopped:
            return
        if sure:
            self._lookAt(min(now + _LOOK, look.next or now + _LOOK))
            self._pump()
        else:
            self._hold()
            if self._lookAgain:
                self.wake()

    def _renewDates(self) -> None:
        """While nothing waits for its date, dates may be those of the wall clock again."""
        if not self._waitsForDate and not self._lanes.known:
            self._attempts.renew()

    # Giving it to the sink

    @property
    def _hasRoom(self) -> bool:
        """Whether the sink takes more now, and the store will hear of it soon enough."""
        most = self.sink.concurrency
        return len(self._taking) < most and self._marks.waiting < _UNMARKED + _UNMARKED_EACH * most

    def _pump(self) -> None:
        """Give the sink as much as it takes."""
        if self._pumping or self._stopped:
            # A sink that takes at once comes here from within the loop below, which goes on.
            return
        self._pumping = True
        try:
            while self._lanes.ready and self._hasRoom:
                if self._isSure:
                    self._take(self._lanes.ready.popleft())
                else:
                    self._hold()
        finally:
            self._pumping = False
        if self._more and self._term is not None and not self._lanes.ready and not self._looking:
            self._storing.start(self._look())

    def _take(self, due: Due) -> None:
        began, term = self._time.seconds(), self._term
        if IAskingSink.providedBy(self.sink):
            taking = maybeDeferred(self.sink.takeIf, due.record, lambda: self._store.term() == term)
        else:
            taking = maybeDeferred(self.sink.take, due.record)
        self._taking[due.id] = taking
        taking.addCallbacks(
            self._taken, self._notTaken, callbackArgs=(due, began), errbackArgs=(due, began)
        )

    def _taken(self, _: object, due: Due, began: float) -> None:
        del self._taking[due.id]
        self._marks.take(due, self._time.seconds() - began)
        # The next one need not wait until this one is marked.
        self._lanes.next(due.record.account)
        self._pump()

    def _marked(self, taken: Sequence[tuple[Due, float]]) -> None:
        if self._failures.areTold:
            self._failures.taken()
        for due, seconds in taken:
            self._done(due, "taken", seconds, None)
        self._pump()

    def _notTaken(self, failure: Failure, due: Due, began: float) -> None:
        del self._taking[due.id]
        if self._stopped:
            # It is given again at the next start.
            return
        error = failure.value
        if not isinstance(error, IrisError):
            self._log.failure("the sink {name} failed", failure, name=self.sink.name)
            words = f"{self.sink.name} failed: {type(error).__name__}"
            error = NotTaken(words, cause=error)
        seconds = self._time.seconds() - began
        again = self._attempts.again(due, error)
        if not self._strict:
            self._lanes.next(due.record.account)
        attempt = Attempt(due.id, self._spec, again, error.message)
        self._storing.write(
            lambda: self._store.failed(attempt), lambda: self._failed(due, error, again, seconds)
        )
        self._pump()

    def _done(self, due: Due, outcome: str, seconds: float, error: IrisError | None) -> None:
        """The store knows how an attempt ended."""
        self._lanes.forget(due.id)
        self._ended(due, outcome, seconds, error)
        if self._lanes.wantsMoreOf(due.record.account):
            self.wake()

    def _failed(self, due: Due, error: IrisError, again: float | None, seconds: float) -> None:
        # It may have been written down late: the disk was full, for one.
        delay = None if again is None else max(0.0, again - self._attempts.now())
        self._failures.failed(due, error, delay)
        if self._strict:
            if again is not None:
                # The later ones are due with it now, and read again then.
                self._lanes.forgetWaitingOf(due.record.account)
                self._putBack.add(due.record.account)
            self._lanes.next(due.record.account)
        self._done(due, "dead" if again is None else "failed", seconds, error)
        if again is not None:
            self._waitsForDate = True
            self._lookAt(again)
        self._pump()
