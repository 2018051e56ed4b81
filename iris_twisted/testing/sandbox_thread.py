"""
A sandbox that lives in a thread: for tests of any kind, whatever loop or reactor they have,
or none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..aio import loopReactor
from ..sandbox import Sandbox, startSandbox
from ..sandbox.records import Call, UserSession

__all__ = ["SandboxThread"]

_Result = TypeVar("_Result")
# Seconds that anything it is asked for may take.
_PATIENCE = 30.0
_LOOK = 0.005


class SandboxThread:
    """
    A L{Sandbox<iris_twisted.sandbox.Sandbox>} whose methods may be called from any thread; each
    waits until it is done.

    @param options: see L{startSandbox<iris_twisted.sandbox.startSandbox>}.
    @ivar url: its event manager, for C{connect()}.
    @ivar caFile: with TLS, a PEM file with the certificate to trust; otherwise C{None}.
    """

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="iris-sandbox", daemon=True
        )
        self._thread.start()
        try:
            self._sandbox: Sandbox = self._await(self._start(options))
        except BaseException:
            self._end()
            raise
        self.url = self._sandbox.url
        self.caFile = self._sandbox.caFile

    def stop(self) -> None:
        """Close everything, and end the thread. Again, it does nothing."""
        if self._thread.is_alive():
            try:
                self._await(self._fired(self._sandbox.stop))
            finally:
                self._end()

    def __enter__(self) -> SandboxThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Calls

    def placeCall(self, to: str, **options: Any) -> Call:
        """
        See L{Platform.placeCall<iris_twisted.sandbox.platform.Platform.placeCall>}. The C{state}
        of what it returns follows what becomes of it.
        """
        return self.do(lambda sandbox: sandbox.placeCall(to, **options))

    def cancelCall(self, id: str) -> Call:
        """The caller hangs up."""
        return self.do(lambda sandbox: sandbox.cancelCall(id))

    @property
    def sessions(self) -> list[UserSession]:
        """Who is connected and bound."""
        return self.do(lambda sandbox: sandbox.sessions)

    # Tokens

    def token(self, routingId: str, lifetime: float = 3600.0, age: float | None = None) -> str:
        """An iris token that is accepted for so many seconds, and that is so many old."""
        return self.do(lambda sandbox: sandbox.token(routingId, lifetime, age))

    def refuseToken(self, token: str) -> None:
        """From now on, discovery refuses this iris token, as one that has expired."""
        self.do(lambda sandbox: sandbox.refuseToken(token))

    # Trouble

    def drop(self, how: str = "abort") -> None:
        """End every session: C{abort}, C{close} or C{disconnect}."""
        self.do(lambda sandbox: sandbox.drop(how))

    def goAway(self) -> None:
        """Be gone, as a platform that is down."""
        self._await(self._fired(self._sandbox.goAway))

    def comeBack(self) -> None:
        """Listen again where it did before L{goAway}."""
        self._await(self._fired(self._sandbox.comeBack))

    def hang(self, step: str) -> None:
        """From now on, fall silent at that step."""
        self.do(lambda sandbox: sandbox.hang(step))

    def answerDiscovery(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Let discovery answer this, until L{behave}."""
        self.do(lambda sandbox: sandbox.answerDiscovery(status, body, **headers))

    def behave(self) -> None:
        """Be good again: discovery answers the truth, and no step hangs."""
        self.do(lambda sandbox: sandbox.behave())

    # Everything else

    def do(self, work: Callable[[Sandbox], _Result]) -> _Result:
        """Do something with the sandbox, in its thread."""

        async def doing() -> _Result:
            return work(self._sandbox)

        return self._await(doing())

    def wait(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """
        Wait until it is so; in a test with a loop of its own, from another thread:
        C{await asyncio.to_thread(sandbox.wait, condition)}.

        @raise TimeoutError: when it is not so in as many seconds.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"it was not so within {timeout:g} seconds")
            time.sleep(_LOOK)

    @staticmethod
    async def _start(options: dict[str, Any]) -> Sandbox:
        loop = asyncio.get_running_loop()
        return await startSandbox(loopReactor(loop), **options).asFuture(loop)

    @staticmethod
    async def _fired(work: Callable[[], Any]) -> None:
        await work().asFuture(asyncio.get_running_loop())

    def _await(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()
