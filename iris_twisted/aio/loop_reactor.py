"""
A reactor on the asyncio loop that runs already: nothing to install, to start or to stop.

Twisted's C{asyncioreactor} is made to own the loop: stopped, it stops the loop too, its
threads begin only when it is run, and a process has one. A program that asyncio runs, or
uvicorn, has a loop and perhaps another one later, each for as long as it likes. So there is
one of these for each loop, which holds no thread, no socket and no signal of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.python.failure import Failure

__all__ = ["LoopReactor", "loopReactor"]


class _ExecutorThreads:
    """The part of Twisted's C{ThreadPool} that is asked for, on the executor of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def callInThread(self, work: Callable[..., object], *args: object, **kw: object) -> None:
        self.callInThreadWithCallback(None, work, *args, **kw)

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, Any], object] | None,
        work: Callable[..., object],
        *args: object,
        **kw: object,
    ) -> None:
        """Call C{onResult} in the thread: whether it went well, and the result or L{Failure}."""

        def run() -> None:
            try:
                outcome: tuple[bool, Any] = True, work(*args, **kw)
            except BaseException:
                outcome = False, Failure()
            if onResult is not None:
                onResult(*outcome)

        self._loop.run_in_executor(None, run)


class LoopReactor(AsyncioSelectorReactor):
    """
    Sockets, timers and host names, while the loop runs. It starts no processes, and nobody
    calls its C{run} or C{stop}: asyncio does.

    @param loop: whose selector and executor are used.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._executorThreads = _ExecutorThreads(loop)
        super().__init__(loop)

    def installWaker(self) -> None:
        """None: C{callFromThread} wakes the loop, which has a waker."""

    def getThreadPool(self) -> Any:
        """The loop's executor, which the loop ends."""
        return self._executorThreads


_reactors: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[LoopReactor]] = WeakKeyDictionary()


def loopReactor(loop: asyncio.AbstractEventLoop | None = None) -> LoopReactor:
    """
    The reactor of a loop: always the same while somebody uses it.

    @param loop: C{None} for the one that is running.
    @raise RuntimeError: when none is running.
    """
    if loop is None:
        loop = asyncio.get_running_loop()
    known = _reactors.get(loop)
    reactor = None if known is None else known()
    if reactor is None:
        reactor = LoopReactor(loop)
        _reactors[loop] = ref(reactor)
    return reactor
