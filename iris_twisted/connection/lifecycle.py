"""
The lifecycle of a connection: one Automat machine, without I/O.

Each input may leave effects behind, in order; the connection carries them out
after the transition, never inside it. The table at the end is the whole truth on
what happens when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import attrs
from automat import TypeMachineBuilder

from ..errors import IrisError, TokenRefused
from .state import ConnectionState

__all__ = [
    "AwaitToken",
    "Close",
    "CompleteCloses",
    "CompleteConnects",
    "Core",
    "DiscardCallbacks",
    "Effect",
    "Fail",
    "Lifecycle",
    "ScheduleRetry",
    "SessionGone",
    "SessionUp",
    "StartAttempt",
    "StopAttempt",
    "StopWaiting",
    "newLifecycle",
]


_E = TypeVar("_E", bound=IrisError)


@attrs.frozen
class StartAttempt:
    """Discover, open, log in."""


@attrs.frozen
class StopAttempt:
    """Cancel the attempt under way; C{freed} follows."""


@attrs.frozen
class Close:
    """Close the session politely; C{freed} follows."""


@attrs.frozen
class StopWaiting:
    """Stop every timer of reconnecting."""


@attrs.frozen
class SessionUp:
    """Tell that the session is up, and let the connect() calls succeed."""

    again: bool = False


@attrs.frozen
class CompleteConnects:
    """Let the connect() calls succeed: the session has been up all the time."""


@attrs.frozen
class SessionGone:
    """Tell that the session is gone."""

    error: IrisError


@attrs.frozen
class ScheduleRetry:
    """Wait for the next attempt."""

    error: IrisError
    first: bool = False


@attrs.frozen
class AwaitToken:
    """Tell that the token was refused, and look for another."""

    error: TokenRefused


@attrs.frozen
class Fail:
    """Tell that it ended for good, and let the connect() calls fail."""

    error: IrisError


@attrs.frozen
class DiscardCallbacks:
    """Drop every callback but the onDisconnected owed; connect() calls are withdrawn."""


@attrs.frozen
class CompleteCloses:
    """Nothing is left open: let the close() calls succeed."""


Effect = (
    StartAttempt
    | StopAttempt
    | Close
    | StopWaiting
    | SessionUp
    | CompleteConnects
    | SessionGone
    | ScheduleRetry
    | AwaitToken
    | Fail
    | DiscardCallbacks
    | CompleteCloses
)


@dataclass
class Core:
    """What the transitions write to."""

    effects: list[Effect] = field(default_factory=list)


class Lifecycle(Protocol):
    """The inputs."""

    def state(self) -> ConnectionState:
        """Which of the public states this is."""

    def connect(self) -> None:
        """connect() was called."""

    def close(self) -> None:
        """close() was called."""

    def attemptUp(self) -> None:
        """The attempt brought up a session."""

    def attemptFailed(self, error: IrisError) -> None:
        """The attempt failed, and another may work."""

    def attemptHopeless(self, error: IrisError) -> None:
        """The attempt failed as every other would."""

    def tokenRefused(self, error: TokenRefused) -> None:
        """The attempt failed because of the iris token."""

    def firstTokenRefused(self, error: TokenRefused) -> None:
        """So did the first attempt of a connection that waits for another token."""

    def tokenChanged(self) -> None:
        """There is a token that was not tried yet."""

    def sessionLost(self, error: IrisError) -> None:
        """The session is gone, and another may come up."""

    def sessionHopeless(self, error: IrisError) -> None:
        """The session is gone for good."""

    def retryDue(self) -> None:
        """The wait before the next attempt is over."""

    def gaveUp(self, error: IrisError) -> None:
        """Reconnecting took too long."""

    def freed(self) -> None:
        """The attempt that was stopped, or the session that was closed, is gone."""


def _build() -> Callable[[Core], Lifecycle]:
    machine = TypeMachineBuilder(Lifecycle, Core)

    idle = machine.state("idle")
    connecting = machine.state("connecting")
    unadmitted = machine.state("unadmitted")
    connected = machine.state("connected")
    waiting = machine.state("waiting")
    retrying = machine.state("retrying")
    tokenless = machine.state("tokenless")
    closing = machine.state("closing")
    reopening = machine.state("reopening")

    def plain(*effects: Effect) -> Callable[[Lifecycle, Core], None]:
        def output(lifecycle: Lifecycle, core: Core) -> None:
            core.effects.extend(effects)

        return output

    def withError(
        *makers: Callable[[_E], Effect],
    ) -> Any:
        def output(lifecycle: Lifecycle, core: Core, error: _E) -> None:
            core.effects.extend(make(error) for make in makers)

        return output

    def stopWaiting(_: IrisError) -> Effect:
        return StopWaiting()

    def stopAttempt(_: IrisError) -> Effect:
        return StopAttempt()

    def firstRetry(error: IrisError) -> Effect:
        return ScheduleRetry(error, first=True)

    # What each state is called outside.
    for state, name in (
        (idle, ConnectionState.DISCONNECTED),
        (connecting, ConnectionState.CONNECTING),
        (unadmitted, ConnectionState.CONNECTING),
        (connected, ConnectionState.CONNECTED),
        (waiting, ConnectionState.RECONNECTING),
        (retrying, ConnectionState.RECONNECTING),
        (tokenless, ConnectionState.RECONNECTING),
        (closing, ConnectionState.DISCONNECTED),
        (reopening, ConnectionState.DISCONNECTED),
    ):
        state.upon(Lifecycle.state).loop().returns(name)

    # The first attempt.
    idle.upon(Lifecycle.connect).to(connecting)(plain(StartAttempt()))
    connecting.upon(Lifecycle.attemptUp).to(connected)(plain(SessionUp()))
    connecting.upon(Lifecycle.attemptFailed).to(idle)(withError(Fail))
    connecting.upon(Lifecycle.attemptHopeless).to(idle)(withError(Fail))
    connecting.upon(Lifecycle.tokenRefused).to(idle)(withError(Fail))
    connecting.upon(Lifecycle.firstTokenRefused).to(unadmitted)(withError(AwaitToken))
    unadmitted.upon(Lifecycle.tokenChanged).to(connecting)(plain(StartAttempt()))

    # A session, and its loss.
    connected.upon(Lifecycle.sessionLost).to(waiting)(withError(SessionGone, firstRetry))
    connected.upon(Lifecycle.sessionHopeless).to(idle)(withError(SessionGone, stopWaiting, Fail))

    # Reconnecting.
    waiting.upon(Lifecycle.retryDue).to(retrying)(plain(StartAttempt()))
    waiting.upon(Lifecycle.gaveUp).to(idle)(withError(stopWaiting, Fail))
    retrying.upon(Lifecycle.attemptUp).to(connected)(plain(StopWaiting(), SessionUp(again=True)))
    retrying.upon(Lifecycle.attemptFailed).to(waiting)(withError(ScheduleRetry))
    retrying.upon(Lifecycle.attemptHopeless).to(idle)(withError(stopWaiting, Fail))
    retrying.upon(Lifecycle.tokenRefused).to(tokenless)(withError(AwaitToken))
    retrying.upon(Lifecycle.gaveUp).to(closing)(withError(stopWaiting, Fail, stopAttempt))
    tokenless.upon(Lifecycle.tokenChanged).to(retrying)(plain(StartAttempt()))

    # Closing, from anywhere.
    idle.upon(Lifecycle.close).loop()(plain(DiscardCallbacks(), CompleteCloses()))
    connecting.upon(Lifecycle.close).to(closing)(plain(DiscardCallbacks(), StopAttempt()))
    connected.upon(Lifecycle.close).to(closing)(plain(DiscardCallbacks(), Close()))
    retrying.upon(Lifecycle.close).to(closing)(
        plain(DiscardCallbacks(), StopWaiting(), StopAttempt())
    )
    for state in (waiting, tokenless, unadmitted):
        state.upon(Lifecycle.close).to(idle)(
            plain(DiscardCallbacks(), StopWaiting(), CompleteCloses())
        )
    closing.upon(Lifecycle.freed).to(idle)(plain(CompleteCloses()))
    closing.upon(Lifecycle.connect).to(reopening).returns(None)
    closing.upon(Lifecycle.close).loop()(plain(DiscardCallbacks()))
    reopening.upon(Lifecycle.freed).to(connecting)(plain(CompleteCloses(), StartAttempt()))
    reopening.upon(Lifecycle.close).to(closing)(plain(DiscardCallbacks()))

    # What changes nothing.
    connected.upon(Lifecycle.connect).loop()(plain(CompleteConnects()))
    for state in (connecting, unadmitted, waiting, retrying, tokenless, reopening):
        state.upon(Lifecycle.connect).loop().returns(None)
    for state in (idle, connecting, connected, waiting, retrying, closing, reopening):
        state.upon(Lifecycle.tokenChanged).loop().returns(None)

    return machine.build()


newLifecycle = _build()
