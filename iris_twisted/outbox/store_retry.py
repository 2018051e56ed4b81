"""
Work in a store that must be done, however long the store does not work.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import NotKept
from ..net.steady_time import steadyTime

__all__ = ["StoreRetry"]

# Seconds until the next attempt when the store does not work.
_MEND = 2.0


class StoreRetry:
    """
    Runs work in a store again, every two seconds, while it fails with L{NotKept}. Of an outage the
    first failure is logged.

    @param name: of the sink whose work it is, for the log.
    @ivar writing: how many calls of L{write} are not done yet.
    """

    _log = Logger()

    def __init__(self, reactor: Any, name: str) -> None:
        self.writing = 0
        self._time = steadyTime(reactor)
        self._name = name
        self._working: set[Deferred[None]] = set()
        self._failing = False
        self._stopped = False

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it is done, or until L{stop}, which cancels it."""
        if self._stopped:
            work.close()
            return
        working: Deferred[None] = Deferred.fromCoroutine(work)
        self._working.add(working)

        def ended(failure: Failure | None) -> None:
            self._working.discard(working)
            if failure is not None and not failure.check(CancelledError):
                self._bug(failure)

        working.addBoth(ended)

    def _bug(self, failure: Failure) -> None:
        self._log.failure("a bug in delivering to {name}", failure, name=self._name)

    async def do(self, work: Callable[[], Deferred[Any]]) -> Any:
        """
        Do that, as soon as the store works.

        @param work: begins an attempt.
        @return: the result of the attempt that did not fail with L{NotKept}.
        """
        while True:
            try:
                result = await work()
            except NotKept as e:
                self._tell(e)
                await deferLater(self._time, _MEND)
            else:
                self._failing = False
                return result

    def _tell(self, error: NotKept) -> None:
        if not self._failing:
            self._failing = True
            self._log.error("{reason}; trying again", reason=error.message)

    def write(self, work: Callable[[], Deferred[Any]], then: Callable[[], None]) -> None:
        """
        The same as L{do}, where nobody waits for it.

        @param then: called when it is done, unless L{stop} was called before.
        """
        self.writing += 1

        def done(_: object) -> None:
            self.writing -= 1
            if not self._stopped:
                then()

        async def later() -> None:
            await deferLater(self._time, _MEND)
            done(await self.do(work))

        def failed(failure: Failure) -> None:
            failure.trap(NotKept)
            self._tell(failure.value)  # type: ignore[arg-type]
            self.start(later())

        # Not a coroutine from the beginning: almost always it works, and there are many.
        work().addCallbacks(done, failed).addErrback(self._bug)

    async def stop(self) -> None:
        """What was not done by now is not done any more."""
        self._stopped = True
        working = list(self._working)
        for work in working:
            work.cancel()
        await gatherResults(working)
