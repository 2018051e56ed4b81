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
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.state import ConnectionState
from iris_twisted.errors import (
    CertificateRefused,
    ConnectionFailed,
    ProtocolViolation,
    ServerLeaving,
    TokenRefused,
)
from iris_twisted.net.limits import Limits

from ..doubles import RID, TOKEN, URL, World

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


class Lifecycle(RuleBasedStateMachine):
    """Everything that an application, a network and a server can do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = world = self.newWorld()
        self.inApi = 0
        self.inCallback = 0
        self.broken: list[str] = []
        self.closed = False
        self.sinceClose: list[str] = []
        self.outcomes: list[list[Any]] = []
        self.waiting: list[Deferred[None]] = []
        self.calling: list[str] = []
        for name in (
            "onConnected",
            "onConnectionError",
            "onDisconnected",
            "onReconnecting",
            "onNotification",
            "onEvent",
            "onTokenAboutToExpire",
        ):
            world.recorder.react[name] = lambda *args, name=name: self.told(name)

    def newWorld(self) -> World:
        """The connection, and what is around it."""
        return World(giveUpAfter=120.0, limits=Limits(unanswered=4))

    def newToken(self) -> str:
        """What the next connect() is given."""
        return TOKEN

    def told(self, name: str) -> Any:
        """A callback: it must not be inside anything, and it may call the API itself."""
        if self.inApi or self.inCallback:
            self.broken.append(f"{name} inside another call")
        if self.closed and name != "onEvent":
            self.sinceClose.append(name)
        self.inCallback += 1
        try:
            if self.calling:
                self.api(self.calling.pop())
        finally:
            self.inCallback -= 1
        if name == "onNotification" and len(self.waiting) < 3:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return None

    def api(self, call: str) -> None:
        """Call the API; no callback may happen inside."""
        connection = self.world.connection
        self.inApi += 1
        outcome: list[Any] = []
        try:
            if call == "connect":
                self.closed = False
                self.sinceClose.clear()
                result: Any = connection.connect(self.newToken(), RID, URL)
            elif call == "close":
                self.closed = True
                self.sinceClose.clear()
                result = connection.close()
            elif call == "reject":
                payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
                result = connection.rejectSession(payload)
            else:
                connection.updateToken("another-token")
                return
            self.outcomes.append(outcome)
            self.watch(result, outcome)
        finally:
            self.inApi -= 1

    def watch(self, result: Deferred[Any], outcome: list[Any]) -> None:
        """A Deferred of the API: write down what it fires with."""
        result.addBoth(lambda r: outcome.append(r.value if isinstance(r, Failure) else r))

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
    def noCallbackInside(self) -> None:
        """Promise 3."""
        assert not self.broken, self.broken

    @invariant()
    def orderOfCallbacks(self) -> None:
        """onDisconnected once for each onConnected; onReconnecting once per loss, after it."""
        connected, reconnecting = False, False
        for name in self.world.recorder.names():
            if name == "onConnected":
                assert not connected, self.world.recorder.names()
                connected, reconnecting = True, False
            elif name == "onDisconnected":
                assert connected, self.world.recorder.names()
                connected = False
            elif name == "onReconnecting":
                assert not connected and not reconnecting, self.world.recorder.names()
                reconnecting = True

    @invariant()
    def quietAfterClose(self) -> None:
        """Promise 4: only the onDisconnected owed."""
        assert self.sinceClose in ([], ["onDisconnected"]), self.sinceClose

    @invariant()
    def oneSocket(self) -> None:
        """Promises 2 and 5: one attempt at a time, one session at a time."""
        assert len([t for t in self.world.transports if t.open]) <= 1

    @invariant()
    def aliveMeansConnected(self) -> None:
        connection = self.world.connection
        if connection.isConnectionAlive():
            assert connection.state is ConnectionState.CONNECTED

    @invariant()
    def idleMeansNothingLeft(self) -> None:
        """Promise 17: what is disconnected, and settled, holds nothing."""
        if self.world.connection.state is ConnectionState.DISCONNECTED and self.closed:
            self.world.advance(4.0)
            if self.closed:
                assert self.world.leftovers() == [], self.world.leftovers()

    def teardown(self) -> None:
        self.calling.clear()
        outcome: list[Any] = []
        self.closed = True
        self.sinceClose.clear()
        self.world.connection.close().addBoth(outcome.append)
        self.world.advance(15.0)
        assert outcome == [None]
        assert self.world.leftovers() == []
        # Whatever was asked for got exactly one answer.
        assert all(len(o) == 1 for o in self.outcomes), self.outcomes


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
