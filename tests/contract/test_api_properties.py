"""
The same promises as in C{test_lifecycle_properties}, with all that an application can do at odd
moments: calls from Deferreds, Deferreds cancelled, token providers of every kind, tokens that
are about to expire, several notifications in one message, and a wall clock that is set.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import ConnectionFailed
from iris_twisted.net.limits import Limits

from ..doubles import RID, DriftingClock, World
from .test_corners import notification
from .test_lifecycle_properties import Lifecycle

PROVIDERS = ["good", "bad", "short", "raises", "hangs", "closes", "late"]


class WholeApi(Lifecycle):
    """L{Lifecycle}, and everything else that an application can do."""

    def __init__(self) -> None:
        self.provider = "good"
        self.life: float | None = None
        self.late: list[Deferred[str]] = []
        self.deferreds: list[Deferred[Any]] = []
        self.fromDeferred: list[str] = []
        self.deadSince: float | None = None
        super().__init__()

    def newWorld(self) -> World:
        return World(
            clock=DriftingClock(),
            giveUpAfter=120.0,
            limits=Limits(unanswered=4),
            tokenProvider=self.provide,
        )

    def newToken(self) -> str:
        return "no-jwt" if self.life is None else self.world.platform.token(RID, self.life)

    def provide(self) -> Any:
        """The application's token provider: not inside another call, and as it likes."""
        if self.inApi or self.inCallback:
            self.broken.append("the token provider inside another call")
        if self.closed:
            self.broken.append("the token provider after close()")
        kind = self.provider
        if kind == "raises":
            raise ConnectionFailed("no token")
        if kind == "closes":
            self.api("close")
            raise ConnectionFailed("logged out")
        if kind in ("hangs", "late"):
            self.late.append(Deferred())
            return self.late[-1]
        if kind == "short":
            return self.world.platform.token(RID, 20)
        return "bad" if kind == "bad" else self.world.platform.token(RID, 90_000)

    def watch(self, result: Deferred[Any], outcome: list[Any]) -> None:
        super().watch(result, outcome)
        self.deferreds.append(result)

        def settled(_: object) -> None:
            if self.fromDeferred:
                self.api(self.fromDeferred.pop())

        result.addCallback(settled)

    @rule(call=st.sampled_from(["connect", "close", "reject", "updateToken"]))
    def callApiFromADeferred(self, call: str) -> None:
        self.fromDeferred.append(call)

    @precondition(lambda self: self.deferreds)
    @rule(last=st.booleans())
    def cancelADeferred(self, last: bool) -> None:
        self.inApi += 1
        try:
            self.deferreds.pop(-1 if last else 0).cancel()
        finally:
            self.inApi -= 1
        # A socket that was being opened is gone in the next turn.
        self.world.settle()

    @rule(kind=st.sampled_from(PROVIDERS))
    def providerIs(self, kind: str) -> None:
        self.provider = kind

    @rule(life=st.sampled_from([None, -5.0, 5.0, 310.0]))
    def tokensLive(self, life: float | None) -> None:
        self.life = life

    @precondition(lambda self: self.late)
    @rule(good=st.booleans())
    def providerAnswersLate(self, good: bool) -> None:
        answer = self.late.pop(0)
        if answer.called:
            return
        if good:
            answer.callback("late-token")
        else:
            answer.errback(ConnectionFailed("no token after all"))

    @precondition(lambda self: self.world.transports)
    @rule(count=st.integers(2, 7))
    def notificationsInOneMessage(self, count: int) -> None:
        if self.world.transport.open and not self.world.transport.paused:
            self.world.transport.say("".join(map(notification, range(count))).encode())

    @rule(seconds=st.sampled_from([-3600.0, -5.0, 5.0, 3600.0]))
    def wallClockIsSet(self, seconds: float) -> None:
        # What waits for the next turn is over within a millisecond: not in the way of this.
        self.world.settle()
        self.world.clock.jump(seconds)

    @invariant()
    def heldIsBounded(self) -> None:
        """Promise 16, across losses: no more is handed over, and no more is held."""
        delivery = self.world.connection._driver._calls._delivery
        assert delivery._unanswered <= 4
        assert len(delivery._held) <= 4 + 7

    @invariant()
    def deadLinksAreNoticed(self) -> None:
        """Promise 10, whatever the wall clock does: 15 s of silence, and two intervals."""
        world = self.world
        now = world.clock.monotonicSeconds()
        up = world.connection.state is ConnectionState.CONNECTED
        if not (up and world.transport.silent and not world.transport.paused):
            self.deadSince = None
        elif self.deadSince is None:
            self.deadSince = now
        else:
            assert now - self.deadSince <= 21.0, now - self.deadSince

    def teardown(self) -> None:
        self.provider = "good"
        self.fromDeferred.clear()
        super().teardown()


class Properties(SynchronousTestCase):
    """hypothesis, as a test of trial; C{IRIS_HYPOTHESIS_EXAMPLES} for a longer search."""

    def test_promises(self) -> None:
        """No sequence of events and calls breaks a promise."""
        from hypothesis.stateful import run_state_machine_as_test

        examples = int(os.environ.get("IRIS_HYPOTHESIS_EXAMPLES", "150"))
        run_state_machine_as_test(
            WholeApi,
            settings=settings(
                max_examples=examples, stateful_step_count=40, report_multiple_bugs=False
            ),
        )
        # Callbacks and providers that failed on purpose were logged.
        self.flushLoggedErrors(ConnectionFailed)
