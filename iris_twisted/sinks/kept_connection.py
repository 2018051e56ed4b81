"""
One connection of a sink: opened when it is wanted, and again after it was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..connection.interfaces import IRetryPolicy
from ..connection.retry import FullJitter, delayBefore
from ..errors import (
    CertificateRefused,
    CertificateWanted,
    IncorrectParameters,
    IrisError,
    NotTaken,
)
from ..net.deadline import deadlined
from ..net.steady_time import steadyTime

__all__ = ["KeptConnection", "SinkConnection"]

# Seconds that a connection must stay up before the count of attempts starts anew.
_STABLE = 10.0


class SinkConnection(Protocol):
    """
    A connection that is open.

    @ivar gone: fires, and never fails, when it is not open any more.
    """

    gone: Deferred[None]

    def close(self) -> None:
        """Close it, politely if that is quick; C{gone} tells when."""


_Connection = TypeVar("_Connection", bound=SinkConnection)


class KeptConnection(Generic[_Connection]):
    """
    One attempt to open it at a time, whoever waits; after a failure, and after a loss, none before
    the policy says so: until then whoever asks is told of the failure.

    @param name: the sink's, for errors.
    @param open: opens one; fails with L{IncorrectParameters} when somebody has to change
        something before it can be.
    @param timeout: seconds that this may take.
    @param policy: how soon it is tried again; C{None} for full jitter up to 30 seconds.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        open: Callable[[], Deferred[_Connection]],
        timeout: float,
        policy: IRetryPolicy | None = None,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._open = open
        self._timeout = timeout
        self._policy = policy or FullJitter()
        self._connection: _Connection | None = None
        self._opening: Deferred[None] | None = None
        self._isOpening = False
        self._waiting: list[Deferred[_Connection]] = []
        self._attempts = 0
        # Steady seconds; 0 before the first attempt.
        self._notBefore = 0.0
        # What the last attempt failed with, or that the connection was lost.
        self._error: IrisError = NotTaken(f"{name} is not connected")
        self._stopped = False

    async def get(self) -> _Connection:
        """
        The connection, when it is open.

        @raise NotTaken: when it cannot be opened, or not yet again: C{retryAfter} says when.
        """
        try:
            return await self.ask()
        except IncorrectParameters as e:
            # Somebody may mend it, and meanwhile the call waits.
            raise NotTaken(e.message, retryAfter=self._left() or None, cause=e) from None

    async def ask(self) -> _Connection:
        """
        As L{get}.

        @raise IncorrectParameters: when somebody has to change something before.
        """
        if self._connection is not None and not self._isOpening:
            return self._connection
        if self._stopped:
            raise NotTaken(f"{self._name} is stopped")
        if not self._isOpening and self._left() > 0:
            raise self._failure()
        waiting: Deferred[_Connection] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if not self._isOpening:
            self._begin()
        return await waiting

    def _left(self) -> float:
        """Seconds until it may be tried again."""
        if self._notBefore == 0.0:
            return 0.0
        return max(0.0, self._notBefore - steadyTime(self._reactor).seconds())

    def _failure(self) -> IrisError:
        """What the last attempt said, one for each who is told."""
        error, left = self._error, self._left()
        if isinstance(error, IncorrectParameters):
            return IncorrectParameters(error.message, cause=error)
        return NotTaken(error.message, retryAfter=left or None, cause=error)

    def _begin(self) -> None:
        # Said before it runs: it may be over at once.
        self._isOpening = True
        self._opening = Deferred.fromCoroutine(self._try())

    async def _try(self) -> None:
        try:
            connection = await deadlined(
                self._reactor,
                self._timeout,
                self._open(),
                lambda: f"{self._name} was not ready within {self._timeout:g} seconds",
            )
        except (CertificateRefused, CertificateWanted) as e:
            self._failed(IncorrectParameters(e.message, cause=e))
        except IrisError as e:
            self._failed(e)
        except CancelledError:
            self._failed(NotTaken(f"{self._name} is stopped"))
        except Exception as e:
            self._log.failure("a bug in connecting {name}", name=self._name)
            self._failed(NotTaken(f"{self._name} cannot be connected: {type(e).__name__}"))
        else:
            self._opened(connection)

    def _failed(self, error: IrisError) -> None:
        self._isOpening = False
        self._error = error
        self._wait()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(self._failure())

    def _wait(self) -> None:
        """Another attempt is not made before the policy says so."""
        self._attempts += 1
        delay = delayBefore(self._policy, self._attempts)
        now = steadyTime(self._reactor).seconds()
        self._notBefore = now + (self._timeout if delay is None else delay)

    def _opened(self, connection: _Connection) -> None:
        self._connection = connection
        since = steadyTime(self._reactor).seconds()

        def gone(_: None) -> None:
            self._connection = None
            if steadyTime(self._reactor).seconds() - since >= _STABLE:
                self._attempts = 0
            self._error = NotTaken(f"{self._name} lost its connection")
            self._wait()

        connection.gone.addCallback(gone)
        # Who asks meanwhile comes after those that waited.
        while self._waiting:
            self._waiting.pop(0).callback(connection)
        self._isOpening = False

    async def stop(self) -> None:
        """Close it, for good."""
        self._stopped = True
        if self._opening is not None:
            self._opening.cancel()
            # It may have been opened just now.
            await self._opening
            self._opening = None
        connection = self._connection
        if connection is not None:
            gone: Deferred[None] = Deferred()
            connection.gone.addCallback(gone.callback)
            connection.close()
            await gone
