"""
contract.md, promise by promise, with a fake clock.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.retry import FullJitter
from iris_twisted.connection.state import ConnectionState
from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.errors import (
    ApiParameters,
    BackendError,
    CertificateRefused,
    ConnectionFailed,
    InvalidState,
    NoAnswer,
    NotConnected,
    NotKept,
    NotTaken,
    PeerClosed,
    ProtocolViolation,
    ServerLeaving,
    TokenRefused,
)
from iris_twisted.net.limits import Limits

from ..doubles import RID, TOKEN, URL, FixedDelay, World

REFUSED = TokenRefused("refused")


class ContractCase(SynchronousTestCase):
    """A world, and what must hold at the end of every test."""

    def world(self, **settings: Any) -> World:
        world = World(**settings)
        self.addCleanup(self._nothingLeft, world)
        return world

    def _nothingLeft(self, world: World) -> None:
        world.recorder.react.clear()
        outcome = world.close()
        world.advance(5)
        self.assertEqual(outcome, [None])
        self.assertEqual(world.leftovers(), [])
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)


class FirstConnect(ContractCase):
    """Promise 1: exactly one of onConnected or onConnectionError, within the timeout."""

    def test_connected(self) -> None:
        """A good platform gives onConnected, once, and the Deferred fires with the connection."""
        world = self.world()
        outcome = world.connect()
        self.assertIs(world.connection.state, ConnectionState.CONNECTING)
        world.settle()
        self.assertEqual(outcome, [world.connection])
        self.assertEqual(world.recorder.names(), ["onConnected"])
        self.assertIs(world.connection.state, ConnectionState.CONNECTED)
        self.assertTrue(world.connection.isConnectionAlive())
        self.assertTrue(world.connection.jid.startswith(RID + "/"))
        self.assertEqual(world.connection.serverInfo.websocketServer, "rtc.example.test")

    def test_pathOfWebsocket(self) -> None:
        """The websocket's path carries the routing id, the expiry and the token."""
        world = self.world().up()
        path = world.destinations[0].path
        self.assertTrue(
            path.startswith(f"/xmpp-websocket/routingid/{RID}/timestamp/1700000000/token/"),
            path,
        )
        self.assertEqual(world.destinations[0].name, "wss://rtc.example.test:443")

    def assertFails(self, world: World, code: int, words: str, seconds: float = 0) -> None:
        outcome = world.connect()
        if seconds:
            world.advance(seconds)
        else:
            world.settle()
        self.assertEqual(world.recorder.names(), ["onConnectionError"])
        ((told, message),) = world.recorder.of("onConnectionError")
        self.assertEqual(told, code)
        self.assertIn(words, message)
        self.assertEqual([e.code for e in outcome], [code])
        self.assertEqual(outcome[0].message, message)
        self.assertEqual(world.leftovers(), [])
        world.advance(100)
        self.assertEqual(world.recorder.names(), ["onConnectionError"])

    def test_discoveryFails(self) -> None:
        """A failing discovery is told as it is, and not retried."""
        world = self.world()
        world.discovery.outcomes = [ApiParameters("no websocket_server")]
        self.assertFails(world, -109, "no websocket_server")

    def test_discoveryHangs(self) -> None:
        """An event manager that does not answer ends within 30 seconds, cancelled."""
        world = self.world()
        world.discovery.outcomes = [world.discovery.hanging()]
        self.assertFails(world, -106, "the event manager did not answer", 30)
        self.assertEqual(world.discovery.cancelled, 1)

    def test_discoveryGivesNonsense(self) -> None:
        """An IEventManager that fires with something else is the API's fault."""
        world = self.world()
        world.discovery.outcomes = [{"websocket_server": "x"}]
        self.assertFails(world, -109, "dict")

    def test_discoveryRaises(self) -> None:
        """A collaborator that breaks is told as -106, and logged."""
        world = self.world()
        world.discovery.outcomes = [ZeroDivisionError()]
        self.assertFails(world, -106, "ZeroDivisionError")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_transportFails(self) -> None:
        """A websocket that does not open is told as it is."""
        world = self.world()
        world.provider.outcomes = [ConnectionFailed("answered HTTP 403")]
        self.assertFails(world, -106, "HTTP 403")

    def test_transportHangs(self) -> None:
        """A websocket that never opens ends within 30 seconds."""
        world = self.world()
        world.provider.outcomes = [Deferred()]
        self.assertFails(world, -106, "did not open a connection", 30)

    def test_hangsAtEachStep(self) -> None:
        """Silence at any step of the session ends within 30 seconds."""
        for step in ("stream", "sasl", "bind", "session"):
            world = self.world()
            world.platform.hang(step)
            self.assertFails(world, -106, "XMPP session", 30)

    def test_saslFailure(self) -> None:
        """SASL refusal is -105, after discovery was asked once more (promise 8)."""
        world = self.world()
        # Where the path says nobody's name, the double's server knows alice only.
        world.discovery.outcomes = [ServerInfo("wss://rtc.example.test/x", "t", "1")] * 2
        outcome = world.connect(routingId="bob@example.test")
        world.settle()
        self.assertEqual([e.code for e in outcome], [-105])
        self.assertIn("not-authorized", outcome[0].message)
        self.assertEqual(len(world.discovery.tokens), 2)
        self.assertEqual(world.recorder.names(), ["onConnectionError"])

    def test_noMechanism(self) -> None:
        """A server that offers nothing usable is -102."""
        world = self.world()
        world.platform.mechanisms = ("X-MAGIC", "ANONYMOUS")
        self.assertFails(world, -102, "ANONYMOUS has to be asked for")

    def test_badArguments(self) -> None:
        """Each bad argument is -101 and named."""
        for arguments, word in (
            ((None, RID, URL), "irisToken"),
            (("", RID, URL), "irisToken"),
            ((7, RID, URL), "irisToken"),
            (("two words", RID, URL), "irisToken"),
            ((TOKEN, None, URL), "routingId"),
            ((TOKEN, "alice", URL), "routingId"),
            ((TOKEN, "@example.test", URL), "routingId"),
            ((TOKEN, "alice@", URL), "routingId"),
            ((TOKEN, RID, None), "eventManagerUrl"),
            ((TOKEN, RID, ""), "eventManagerUrl"),
            ((TOKEN, RID, "ftp://x"), "eventManagerUrl"),
            ((TOKEN, RID, "http://evm.example.test"), "eventManagerUrl"),
        ):
            world = self.world()
            outcome = world.connect(*arguments)
            self.assertEqual(outcome, [])
            world.settle()
            ((code, message),) = world.recorder.of("onConnectionError")
            self.assertEqual(code, -101)
            self.assertIn(word, message)
            self.assertNotIn("two words", message)
            self.assertEqual([e.message for e in outcome], [message])
            self.assertEqual(world.discovery.tokens, [])

    def test_sessionsEventsInOrder(self) -> None:
        """Each event comes just before its callback."""
        world = self.world().up()
        self.assertEqual(world.recorder.names(events=True), ["onEvent", "onConnected"])
        (event,) = world.recorder.of("onEvent")[0]
        self.assertEqual(
            event,
            {
                "type": "connection",
                "state": "SDK_WebSocketServerConnected",
                "details": {"myJid": world.connection.jid},
            },
        )


