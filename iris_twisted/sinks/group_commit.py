"""
Work that is cheaper done together: what comes while one batch is under way is the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from ..net.steady_time import steadyTime

__all__ = ["Batches", "GroupCommit"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Batches(Generic[_Item, _Result]):
    """
    What is submitted while a batch is under way is the next batch.

    @param reactor: for the time.
    @param work: called with the items of a batch, not again before its Deferred fired; that
        gives a result for each, in their order, or a C{Failure} for one that failed alone.
        When it fails, all of the batch failed.
    @param longest: how many items a batch may have.
    """

    def __init__(
        self,
        reactor: Any,
        work: Callable[[Sequence[_Item]], Deferred[Sequence[_Result | Failure]]],
        longest: int = 1000,
    ) -> None:
        self._reactor = reactor
        self._work = work
        self._longest = longest
        self._waiting: list[tuple[_Item, Deferred[_Result]]] = []
        self._busy = False
        self._began: float | None = None
        self._idle: list[Deferred[None]] = []

    @property
    def waited(self) -> float:
        """Seconds since the batch was begun that is not done yet; 0 where there is none."""
        began = self._began
        return 0.0 if began is None else steadyTime(self._reactor).seconds() - began

    def submit(self, item: _Item) -> Deferred[_Result]:
        """
        @return: fires with the item's result when its batch is done; fails as that did, or as the
            item did. Cancelling it ends the waiting, and not the work.
        """
        done: Deferred[_Result] = Deferred()
        self._waiting.append((item, done))
        if not self._busy:
            self._busy = True
            # What else comes in this turn goes along.
            steadyTime(self._reactor).callLater(0, self._begin)
        return done

    def idle(self) -> Deferred[None]:
        """Fires when nothing is under way, and everybody has heard what became of theirs."""
        idle: Deferred[None] = Deferred()
        if self._busy:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _begin(self) -> None:
        batch, self._waiting = self._waiting[: self._longest], self._waiting[self._longest :]
        self._began = steadyTime(self._reactor).seconds()
        self._work([item for item, _ in batch]).addCallbacks(
            lambda results: self._done(results, batch),
            lambda failure: self._failed(failure, batch),
        )

    def _done(
        self, results: Sequence[_Result | Failure], batch: list[tuple[_Item, Deferred[_Result]]]
    ) -> None:
        self._next()
        for (_, done), result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)
        self._tellIdle()

    def _failed(self, failure: Failure, batch: list[tuple[_Item, Deferred[_Result]]]) -> None:
        self._next()
        for _, done in batch:
            done.errback(failure)
        self._tellIdle()

    def _next(self) -> None:
        self._began = None
        self._busy = bool(self._waiting)
        if self._busy:
            self._begin()

    def _tellIdle(self) -> None:
        # Not before the results are told: whoever gets one may submit something else.
        if self._busy:
            return
        idle, self._idle = self._idle, []
        for waiting in idle:
            waiting.callback(None)


class GroupCommit(Batches[_Item, _Result]):
    """
    Batches of work that blocks, and so is done in a thread.

    @param reactor: for the time and its pool of threads.
    @param commit: called in a thread with the items of a batch, never twice at a time; gives
        a result for each, in their order, or a C{Failure} for one that failed alone. When
        it raises, all of the batch failed.
    @param longest: how many items a batch may have.
    """

    def __init__(
        self,
        reactor: Any,
        commit: Callable[[Sequence[_Item]], Sequence[_Result | Failure]],
        longest: int = 1000,
    ) -> None:
        def work(items: Sequence[_Item]) -> Deferred[Sequence[_Result | Failure]]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), commit, items)

        super().__init__(reactor, work, longest)
