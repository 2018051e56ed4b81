"""
The promises of contract.md under arbitrary sequences of events: a state machine
of hypothesis drives a connection with a clock and checks after every step.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.settings import Settings
from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import (
    CertificateRefused,
    ConnectionFailed,
    ProtocolViolation,
    ServerLeaving,
    TokenRefused,
)
from iris_twisted.net.limits import Limits

from ..doubles import RID, TOKEN, URL, DriftingClock, World
from ..invariants import WatchedConnection

FAULTS = st.sampled_from(
    [
        ConnectionFailed("no"),
        TokenRefused("no"),
        ProtocolViolation("no"),
        CertificateRefused("no"),
    ]
)
FRAMES = st.sampled_from(
    [
        b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        b"<iq type='set' id='u'><x xmlns='y'/></iq>",
        b"<iq type='result' id='nobody'/>",
        b"<message/>",
        b"<r xmlns='urn:xmpp:sm:3'/>",
        b" ",
        b"<!DOCTYPE x>",
        b"</stream:stream>",
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        b"<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='wss://rtc.example.test/x'/>",
        b"<iq type='set' id='d'><query xmlns='jabber:iq:private'>"
        b"<data xmlns='urn:xmpp:comcast:info' type='disconnect'/></query></iq>",
    ]
)


PAYLOAD = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}


class Lifecycle(RuleBasedStateMachine):
    """Everything that a network and a server can do to one connection."""

    def __init__(self) -> None:
        super().__init__()
        clock = DriftingClock()
        self.watched = watched = WatchedConnection("the connection", clock.monotonicSeconds)
        watched.react = self.told
        limits = Limits(unanswered=4)
        self.world = World(clock, listener=watched, giveUpAfter=120.0, limits=limits)
        watched.watch(self.world.connection, Settings(giveUpAfter=120.0, limits=limits))
        self.waiting: list[Deferred[None]] = []
        self.calling: list[str] = []

    def told(self, name: str, args: tuple[Any, ...]) -> Any:
        """A callback, which may call the API itself."""
        if name.startswith("on") and self.calling:
            self.api(self.calling.pop())
        if name == "onNotification" and len(self.waiting) < 3:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return None

    def api(self, call: str) -> None:
        """Call the API."""
        if call == "connect":
            self.watched.connect(TOKEN, RID, URL)
        elif call == "close":
            self.watched.close()
        elif call == "reject":
            self.watched.reject(PAYLOAD)
        else:
            self.watched.updateToken("another-token")

    @rule(call=st.sampled_from(["connect", "close", "reject", "updateToken"]))
    def callApi(self, call: str) -> None:
        self.api(call)

    @rule(call=st.sampled_from(["connect", "close", "reject", "updateToken"]))
    def callApiFromACallback(self, call: str) -> None:
        self.calling.append(call)

    @rule(fault=FAULTS)
    def discoveryFails(self, fault: Exception) -> None:
        self.world.discovery.outcomes.append(fault)

    @rule()
    def discoveryHangs(self) -> None:
        self.world.discovery.outcomes.append(self.world.discovery.hanging())

    @rule(fault=FAULTS)
    def transportFails(self, fault: Exception) -> None:
        self.world.provider.outcomes.append(fault)

    @rule(step=st.sampled_from(["stream", "sasl", "bind", "session", "ping", None]))
    def serverHangs(self, step: str | None) -> None:
        self.world.platform.hanging.clear()
        if step is not None:
            self.world.platform.hang(step)

    @rule()
    def serverForgets(self) -> None:
        self.world.platform.managed.clear()

    @precondition(lambda self: self.world.transports)
    @rule(frame=FRAMES)
    def serverSays(self, frame: bytes) -> None:
        if self.world.transport.open:
            self.world.transport.say(frame)

    @precondition(lambda self: self.world.transports)
    @rule(error=st.sampled_from([None, ServerLeaving("bye")]))
    def socketLost(self, error: Exception | None) -> None:
        self.world.transport.lose(error)

    @precondition(lambda self: self.world.transports)
    @rule(silent=st.booleans(), polite=st.booleans())
    def networkChanges(self, silent: bool, polite: bool) -> None:
        self.world.transport.silent = silent
        self.world.transport.polite = polite

    @rule()
    def call(self) -> None:
        self.world.platform.placeCall(RID)

    @precondition(lambda self: self.waiting)
    @rule(fails=st.booleans())
    def callbackEnds(self, fails: bool) -> None:
        waiting = self.waiting.pop(0)
        if fails:
            waiting.errback(ConnectionFailed("the application's own"))
        else:
            waiting.callback(None)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.5, 4.0, 31.0, 200.0]))
    def timePasses(self, seconds: float) -> None:
        self.world.advance(seconds, step=1.0)

    @invariant()
    def promises(self) -> None:
        """See L{tests.invariants}."""
        self.watched.check()

    @invariant()
    def oneSocket(self) -> None:
        """Promises 2 and 5: one attempt at a time, one session at a time."""
        assert len([t for t in self.world.transports if t.open]) <= 1

    @invariant()
    def idleMeansNothingLeft(self) -> None:
        """Promise 17: what is disconnected, and settled, holds nothing."""
        if self.watched.isClosed and self.world.connection.state is ConnectionState.DISCONNECTED:
            self.world.advance(4.0)
            if self.watched.isClosed:
                assert self.world.leftovers() == [], self.world.leftovers()

    def teardown(self) -> None:
        self.calling.clear()
        self.watched.close()
        self.world.advance(15.0)
        self.watched.checkEnded()
        assert self.world.leftovers() == []


class Properties(SynchronousTestCase):
    """hypothesis, as a test of trial."""

    def test_promises(self) -> None:
        """No sequence of events breaks a promise."""
        from hypothesis.stateful import run_state_machine_as_test

        run_state_machine_as_test(
            Lifecycle,
            settings=settings(max_examples=200, stateful_step_count=40, report_multiple_bugs=False),
        )
        # Callbacks that failed on purpose were logged.
        self.flushLoggedErrors(ConnectionFailed)