class SingleFlight(ContractCase):
    """Promise 2: connect() while busy follows what is under way."""

    def test_whileConnecting(self) -> None:
        """A second connect() starts nothing; both Deferreds fire."""
        world = self.world()
        first, second = world.connect(), world.connect(token=None)
        world.settle()
        self.assertEqual((first, second), ([world.connection],) * 2)
        self.assertEqual(len(world.discovery.tokens), 1)

    def test_whileConnected(self) -> None:
        """connect() on a live connection succeeds at once, ignoring its arguments."""
        world = self.world().up()
        outcome = world.connect(token=None)
        self.assertEqual(outcome, [])
        world.settle()
        self.assertEqual(outcome, [world.connection])
        self.assertEqual(world.recorder.names(), ["onConnected"])

    def test_whileReconnecting(self) -> None:
        """connect() during reconnecting follows it."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        outcome = world.connect()
        world.settle()
        self.assertEqual(outcome, [])
        world.advance(2)
        self.assertEqual(outcome, [world.connection])

    def test_againAfterError(self) -> None:
        """After an error, connect() works again."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("no")]
        world.connect()
        world.settle()
        world.up()

    def test_againAfterClose(self) -> None:
        """After a close, connect() works again."""
        world = self.world().up()
        world.close()
        world.settle()
        world.up()
        self.assertEqual(world.recorder.names().count("onConnected"), 2)

    def test_sameTurnAsClose(self) -> None:
        """A connect() in the turn of close() starts once the close is done."""
        world = self.world().up()
        world.transport.polite = False
        closed, outcome = world.close(), world.connect()
        world.settle()
        self.assertEqual(len(world.discovery.tokens), 1)
        world.advance(4)
        self.assertEqual(closed, [None])
        self.assertEqual(outcome, [world.connection])
        self.assertEqual(world.recorder.names(), ["onConnected", "onDisconnected", "onConnected"])

    def test_closeAfterThat(self) -> None:
        """A connect() that waited for the close fails when it is closed too."""
        world = self.world().up()
        world.close()
        outcome = world.connect()
        again = world.close()
        world.settle()
        self.assertEqual([e.code for e in outcome], [-103])
        self.assertEqual(again, [None])
        self.assertEqual(len(world.discovery.tokens), 1)


class CallbackTurns(ContractCase):
    """Promise 3: no callback inside an API call or another callback."""

    def test_neverInside(self) -> None:
        """Whatever the callbacks do, none is called within a call of the API."""
        world = self.world()
        depth = [0]
        recorder = world.recorder

        def guarded(work: Any) -> Any:
            def call(*args: Any) -> None:
                self.assertEqual(depth[0], 0)
                depth[0] += 1
                work(*args)
                depth[0] -= 1

            return call

        connection = world.connection
        recorder.react = {
            "onConnected": guarded(lambda: connection.rejectSession({}).addErrback(lambda _: None)),
            "onNotification": guarded(lambda info: connection.close()),
            "onDisconnected": guarded(lambda: connection.connect(TOKEN, RID, URL)),
            "onEvent": guarded(lambda event: connection.updateToken("another")),
            "onConnectionError": guarded(lambda *_: connection.close()),
        }
        world.connect()
        world.settle()
        world.notify()
        world.advance(5)
        self.assertEqual(
            recorder.names(), ["onConnected", "onNotification", "onDisconnected", "onConnected"]
        )
        self.assertEqual(connection.stats.callbackErrors, 0)

    def test_closeWithinOnConnected(self) -> None:
        """close() in onConnected gives onDisconnected, after it."""
        world = self.world()
        world.recorder.react["onConnected"] = lambda: world.connection.close()
        world.connect()
        world.settle()
        self.assertEqual(world.recorder.names(), ["onConnected", "onDisconnected"])


