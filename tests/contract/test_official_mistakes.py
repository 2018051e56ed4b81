"""
protocol.md section 7, row by row: what the official client gets wrong, and ours
does not. (What needs a socket stands in C{test_end_to_end}, the other folders and C{faults}.)
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from iris_twisted.connection.state import ConnectionState
from iris_twisted.discovery.answer import readAnswer
from iris_twisted.discovery.event_manager_address import EventManagerAddress
from iris_twisted.errors import ConnectionFailed, InvalidState

from ..doubles import RID, TOKEN, World
from .test_contract import ContractCase

ANSWER = {
    "websocket_server": "rtc.example.test",
    "websocket_server_token": "WT",
    "websocket_server_token_expiry_time": "1700000000",
}


class OfficialMistakes(ContractCase):
    """One test per row."""

    def answer(self, status: int, body: bytes) -> Any:
        try:
            return readAnswer("https://evm", status, body, TOKEN, 0.0)
        except Exception as e:
            return e

    def test_badAnswers(self) -> None:
        """HTML, empty and malformed answers: one error, and a later connect() works."""
        world = self.world()
        for status, body in ((401, b"<html>"), (500, b""), (200, b"{"), (200, b"<html>")):
            world.discovery.outcomes = [self.answer(status, body)]
            self.assertEqual(len(world.connect()), 0)
            world.settle()
            self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual(len(world.recorder.of("onConnectionError")), 4)
        world.up()

    def test_turnCredentials(self) -> None:
        """Absent, empty, or an object: the connection comes up all the same."""
        for turn in ({}, {"turn_credentials": ""}, {"turn_credentials": {"uris": "turn:x"}}):
            world = self.world()
            world.discovery.outcomes = [self.answer(200, json.dumps({**ANSWER, **turn}).encode())]
            world.up()

    def test_eventManagerRefuses(self) -> None:
        """The error, and the state is disconnected."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("refused")]
        world.connect()
        world.settle()
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)

    def test_urlWithPortOrScheme(self) -> None:
        """Both are usable."""
        for url in ("evm.example.test:8443", "https://evm.example.test"):
            EventManagerAddress.parse(url)
            outcome = self.world()
            outcome.connect(url=url)
            outcome.settle()
            self.assertTrue(outcome.connection.isConnectionAlive())

    def test_urlGivenToConnectOnly(self) -> None:
        """Reconnecting uses it."""
        world = self.world().up()
        world.transport.lose()
        world.advance(2)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_neverAnswered(self) -> None:
        """Upgrade, stream, SASL and bind that hang end in one error."""
        for step in ("upgrade", "stream", "sasl", "bind"):
            world = self.world()
            if step == "upgrade":
                world.provider.outcomes = [Deferred()]
            else:
                world.platform.hang(step)
            outcome = world.connect()
            world.advance(30)
            self.assertEqual([e.code for e in outcome], [-106], step)

    def test_streamErrorAndClose(self) -> None:
        """Neither is ignored."""
        for said in (
            b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"</stream:error>",
            b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
        ):
            world = self.world().up()
            world.transport.say(said)
            world.settle()
            self.assertIn("onDisconnected", world.recorder.names())

    def test_malformedXml(self) -> None:
        """It ends the session at once, and the next one hears every stanza again."""
        world = self.world().up()
        world.transport.say(b"<iq type='set'><unclosed></iq>")
        world.settle()
        self.assertIn("onDisconnected", world.recorder.names())
        world.advance(2)
        world.notify()
        self.assertIn("onNotification", world.recorder.names())

    def test_onlyTheFourthPingAnswered(self) -> None:
        """Pinging goes on."""
        world = self.world(streamManagement=False).up()
        world.transport.silent = True
        world.advance(13)
        world.transport.silent = False
        world.advance(3)
        before = len(world.transport.sent)
        world.advance(30)
        self.assertGreater(len(world.transport.sent), before + 5)
        self.assertEqual(world.recorder.names(), ["onConnected"])

    def test_connectionLost(self) -> None:
        """onDisconnected fires."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        self.assertIn("onDisconnected", world.recorder.names())

    def test_secondAttemptWorks(self) -> None:
        """No false error comes afterwards, not even with giveUpAfter."""
        world = self.world(giveUpAfter=30.0).up()
        world.discovery.outcomes = [ConnectionFailed("first")]
        world.transport.lose()
        world.advance(100)
        self.assertEqual(world.recorder.of("onConnectionError"), [])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_permanent403(self) -> None:
        """One timer at a time, and no error for each attempt."""
        world = self.world().up()
        world.provider.outcomes = [ConnectionFailed("answered HTTP 403")] * 100
        world.transport.lose()
        for _ in range(60):
            world.advance(1)
            self.assertLessEqual(len(world.clock.getDelayedCalls()), 1)
        self.assertEqual(world.recorder.of("onConnectionError"), [])

    def test_updateTokenDuringReconnect(self) -> None:
        """The next attempt uses it."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        world.connection.updateToken("fresh")
        world.advance(2)
        self.assertEqual(world.discovery.tokens[-1], "fresh")

    def test_closeDuringDiscovery(self) -> None:
        """It does not connect afterwards."""
        world = self.world()
        world.discovery.outcomes = [world.discovery.hanging()]
        outcome = world.connect()
        world.settle()
        world.close()
        world.advance(100)
        self.assertEqual([type(e) for e in outcome], [InvalidState])
        self.assertEqual(world.destinations, [])

    def test_closeDuringTheUpgrade(self) -> None:
        """No uncaught error."""
        world = self.world()
        world.provider.outcomes = [Deferred()]
        world.connect()
        world.settle()
        self.assertEqual(world.close(), [])
        world.settle()
        self.assertEqual(world.leftovers(), [])

    def test_slowEventManager(self) -> None:
        """Requests do not overlap."""
        world = self.world().up()
        slow: Deferred[Any] = Deferred()
        world.discovery.outcomes = [slow]
        world.transport.lose()
        world.advance(20)
        self.assertEqual(len(world.discovery.tokens), 2)
        slow.callback(world.discovery.good())
        world.settle()
        self.assertTrue(world.connection.isConnectionAlive())

    def test_rejectWithoutRtcserver(self) -> None:
        """The Deferred fails and names what is missing; nothing is thrown."""
        world = self.world().up()
        rejecting = world.connection.rejectSession({"roomid": "r", "traceid": "t"})
        failure = self.failureResultOf(rejecting)
        self.assertIn("rtcserver", failure.value.message)

    def test_expiryThirtyDaysAhead(self) -> None:
        """No warning at once."""
        world = self.world()
        world.connect(token=world.platform.token(RID, 30 * 86400))
        world.advance(60)
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [])

    def test_notificationBeforeBind(self) -> None:
        """It is not lost."""
        world: World = self.world()
        world.platform.hang("bind")
        world.connect()
        world.settle()
        world.transport.say(
            b"<iq type='set' id='n'><query xmlns='jabber:iq:private'>"
            b"<data xmlns='urn:xmpp:comcast:info' type='notify' roomid='early'/></query></iq>"
        )
        world.transport.say(b"<iq type='result' id='bind'/>")
        world.transport.say(b"<iq type='result' id='sess'/>")
        world.settle()
        ((info,),) = world.recorder.of("onNotification")
        self.assertEqual(info["roomid"], "early")