class Closing(ContractCase):
    """Promise 4: after close() only the owed onDisconnected."""

    def test_whileConnected(self) -> None:
        """onDisconnected comes with its event, before close's Deferred fires."""
        world = self.world().up()
        seen: list[int] = []
        outcome: list[Any] = []
        world.connection.close().addBoth(outcome.append)
        world.recorder.react["onDisconnected"] = lambda: seen.append(len(outcome))
        world.settle()
        self.assertEqual(outcome, [None])
        self.assertEqual(seen, [0])
        self.assertEqual(world.recorder.states()[-1], "SDK_WebSocketServerDisconnected")
        self.assertEqual(world.recorder.names(), ["onConnected", "onDisconnected"])

    def test_whileConnecting(self) -> None:
        """A connect() under way gets no callback, and its Deferred fails with -103."""
        for prepare in (
            lambda w: setattr(w.discovery, "outcomes", [w.discovery.hanging()]),
            lambda w: setattr(w.provider, "outcomes", [Deferred()]),
            lambda w: w.platform.hang("sasl"),
        ):
            world = self.world()
            prepare(world)
            outcome = world.connect()
            world.settle()
            closed = world.close()
            world.settle()
            self.assertEqual([type(e) for e in outcome], [InvalidState])
            self.assertEqual(closed, [None])
            self.assertEqual(world.recorder.calls, [])
            self.assertEqual(world.leftovers(), [])

    def test_beforeOnConnectedWasMade(self) -> None:
        """A session that nobody was told of is closed without a word."""
        world = self.world()
        states: list[ConnectionState] = []

        def heard() -> None:
            states.append(world.connection.state)
            if states[-1] is ConnectionState.CONNECTED:
                world.close()

        world.afterEachMessage = heard
        outcome = world.connect()
        world.settle()
        self.assertIn(ConnectionState.CONNECTED, states)
        self.assertEqual(world.recorder.calls, [])
        self.assertEqual([e.code for e in outcome], [-103])

    def test_whileReconnecting(self) -> None:
        """No attempt follows, and no further callback."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        names = world.recorder.names()
        world.close()
        world.advance(100)
        self.assertEqual(world.recorder.names(), names)
        self.assertEqual(len(world.discovery.tokens), 1)

    def test_whileAnAttemptIsUnderWay(self) -> None:
        """A reconnecting attempt is cancelled."""
        world = self.world().up()
        world.discovery.outcomes = [world.discovery.hanging()]
        world.transport.lose()
        world.advance(1.5)
        closed = world.close()
        world.settle()
        self.assertEqual(closed, [None])
        self.assertEqual(world.discovery.cancelled, 1)

    def test_twice(self) -> None:
        """A second close() is harmless, at any time."""
        world = self.world().up()
        first, second = world.close(), world.close()
        world.settle()
        third = world.close()
        world.settle()
        self.assertEqual((first, second, third), ([None],) * 3)
        self.assertEqual(world.recorder.names().count("onDisconnected"), 1)

    def test_peerDoesNotJoinIn(self) -> None:
        """A peer that ignores the closing handshake is cut off after closeTimeout."""
        world = self.world().up()
        world.transport.polite = False
        closed = world.close()
        world.advance(2.9)
        self.assertEqual(closed, [])
        world.advance(0.2)
        self.assertEqual(closed, [None])

    def test_framedSaysClose(self) -> None:
        """In the framed dialect C{<close/>} is said; in the stream dialect nothing."""
        for dialect, said in (("framed", True), ("stream", False)):
            world = self.world(dialect=dialect).up()
            before = len(world.transport.sent)
            world.close()
            last = [m[:6] for m in world.transport.sent[before:]]
            self.assertEqual(last, [b"<close"] if said else [])

    def test_pendingCallbacksAreDropped(self) -> None:
        """A notification that waits for its turn is not told after close()."""
        world = self.world().up()
        world.afterEachMessage = world.close
        stanza = (
            b'<iq type="set" id="x" from="example.test"><query xmlns="jabber:iq:private">'
            b'<data xmlns="urn:xmpp:comcast:info" type="notify" roomid="r"/></query></iq>'
        )
        # Two in a message are not told at once.
        world.transport.say(stanza + stanza)
        world.settle()
        self.assertEqual(world.connection.stats.notifications, 2)
        self.assertNotIn("onNotification", world.recorder.names())

    def test_cancellingConnect(self) -> None:
        """Cancelling the only connect() before it is up closes everything."""
        world = self.world()
        world.platform.hang("bind")
        connecting = world.connection.connect(TOKEN, RID, URL)
        connecting.addErrback(lambda _: None)
        world.settle()
        connecting.cancel()
        world.settle()
        self.assertEqual(world.leftovers(), [])
        self.assertEqual(world.recorder.calls, [])

    def test_cancellingOneOfTwo(self) -> None:
        """Cancelling one of two connect() calls leaves the other."""
        world = self.world()
        connecting = world.connection.connect(TOKEN, RID, URL)
        connecting.addErrback(lambda _: None)
        other = world.connect()
        connecting.cancel()
        world.settle()
        self.assertEqual(other, [world.connection])


class Reconnecting(ContractCase):
    """Promise 5: a lost connection is retried, by a policy."""

    def test_order(self) -> None:
        """onDisconnected, then onReconnecting once, then onConnected."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        self.assertIs(world.connection.state, ConnectionState.RECONNECTING)
        self.assertFalse(world.connection.isConnectionAlive())
        world.discovery.outcomes = [ConnectionFailed("still down")]
        world.advance(3)
        self.assertEqual(
            world.recorder.names(),
            ["onConnected", "onDisconnected", "onReconnecting", "onConnected"],
        )
        self.assertEqual(
            world.recorder.names(events=True)[2:],
            [
                "onEvent",
                "onDisconnected",
                "onEvent",
                "onReconnecting",
                "onEvent",
                "onEvent",
                "onConnected",
            ],
        )
        attempts = [
            (e["details"]["attempt"], e["details"]["delay"])
            for (e,) in world.recorder.of("onEvent")
            if e["state"] == "SDK_WebSocketServerReconnecting"
        ]
        self.assertEqual(attempts, [(1, 1.0), (2, 1.0)])
        self.assertEqual(world.connection.stats.reconnects, 1)

    def test_sameTraceId(self) -> None:
        """The Trace-Id is the same for every retry of one connection."""
        world = self.world().up()
        world.transport.lose()
        world.advance(2)
        self.assertEqual(len(set(world.discovery.traceIds)), 1)

    def test_forEver(self) -> None:
        """By default it never gives up."""
        world = self.world().up()
        world.discovery.outcomes = [ConnectionFailed("down")] * 500
        world.transport.lose()
        world.advance(400)
        self.assertNotIn("onConnectionError", world.recorder.names())
        self.assertIs(world.connection.state, ConnectionState.RECONNECTING)

    def test_countRestartsOnlyWhenStable(self) -> None:
        """A server that accepts and drops is not hammered."""
        world = self.world(pingInterval=60.0, pingTimeout=300.0).up()
        for _ in range(3):
            world.transport.lose()
            world.advance(1.5)
        self.assertEqual(world.policy.attempts, [1, 2, 3])
        world.advance(10)
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.policy.attempts, [1, 2, 3, 1])

    def test_oneAttemptAtATime(self) -> None:
        """While an attempt hangs there is no other; it has the connect timeout too."""
        world = self.world().up()
        world.discovery.outcomes = [world.discovery.hanging()]
        world.transport.lose()
        world.advance(30)
        self.assertEqual(len(world.discovery.tokens), 2)
        world.advance(3)
        self.assertEqual(len(world.discovery.tokens), 3)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_fullJitter(self) -> None:
        """The wait is uniform in [0, min(30, 2^(n-1))]."""
        asked: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            asked.append((low, high))
            return high / 2

        policy = FullJitter(uniform=uniform)
        delays = [policy.delay(n) for n in (1, 2, 3, 5, 6, 7, 5000)]
        self.assertEqual(delays, [0.5, 1.0, 2.0, 8.0, 15.0, 15.0, 15.0])
        self.assertEqual(asked[0], (0.0, 1.0))

    def test_politeness(self) -> None:
        """Real jitter stays within its bounds."""
        policy = FullJitter()
        for _ in range(200):
            self.assertTrue(0 <= policy.delay(1) <= 1)
            self.assertTrue(0 <= policy.delay(9) <= 30)

    def test_policyGivesUp(self) -> None:
        """None from the policy ends it with one -106."""
        world = self.world(retryPolicy=FixedDelay(None)).up()
        world.transport.lose()
        world.settle()
        ((code, message),) = world.recorder.of("onConnectionError")
        self.assertEqual(code, -106)
        self.assertIn("the socket was closed", message)
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual(world.recorder.names()[-1], "onConnectionError")

    def test_policyBreaks(self) -> None:
        """A policy that answers nonsense ends it with one -106, and is logged."""
        world = self.world(retryPolicy=FixedDelay(-1)).up()
        world.transport.lose()
        world.settle()
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-106])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class RefusedToken(ContractCase):
    """Promise 6: 401 while reconnecting."""

    def lost(self, world: World, *outcomes: Any) -> World:
        world.up()
        world.discovery.outcomes = list(outcomes)
        world.transport.lose()
        world.advance(1.5)
        return world

    def test_waitsForAToken(self) -> None:
        """-116 once, then it waits; updateToken() makes it try at once."""
        world = self.lost(self.world(), REFUSED)
        world.advance(100)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertIs(world.connection.state, ConnectionState.RECONNECTING)
        self.assertEqual(len(world.discovery.tokens), 2)
        world.connection.updateToken("fresh")
        world.settle()
        self.assertEqual(world.discovery.tokens[-1], "fresh")
        self.assertTrue(world.connection.isConnectionAlive())

    def test_oncePerToken(self) -> None:
        """A second token that is refused is told too; the same one is not told again."""
        world = self.lost(self.world(), REFUSED, REFUSED, REFUSED)
        world.connection.updateToken("second")
        world.settle()
        world.connection.updateToken("second")
        world.settle()
        self.assertEqual(len(world.recorder.of("onConnectionError")), 2)

    def test_tokenChangedMeanwhile(self) -> None:
        """A token that came while the old one was tried is tried at once, without a word."""
        world = self.world().up()
        refusal: Deferred[Any] = Deferred()
        world.discovery.outcomes = [refusal]
        world.transport.lose()
        world.advance(1.5)
        world.connection.updateToken("fresh")
        refusal.errback(REFUSED)
        world.settle()
        self.assertEqual(world.recorder.of("onConnectionError"), [])
        self.assertEqual(world.discovery.tokens[-1], "fresh")

    def test_updateTokenDuringReconnect(self) -> None:
        """Every later attempt uses the new token."""
        world = self.world().up()
        world.transport.lose()
        world.settle()
        world.connection.updateToken("fresh")
        world.advance(1.5)
        self.assertEqual(world.discovery.tokens, [TOKEN, "fresh"])

    def test_providerIsAskedFirst(self) -> None:
        """With a provider there is no -116 unless its new token is refused too."""
        world = self.lost(self.world(tokenProvider=lambda: succeed("provided")), REFUSED)
        self.assertEqual(world.recorder.of("onConnectionError"), [])
        self.assertEqual(world.discovery.tokens[-1], "provided")

    def test_providersTokenIsRefusedToo(self) -> None:
        """Then -116 comes, and the provider is asked again with backoff."""
        tokens = iter(["one", "two", "three"])
        world = self.lost(self.world(tokenProvider=lambda: next(tokens)), REFUSED, REFUSED)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        world.advance(1.5)
        self.assertEqual(world.discovery.tokens[-2:], ["one", "two"])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_providerFails(self) -> None:
        """A provider that raises is reported once as -116, and asked again."""
        answers: list[Any] = [ZeroDivisionError(), None, "", "good"]

        def provide() -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        world = self.lost(self.world(tokenProvider=provide), REFUSED)
        world.advance(5)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertEqual(world.discovery.tokens[-1], "good")
        self.assertTrue(world.connection.isConnectionAlive())

    def test_providerRepeatsItself(self) -> None:
        """The refused token again is nothing usable: -116 once, asked again."""
        answers = [TOKEN, TOKEN, "good"]
        world = self.lost(self.world(tokenProvider=lambda: answers.pop(0)), REFUSED)
        world.advance(5)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_closeWhileAsking(self) -> None:
        """close() cancels the question to the provider."""
        cancelled: list[Any] = []
        world = self.lost(self.world(tokenProvider=lambda: Deferred(cancelled.append)), REFUSED)
        world.close()
        world.settle()
        self.assertEqual(len(cancelled), 1)

    def test_firstConnect(self) -> None:
        """401 on a first connect is -116 at once, provider or not."""
        world = self.world(tokenProvider=lambda: "provided")
        world.discovery.outcomes = [REFUSED]
        outcome = world.connect()
        world.settle()
        self.assertEqual([e.code for e in outcome], [-116])
        self.assertEqual(world.discovery.tokens, [TOKEN])

    def test_updateTokenWithoutProvider(self) -> None:
        """It raises -101 and keeps the old token; so does an unusable value."""
        world = self.world().up()
        for argument in ((), ("",), ("two words",), (7,)):
            with self.assertRaises(ValueError) as caught:
                world.connection.updateToken(*argument)
            self.assertEqual(caught.exception.code, -101)
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.discovery.tokens, [TOKEN, TOKEN])

    def test_updateTokenAsksProvider(self) -> None:
        """Without an argument the provider is asked."""
        world = self.world(tokenProvider=lambda: "provided")
        self.assertRaises(InvalidState, world.connection.updateToken)
        world.up()
        world.connection.updateToken()
        world.settle()
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.discovery.tokens[-1], "provided")

    def test_patienceWaitsToo(self) -> None:
        """giveUpAfter does not run while it waits for a token."""
        world = self.lost(self.world(giveUpAfter=10.0), REFUSED)
        world.advance(100)
        world.discovery.outcomes = [ConnectionFailed("down")] * 50
        world.connection.updateToken("fresh")
        world.settle()
        self.assertIs(world.connection.state, ConnectionState.RECONNECTING)
        world.advance(10)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116, -106])


class GivingUp(ContractCase):
    """Promise 7: when retrying ends."""

    def test_giveUpAfter(self) -> None:
        """An absolute deadline from the loss; one error; DISCONNECTED."""
        world = self.world(giveUpAfter=10.0).up()
        world.discovery.outcomes = [ConnectionFailed("down")] * 50
        world.transport.lose()
        world.advance(9.5)
        self.assertEqual(world.recorder.of("onConnectionError"), [])
        world.advance(1)
        ((code, message),) = world.recorder.of("onConnectionError")
        self.assertEqual(code, -106)
        self.assertIn("10 seconds", message)
        self.assertIn("down", message)
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual(world.leftovers(), [])

    def test_giveUpDuringAnAttempt(self) -> None:
        """The attempt under way is cancelled; connect() from the error works."""
        world = self.world(giveUpAfter=10.0).up()
        world.discovery.outcomes = [world.discovery.hanging()]
        world.recorder.react["onConnectionError"] = lambda *_: world.connect()
        world.transport.lose()
        world.advance(11)
        self.assertEqual(world.discovery.cancelled, 1)
        self.assertTrue(world.connection.isConnectionAlive())
        self.assertEqual(len(world.recorder.of("onConnectionError")), 1)

    def test_fatalFaults(self) -> None:
        """A certificate refused, or no usable mechanism, ends it at once."""
        world = self.world().up()
        world.discovery.outcomes = [CertificateRefused("bad certificate")]
        world.transport.lose()
        world.advance(50)
        self.assertEqual(world.recorder.of("onConnectionError"), [(-106, "bad certificate")])
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)

    def test_thirdViolation(self) -> None:
        """A protocol violation for the third time with no session in between is the last."""
        world = self.world().up()
        world.provider.outcomes = [ProtocolViolation("nonsense")] * 2
        world.transport.say(b"<!DOCTYPE a>")
        world.advance(5)
        self.assertEqual(world.recorder.of("onConnectionError"), [(-105, "nonsense")])
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)

    def test_twoViolations(self) -> None:
        """A session in between starts the count anew."""
        world = self.world().up()
        for _ in range(4):
            world.transport.say(b"<!DOCTYPE a>")
            world.advance(2)
        self.assertTrue(world.connection.isConnectionAlive())


class StaleWebsocketToken(ContractCase):
    """Promise 8: SASL not-authorized asks discovery once more."""

    def test_secondTokenWorks(self) -> None:
        """The connect() succeeds when the second answer is good."""
        world = self.world()
        world.platform.mechanisms = ("PLAIN",)
        answers = iter([None, RID])
        identity = self.patchIdentity(answers)
        outcome = world.connect()
        world.settle()
        self.assertEqual(outcome, [world.connection])
        self.assertEqual(len(world.discovery.tokens), 2)
        self.assertEqual(world.recorder.names(), ["onConnected"])
        self.assertIsNotNone(identity)

    def patchIdentity(self, answers: Any) -> Any:
        from iris_twisted.sandbox.rtc_session import RtcSession

        return self.patch(RtcSession, "_identity", lambda *_: next(answers))


class ServerAsksToLeave(ContractCase):
    """Promise 9: polite endings, conflict, see-other-uri."""

    def comesBack(self, world: World) -> None:
        world.advance(5)
        self.assertEqual(
            world.recorder.names(),
            ["onConnected", "onDisconnected", "onReconnecting", "onConnected"],
        )

    def test_disconnectIq(self) -> None:
        """It is acknowledged, the session closed politely, and brought up again."""
        world = self.world().up()
        first = world.transport
        world.platform.drop(first.id, "disconnect")
        world.settle()
        self.assertTrue(first.closing)
        self.assertIn(b'type="result"', first.sent[-1])
        self.comesBack(world)

    def test_disconnectIqFromSomebody(self) -> None:
        """From our own bare JID, or a stranger, it is forbidden and changes nothing."""
        world = self.world().up()
        for sender in (RID, "mallory@example.test/x", "evil.test"):
            world.transport.say(
                f'<iq type="set" id="d" from="{sender}"><query xmlns="jabber:iq:private">'
                f'<data xmlns="urn:xmpp:comcast:info" type="disconnect"/></query></iq>'.encode()
            )
            self.assertIn(b"forbidden", world.transport.sent[-1])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_goingAway(self) -> None:
        """1001 reconnects."""
        world = self.world().up()
        world.transport.lose(ServerLeaving("going away"))
        self.comesBack(world)

    def test_streamClosed(self) -> None:
        """C{</stream:stream>} and C{<close/>} reconnect."""
        for dialect in ("stream", "framed"):
            world = self.world(dialect=dialect).up()
            world.transport.goAway()
            self.comesBack(world)

    def streamError(self, world: World, condition: str) -> None:
        world.transport.say(
            f'<stream:error xmlns:stream="http://etherx.jabber.org/streams">'
            f'<{condition} xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>'.encode()
        )

    def test_shutdown(self) -> None:
        """The stream errors system-shutdown and reset reconnect."""
        for condition in ("system-shutdown", "reset", "policy-violation"):
            world = self.world().up()
            self.streamError(world, condition)
            self.comesBack(world)

    def test_conflict(self) -> None:
        """conflict is final: no reconnect, -105."""
        world = self.world().up()
        self.streamError(world, "conflict")
        world.advance(100)
        self.assertEqual(
            world.recorder.names(), ["onConnected", "onDisconnected", "onConnectionError"]
        )
        ((code, message),) = world.recorder.of("onConnectionError")
        self.assertEqual(code, -105)
        self.assertIn("elsewhere", message)

    def seeOther(self, world: World, uri: str) -> None:
        world.transport.say(
            f'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="{uri}"/>'.encode()
        )

    def test_seeOtherUri(self) -> None:
        """It is followed once, without asking discovery; the next attempt asks again."""
        world = self.world().up()
        self.seeOther(world, "wss://rtc.example.test:9999/elsewhere")
        self.comesBack(world)
        self.assertEqual(world.destinations[-1].name, "wss://rtc.example.test:9999")
        self.assertEqual(world.destinations[-1].path, "/elsewhere")
        self.assertEqual(len(world.discovery.tokens), 1)
        world.transport.lose()
        world.advance(3)
        self.assertEqual(len(world.discovery.tokens), 2)

    def test_seeOtherUriRefused(self) -> None:
        """Not to plain text, not to another host, not to something that is no URL."""
        for uri in (
            "ws://rtc.example.test/x",
            "wss://evil.test/x",
            "rtc.example.test",
            "nonsense:",
        ):
            world = self.world().up()
            self.seeOther(world, uri)
            self.comesBack(world)
            self.assertEqual(
                [d.name for d in world.destinations], ["wss://rtc.example.test:443"] * 2
            )

    def test_seeOtherUriToAllowedHost(self) -> None:
        """allowedHosts names the hosts for both discovery and see-other-uri."""
        world = self.world(allowedHosts=["example.test", "friend.test"]).up()
        self.seeOther(world, "wss://rtc.friend.test/x")
        self.comesBack(world)
        self.assertEqual(world.destinations[-1].host, "rtc.friend.test")

    def test_allowedHosts(self) -> None:
        """A websocket server that is not allowed is -106."""
        world = self.world(allowedHosts=["friend.test"])
        outcome = world.connect()
        world.settle()
        self.assertEqual([e.code for e in outcome], [-106])
        self.assertEqual(world.destinations, [])


class Keepalive(ContractCase):
    """Promise 10: pings, and silence."""

    def pings(self, world: World) -> list[bytes]:
        return [m for m in world.transport.sent if b"urn:xmpp:ping" in m]

    def test_pings(self) -> None:
        """A ping every 3 seconds of silence, each with its own id, measures the round trip."""
        world = self.world().up()
        world.advance(31)
        self.assertIn(len(self.pings(world)), (9, 10))
        self.assertEqual(len(set(self.pings(world))), len(self.pings(world)))
        self.assertEqual(world.connection.stats.pingRoundTrip, 0.0)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_blackhole(self) -> None:
        """A peer that says nothing is lost within pingTimeout + pingInterval."""
        world = self.world().up()
        world.transport.silent = True
        world.advance(14)
        self.assertTrue(world.connection.isConnectionAlive())
        world.advance(4.1)
        self.assertIn("onDisconnected", world.recorder.names())
        self.assertIn(
            "silent for 15 seconds", world.recorder.of("onEvent")[1][0]["details"]["message"]
        )

    def test_anyByteIsLife(self) -> None:
        """Bytes that are no answer to a ping keep it alive."""
        world = self.world().up()
        world.transport.silent = True
        for _ in range(10):
            world.advance(10)
            world.transport.say(b" ")
        self.assertTrue(world.connection.isConnectionAlive())

    def test_ownStall(self) -> None:
        """A stall of our own reactor does not condemn a healthy peer."""
        world = self.world().up()
        world.advance(7)
        world.clock.advance(20)
        world.settle()
        world.advance(60)
        self.assertEqual(world.recorder.names(), ["onConnected"])

    def test_pingRefused(self) -> None:
        """An error to a ping is an answer too."""
        world = self.world().up()
        world.transport.silent = True
        world.advance(6.5)
        id = self.pings(world)[-1].split(b'id="')[1].split(b'"')[0]
        world.transport.say(b'<iq type="error" id="' + id + b'"/>')
        world.advance(14)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_serverPings(self) -> None:
        """An XMPP ping from the server is answered."""
        world = self.world().up()
        world.transport.say(
            b'<iq type="get" id="p1" from="example.test"><ping xmlns="urn:xmpp:ping"/></iq>'
        )
        self.assertEqual(
            world.transport.sent[-1],
            b'<iq xmlns="jabber:client" type="result" id="p1" to="example.test"/>',
        )


class Delivering(ContractCase):
    """Promises 11 and 16: notifications in order, acknowledged when done, bounded."""

    def results(self, world: World) -> list[bytes]:
        return [m for m in world.transport.sent if b"call-" in m]

    def test_acknowledgedAfterTheCallback(self) -> None:
        """The IQ is answered only when onNotification's Deferred fired."""
        world = self.world().up()
        done: Deferred[None] = Deferred()
        world.recorder.react["onNotification"] = lambda info: done
        world.notify()
        self.assertEqual(self.results(world), [])
        done.callback(None)
        (result,) = self.results(world)
        self.assertIn(b'type="result"', result)
        self.assertEqual(next(iter(world.platform.calls.values())).state, "ringing")
        world.settle()
        self.assertEqual(next(iter(world.platform.calls.values())).state, "acknowledged")

    def test_coroutine(self) -> None:
        """A coroutine function works as a callback."""
        world = self.world().up()
        gate: Deferred[None] = Deferred()

        async def ring(info: dict[str, Any]) -> None:
            await gate

        world.connection.onNotification = ring
        world.notify()
        self.assertEqual(self.results(world), [])
        gate.callback(None)
        self.assertEqual(len(self.results(world)), 1)

    def test_nextDoesNotWait(self) -> None:
        """In order, but the next is handed over before the one before is done."""
        world = self.world().up()
        waiting: list[Deferred[None]] = []

        def ring(info: dict[str, Any]) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        world.recorder.react["onNotification"] = ring
        world.notify(3)
        rooms = [info["roomId"] for (info,) in world.recorder.of("onNotification")]
        self.assertEqual(rooms, [call.info["roomid"] for call in world.platform.calls.values()])
        for deferred in waiting:
            deferred.callback(None)
        self.assertEqual(len(self.results(world)), 3)

    def test_failingCallback(self) -> None:
        """A callback that fails is logged, counted, and answered with an error."""
        world = self.world().up()
        world.recorder.react["onNotification"] = lambda info: 1 / 0
        world.notify(2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(world.connection.stats.callbackErrors, 2)
        self.assertTrue(all(b"internal-server-error" in r for r in self.results(world)))
        self.assertTrue(world.connection.isConnectionAlive())

    def test_noRoom(self) -> None:
        """What the application cannot keep is answered as such, and told without a traceback."""
        for error, condition in (
            (NotKept("the disk is full"), b"resource-constraint"),
            (NotTaken("nobody takes it"), b"internal-server-error"),
        ):
            for fails in (fail(error), None):
                world = World().up()

                def react(info: Any, error: Any = error, fails: Any = fails) -> Any:
                    if fails is None:
                        raise error
                    return fails

                world.recorder.react["onNotification"] = react
                with capturedLogs() as logs:
                    world.notify()
                (result,) = self.results(world)
                self.assertIn(condition, result)
                told = [log for log in logs if log["log_format"] == "{callback} failed: {reason}"]
                self.assertEqual([log["reason"] for log in told], [error.message])
                self.assertEqual(world.connection.stats.callbackErrors, 1)
                world.close()
                world.settle()

    def test_unknownRequests(self) -> None:
        """Unknown IQ requests are answered service-unavailable; results and messages not at all."""
        world = self.world().up()
        before = len(world.transport.sent)
        world.transport.say(b'<iq type="get" id="v"><query xmlns="jabber:iq:version"/></iq>')
        self.assertIn(b"service-unavailable", world.transport.sent[-1])
        world.transport.say(b'<iq type="result" id="zz"/><message><body>x</body></message>')
        self.assertEqual(len(world.transport.sent), before + 1)

    def test_beforeBind(self) -> None:
        """A notification that arrives before bind completes is kept, in order."""
        world = self.world()
        world.platform.hang("bind")
        outcome = world.connect()
        world.settle()
        for room in ("one", "two"):
            world.transport.say(
                f'<iq type="set" id="{room}" from="example.test"><query xmlns="jabber:iq:private">'
                f'<data xmlns="urn:xmpp:comcast:info" type="notify" roomid="{room}"/></query></iq>'.encode()
            )
        world.transport.say(b'<iq type="result" id="bind"/>')
        world.platform.hanging.clear()
        world.transport.say(b'<iq type="result" id="sess"/>')
        world.settle()
        self.assertEqual(outcome, [world.connection])
        self.assertEqual(
            world.recorder.names(), ["onConnected", "onNotification", "onNotification"]
        )
        self.assertEqual(
            [i["roomId"] for (i,) in world.recorder.of("onNotification")], ["one", "two"]
        )

    def test_bounded(self) -> None:
        """At most so many are unanswered; reading pauses until half are done; nothing is lost."""
        world = self.world(limits=Limits(unanswered=10)).up()
        waiting: list[Deferred[None]] = []

        def ring(info: dict[str, Any]) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        world.recorder.react["onNotification"] = ring
        world.notify(25)
        self.assertEqual(len(waiting), 10)
        self.assertTrue(world.transport.paused)
        world.advance(100)
        self.assertTrue(world.connection.isConnectionAlive(), "a pause of ours is not silence")
        for deferred in waiting[:4]:
            deferred.callback(None)
        world.settle()
        self.assertEqual(len(waiting), 10)
        self.assertTrue(world.transport.paused)
        waiting[4].callback(None)
        world.settle()
        self.assertEqual(len(waiting), 15)
        answered = 5
        while answered < len(waiting):
            waiting[answered].callback(None)
            answered += 1
            world.settle()
        self.assertEqual(len(waiting), 25)
        self.assertFalse(world.transport.paused)

    def test_oneReadBeyond(self) -> None:
        """What one read brings beyond the limit is held, not handed over."""
        world = self.world(limits=Limits(unanswered=2)).up()
        done: list[Deferred[None]] = []
        world.recorder.react["onNotification"] = lambda i: done.append(Deferred()) or done[-1]
        stanza = (
            '<iq type="set" id="x{0}" from="example.test"><query xmlns="jabber:iq:private">'
            '<data xmlns="urn:xmpp:comcast:info" type="notify" roomid="{0}"/></query></iq>'
        )
        world.transport.say("".join(stanza.format(n) for n in range(5)).encode())
        world.settle()
        self.assertEqual(len(done), 2)
        for n in range(5):
            done[n].callback(None)
            world.settle()
        rooms = [i["roomid"] for (i,) in world.recorder.of("onNotification")]
        self.assertEqual(rooms, ["0", "1", "2", "3", "4"])

    def test_exhaustion(self) -> None:
        """
        100,000 notifications against a callback that never ends: 1,000 are handed
        over, reading stops, and nothing else is kept (security.md, "Exhaustion").
        """
        world = self.world().up()
        world.recorder.react["onNotification"] = lambda info: Deferred()
        stanza = (
            b'<iq type="set" id="x" from="example.test"><query xmlns="jabber:iq:private">'
            b'<data xmlns="urn:xmpp:comcast:info" type="notify" roomid="r"/></query></iq>'
        )
        delivered = 0
        for _ in range(100_000):
            if world.transport.paused:
                break
            world.transport.say(stanza)
            world.settle()
            delivered += 1
        self.assertEqual(delivered, 1000)
        for _ in range(100_000 - delivered):
            # What the network still holds: the double queues it as the kernel would.
            world.transport.say(stanza)
        world.settle()
        self.assertEqual(len(world.recorder.of("onNotification")), 1000)
        self.assertEqual(len(world.connection._driver._calls._delivery._held), 0)

    def test_lostMeanwhile(self) -> None:
        """An answer after the loss goes nowhere, and harms nothing."""
        world = self.world(streamManagement=False).up()
        done: Deferred[None] = Deferred()
        world.recorder.react["onNotification"] = lambda info: done
        world.notify()
        world.transport.lose()
        world.advance(2)
        done.callback(None)
        world.settle()
        self.assertEqual(self.results(world), [])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_closedMeanwhile(self) -> None:
        """A callback that ends after close() is ignored."""
        world = self.world().up()
        done: Deferred[None] = Deferred()
        world.recorder.react["onNotification"] = lambda info: done
        world.notify()
        world.close()
        world.settle()
        done.callback(None)


class Resuming(ContractCase):
    """Promise 12: with XEP-0198, a loss that is resumed loses and repeats nothing."""

    def rooms(self, world: World) -> list[str]:
        return [info["roomid"] for (info,) in world.recorder.of("onNotification")]

    def call(self, world: World, *rooms: str) -> None:
        for room in rooms:
            world.platform.placeCall(RID, room=room)

    def test_resumed(self) -> None:
        """The same session: the callbacks of a loss, the same JID, the calls of the gap."""
        world = self.world().up()
        jid = world.connection.jid
        self.call(world, "one")
        world.settle()
        world.transport.lose()
        self.call(world, "two", "three")
        world.advance(2)
        self.assertEqual(
            [n for n in world.recorder.names() if n != "onNotification"],
            ["onConnected", "onDisconnected", "onReconnecting", "onConnected"],
        )
        self.assertEqual(self.rooms(world), ["one", "two", "three"])
        self.assertEqual(world.connection.jid, jid)
        self.assertNotIn("SDK_SessionNotResumed", world.recorder.states())
        self.assertEqual({c.state for c in world.platform.calls.values()}, {"acknowledged"})

    def test_sentAndNotHeard(self) -> None:
        """What was on the wire when it was cut comes again."""
        world = self.world().up()
        world.transport.silent = True
        self.call(world, "one", "two")
        world.settle()
        world.transport.lose()
        world.advance(2)
        self.assertEqual(self.rooms(world), ["one", "two"])

    def test_notDone(self) -> None:
        """What was handed over and not done comes again, and is not delivered twice."""
        world = self.world().up()
        waiting: dict[str, Deferred[None]] = {}

        def ring(info: dict[str, Any]) -> Deferred[None]:
            waiting[info["roomid"]] = Deferred()
            return waiting[info["roomid"]]

        world.recorder.react["onNotification"] = ring
        self.call(world, "one", "two", "three")
        world.settle()
        waiting["two"].callback(None)
        world.settle()
        world.transport.lose()
        waiting["three"].callback(None)
        world.advance(2)
        self.call(world, "four")
        world.settle()
        self.assertEqual(self.rooms(world), ["one", "two", "three", "four"])
        states = [call.state for call in world.platform.calls.values()]
        self.assertEqual(states, ["ringing", "acknowledged", "acknowledged", "ringing"])
        waiting["one"].callback(None)
        waiting["four"].callback(None)
        world.settle()
        self.assertEqual({c.state for c in world.platform.calls.values()}, {"acknowledged"})

    def test_overAndOver(self) -> None:
        """Many losses while calls come: each once, in order."""
        world = self.world(stableAfter=0).up()
        expected = []
        for n in range(60):
            expected.append(f"room{n}")
            self.call(world, f"room{n}")
            if n % 3 == 0:
                world.transport.silent = True
            if n % 5 != 4:
                world.settle()
            if n % 2:
                world.transport.lose()
                world.advance(1.1 if n % 4 == 1 else 0.3)
        world.advance(20)
        self.assertEqual(self.rooms(world), expected)

    def test_whatWeSent(self) -> None:
        """A reject that was cut off is sent again, and its Deferred survives."""
        world = self.world().up()
        self.call(world, "one")
        world.settle()
        ((info,),) = world.recorder.of("onNotification")
        rejecting = world.connection.rejectSession(info)
        world.transport.lose()
        self.assertNoResult(rejecting)
        world.advance(2)
        self.assertIsNone(self.successResultOf(rejecting))
        (call,) = world.platform.calls.values()
        self.assertEqual(call.state, "rejected")

    def test_timeOutRunsOn(self) -> None:
        """An IQ that is pending across a loss times out all the same."""
        world = self.world(retryPolicy=FixedDelay(20.0)).up()
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        world.transport.lose()
        world.advance(9.5)
        self.assertNoResult(rejecting)
        world.advance(0.5)
        self.failureResultOf(rejecting, NoAnswer)

    def test_closedInTheGap(self) -> None:
        """close() during the gap fails what is pending."""
        world = self.world().up()
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        world.transport.lose()
        world.settle()
        world.close()
        world.settle()
        self.failureResultOf(rejecting, NotConnected)

    def test_cannotResume(self) -> None:
        """A server that lost the session gives a fresh one; the gap is told."""
        world = self.world().up()
        jid = world.connection.jid
        world.advance(7)
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        heard = world.clock.seconds()
        rejecting = world.connection.rejectSession(payload)
        world.transport.lose()
        world.platform.managed.clear()
        world.advance(2)
        self.failureResultOf(rejecting, NotConnected)
        self.assertNotEqual(world.connection.jid, jid)
        (event,) = [
            e for (e,) in world.recorder.of("onEvent") if e["state"] == "SDK_SessionNotResumed"
        ]
        self.assertEqual(event["details"]["lostSince"], heard - 1)
        self.call(world, "one")
        world.settle()
        self.assertEqual(self.rooms(world), ["one"])

    def test_keptTooShort(self) -> None:
        """A session that the server kept for a time is not asked for after it."""
        world = self.world(retryPolicy=FixedDelay(20.0))
        world.platform.resumptionPatience = 10.0
        world.up()
        world.transport.lose()
        world.advance(21)
        self.assertFalse([m for m in world.transport.sent if b"<resume" in m])
        self.assertIn("SDK_SessionNotResumed", world.recorder.states())

    def located(self, location: str, **settings: Any) -> World:
        world = self.world(**settings)
        world.platform.location = location
        return world.up()

    def test_location(self) -> None:
        """It is resumed where the server wants it to be, each time."""
        world = self.located("rtc.example.test:5443")
        for _ in range(2):
            world.transport.lose()
            world.advance(2)
        places = [(place.host, place.port) for place in world.destinations]
        elsewhere = ("rtc.example.test", 5443)
        self.assertEqual(places, [("rtc.example.test", 443), elsewhere, elsewhere])
        self.assertNotIn("SDK_SessionNotResumed", world.recorder.states())

    def test_locationOfAStranger(self) -> None:
        """Another host is believed only when it is allowed; nonsense never."""
        for location, allowed, last in (
            ("evil.test", None, "rtc.example.test"),
            ("b.rtc.example.test", None, "rtc.example.test"),
            ("other.test", ["rtc.example.test"], "rtc.example.test"),
            ("other.test", ["other.test", "rtc.example.test"], "other.test"),
            ("rtc.example.test/path", None, "rtc.example.test"),
            ("://", None, "rtc.example.test"),
        ):
            world = self.located(location, allowedHosts=allowed)
            world.transport.lose()
            world.advance(2)
            self.assertEqual(world.destinations[-1].host, last)
            self.assertEqual(world.destinations[-1].port, 443)
            self.assertNotIn("SDK_SessionNotResumed", world.recorder.states())

    def test_locationThatLeadsNowhere(self) -> None:
        """It is resumed where discovery says instead, in the same attempt."""
        world = self.located("rtc.example.test:1")
        world.transport.lose()
        world.provider.outcomes.append(ConnectionFailed("nobody there"))
        world.advance(2)
        self.assertEqual([place.port for place in world.destinations], [443, 1, 443])
        self.assertNotIn("SDK_SessionNotResumed", world.recorder.states())
        self.assertEqual(world.connection.stats.reconnects, 1)

    def test_locationThatIsSilent(self) -> None:
        """A place that never answers costs one attempt, and is not tried again."""
        world = self.located("rtc.example.test:1", connectTimeout=5.0)
        world.transport.lose()
        world.provider.outcomes.append(Deferred())
        world.advance(10)
        self.assertEqual([place.port for place in world.destinations], [443, 1, 443])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_serverWithout(self) -> None:
        """Without XEP-0198 nothing is said of it."""
        world = self.world()
        world.platform.streamManagement = False
        world.up()
        world.transport.lose()
        world.advance(2)
        self.assertNotIn("SDK_SessionNotResumed", world.recorder.states())
        self.assertFalse([t for t in world.transports for m in t.sent if b"urn:xmpp:sm:3" in m])

    def test_politeEnd(self) -> None:
        """A stream that was ended properly is not resumed."""
        world = self.world(dialect="framed").up()
        world.transport.goAway()
        world.advance(3)
        self.assertFalse([m for m in world.transport.sent if b"<resume" in m])
        self.assertTrue(world.connection.isConnectionAlive())

    def test_shortBooks(self) -> None:
        """Both sides acknowledge as they go."""
        world = self.world().up()
        for n in range(20):
            self.call(world, f"r{n}")
            world.advance(3)
        management = world.connection._driver._link.session.resumption.management
        self.assertLess(len(tuple(management.unacknowledged)), 4)
        ((_, session),) = world.platform.managed.values()
        self.assertLess(len(tuple(session.management.unacknowledged)), 4)


class Rejecting(ContractCase):
    """rejectSession: the wire form, the answer, the errors."""

    def test_rejected(self) -> None:
        """The server's result fires the Deferred; event and counter follow."""
        world = self.world().up()
        world.notify()
        ((info,),) = world.recorder.of("onNotification")
        outcome: list[Any] = []
        world.connection.rejectSession(info).addBoth(outcome.append)
        world.settle()
        self.assertEqual(outcome, [None])
        self.assertEqual(next(iter(world.platform.calls.values())).state, "rejected")
        self.assertEqual(world.recorder.states()[-1], "SDK_CallRejected")
        self.assertEqual(world.connection.stats.rejected, 1)

    def test_documentedNames(self) -> None:
        """The lower-case names work alone; the bytes are those of protocol.md."""
        world = self.world().up()
        payload = {"roomid": "ROOM", "traceid": "TRACE", "rtcserver": "xmpp-wcdcc-001.example.test"}
        world.connection.rejectSession(payload).addErrback(lambda _: None)
        sent = world.transport.sent[-1].decode()
        id = sent.split('id="')[1].split('"')[0]
        to = f"ROOM@callcontrol-wcdcc-001.example.test/{RID}"
        self.assertTrue(id.endswith(":sendIQ"))
        self.assertEqual(
            sent,
            f'<iq xmlns="jabber:client" id="{id}" type="set" to="{to}"><query xmlns="jabber:iq:private" strict="false"/>'
            f'<data xmlns="urn:xmpp:comcast:info" action="reject" roomid="ROOM" traceid="TRACE" '
            f'event="pstncall" rtcserver="xmpp-wcdcc-001.example.test" to="{to}"/></iq>',
        )
        world.settle()

    def test_notConnected(self) -> None:
        """Without a session it fails at once with -104."""
        world = self.world()
        failure = self.failureResultOf(world.connection.rejectSession({}), NotConnected)
        self.assertEqual(failure.value.code, -104)

    def test_badPayload(self) -> None:
        """Each missing or unusable field fails with -101, named."""
        world = self.world().up()
        good = {"roomId": "r", "traceId": "t", "rtcserver": "xmpp.example.test"}
        for payload, word in (
            (None, "notificationPayload"),
            ("text", "notificationPayload"),
            ({}, "roomId"),
            ({**good, "roomId": ""}, "roomId"),
            ({**good, "roomId": 7}, "roomId"),
            ({**good, "roomId": "a/b"}, "roomId"),
            ({**good, "traceId": "x" * 300_000}, "traceId"),
            ({**good, "roomId": "a@b"}, "roomId"),
            ({**good, "roomId": "a\x00b"}, "roomId"),
            ({**good, "traceId": None}, "traceId"),
            ({**good, "traceId": "\ufffe"}, "traceId"),
            ({**good, "rtcserver": ""}, "rtcserver"),
            ({**good, "rtcserver": "x@y"}, "rtcserver"),
        ):
            failure = self.failureResultOf(world.connection.rejectSession(payload), ValueError)
            self.assertEqual(failure.value.code, -101)
            self.assertIn(word, failure.value.message)

    def test_serverRefuses(self) -> None:
        """The server's error is the Deferred's failure."""
        world = self.world().up()
        payload = {"roomid": "unknown", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        world.settle()
        failure = self.failureResultOf(rejecting, BackendError)
        self.assertIn("item-not-found", failure.value.message)
        self.assertEqual(failure.value.condition, "item-not-found")

    def test_noAnswer(self) -> None:
        """No answer within iqTimeout fails it (promise 13)."""
        world = self.world().up()
        world.transport.silent = True
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        world.advance(9.9)
        self.assertNoResult(rejecting)
        world.advance(0.1)
        self.failureResultOf(rejecting, NoAnswer)

    def test_lostBeforeTheAnswer(self) -> None:
        """A loss that cannot be resumed fails it with -104."""
        world = self.world(streamManagement=False).up()
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        world.transport.lose()
        world.settle()
        self.failureResultOf(rejecting, NotConnected)

    def test_answerFromSomebodyElse(self) -> None:
        """Promise 13: an answer counts only from the one who was asked."""
        world = self.world().up()
        world.transport.silent = True
        payload = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
        rejecting = world.connection.rejectSession(payload)
        id = world.transport.sent[-1].split(b'id="')[1].split(b'"')[0].decode()
        for sender in ("mallory@example.test", RID, "example.test", "not a jid@@"):
            world.transport.say(f'<iq type="result" id="{id}" from="{sender}"/>'.encode())
            self.assertNoResult(rejecting)
        to = f"r@callcontrol.example.test/{RID}"
        world.transport.say(f'<iq type="result" id="{id}" from="{to}"/>'.encode())
        self.successResultOf(rejecting)


class Tokens(ContractCase):
    """onTokenAboutToExpire, and the token watch."""

    def test_warning(self) -> None:
        """300 seconds before the token's exp, once."""
        world = self.world(pingInterval=1e4, pingTimeout=1e5)
        world.connect(token=world.platform.token(RID, 10_000))
        world.settle()
        world.advance(9_699, step=100)
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [])
        world.advance(2)
        ((left,),) = world.recorder.of("onTokenAboutToExpire")
        self.assertAlmostEqual(left, 300, delta=1)
        world.advance(400, step=100)
        self.assertEqual(len(world.recorder.of("onTokenAboutToExpire")), 1)

    def test_expiredAlready(self) -> None:
        """Once with 0."""
        world = self.world()
        world.connect(token=world.platform.token(RID, -50))
        world.settle()
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [(0.0,)])

    def test_farAhead(self) -> None:
        """60 days ahead does not fire at once."""
        world = self.world()
        world.connect(token=world.platform.token(RID, 60 * 86400))
        world.advance(100)
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [])

    def test_rearmed(self) -> None:
        """updateToken() rearms the watch."""
        world = self.world(pingInterval=1e4, pingTimeout=1e5).up()
        world.connection.updateToken(world.platform.token(RID, 4_000))
        world.advance(3_699, step=100)
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [])
        world.advance(2)
        self.assertEqual(len(world.recorder.of("onTokenAboutToExpire")), 1)

    def test_providerIsAsked(self) -> None:
        """The provider is asked when the token is about to expire."""
        world = self.world(tokenProvider=lambda: world.platform.token(RID, 9000))
        world.connect(token=world.platform.token(RID, 310))
        world.advance(280)
        world.transport.lose()
        world.advance(2)
        self.assertNotEqual(world.discovery.tokens[0], world.discovery.tokens[-1])

    def test_providerOfShortLives(self) -> None:
        """Tokens that come as good as expired are asked for with backoff, not in a circle."""
        asked: list[float] = []

        def provide() -> str:
            asked.append(world.clock.seconds())
            return world.platform.token(RID, -1)

        world = self.world(tokenProvider=provide)
        world.connect(token=world.platform.token(RID, -1))
        world.advance(10)
        self.assertTrue(2 <= len(asked) <= 11, asked)

    def test_providerRepeatsItself(self) -> None:
        """A provider that gives the same expiring token is asked again later."""
        token: list[str] = []
        asked: list[int] = []
        world = self.world(tokenProvider=lambda: asked.append(1) or token[0])
        token.append(world.platform.token(RID, -1))
        world.connect(token=token[0])
        world.advance(3.2)
        self.assertTrue(2 <= len(asked) <= 5, asked)


class Dialects(ContractCase):
    """dialect="auto": stream, then framed; remembered per server."""

    def test_streamFirst(self) -> None:
        """A server of the stream dialect is spoken to in it."""
        world = self.world()
        world.platform.dialects = ("stream",)
        world.up()
        self.assertEqual([t.dialect for t in world.transports], ["stream"])

    def test_framedSecond(self) -> None:
        """A server that drops the first dialect is tried in the second, in one connect()."""
        world = self.world()
        world.platform.dialects = ("framed",)
        world.up()
        self.assertEqual([t.dialect for t in world.transports], ["stream", "framed"])
        world.transport.lose()
        world.advance(2)
        self.assertEqual([t.dialect for t in world.transports], ["stream", "framed", "framed"])

    def test_silence(self) -> None:
        """A server that says nothing to the first for half the timeout gets the second."""
        world = self.world()
        world.platform.hang("stream")
        outcome = world.connect()
        world.advance(14.5)
        self.assertEqual(len(world.transports), 1)
        world.platform.hanging.clear()
        world.advance(1)
        self.assertEqual(outcome, [world.connection])
        self.assertEqual([t.dialect for t in world.transports], ["stream", "framed"])

    def test_bothRefused(self) -> None:
        """When both are refused, the last reason is told."""
        world = self.world()
        world.platform.dialects = ()
        outcome = world.connect()
        world.settle()
        self.assertEqual([type(e) for e in outcome], [PeerClosed])
        self.assertEqual(len(world.transports), 2)

    def test_rememberedButChanged(self) -> None:
        """A remembered dialect that is refused is found anew by the next attempt."""
        world = self.world().up()
        world.platform.dialects = ("framed",)
        world.transport.lose()
        world.advance(1.2)
        self.assertFalse(world.connection.isConnectionAlive())
        world.advance(2)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_fixed(self) -> None:
        """A dialect that was chosen is the only one tried."""
        world = self.world(dialect="stream")
        world.platform.dialects = ("framed",)
        outcome = world.connect()
        world.settle()
        self.assertEqual([e.code for e in outcome], [-106])
        self.assertEqual(len(world.transports), 1)


class Telemetry(ContractCase):
    """telemetry=True sends callstats IQs, without secrets."""

    def test_off(self) -> None:
        """Nothing is sent by default."""
        world = self.world().up()
        world.notify()
        self.assertFalse([m for m in world.transport.sent if b"callstats" in m])

    def test_on(self) -> None:
        """One IQ per event that happens on a live session, in the official shape."""
        world = self.world(telemetry=True).up()
        world.notify()
        sent = [m for m in world.transport.sent if b"callstats" in m]
        self.assertEqual(len(sent), 2)
        self.assertIn(b":sendStatsIQ:SDK_NotificationReceived", sent[-1])
        self.assertIn(b"@callcontrol.example.test/", sent[-1])
        self.assertNotIn(b"roomtoken", sent[-1])
        world.transport.silent = True
        world.notify()
        world.advance(12)


class Callbacks(ContractCase):
    """Callbacks by subclass, attribute and listener."""

    def test_attribute(self) -> None:
        """An assigned attribute takes the place of the listener's callback."""
        world = self.world()
        seen: list[str] = []
        world.connection.onConnected = lambda: seen.append("attribute")
        world.up()
        self.assertEqual(seen, ["attribute"])
        self.assertEqual(world.recorder.names(), [])

    def test_failingCallback(self) -> None:
        """A callback that raises is logged, counted, and harms nothing else."""
        world = self.world()
        world.recorder.react["onConnected"] = lambda: 1 / 0
        world.recorder.react["onEvent"] = lambda event: 1 / 0
        world.up()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(world.connection.stats.callbackErrors, 2)

    def test_repr(self) -> None:
        """The repr shows state and JID, and no secret."""
        world = self.world().up()
        self.assertIn("connected alice@example.test/", repr(world.connection))
        self.assertNotIn(TOKEN, repr(world.connection))
        self.assertNotIn(
            world.connection.serverInfo.websocketToken, repr(world.connection.serverInfo)
        )
