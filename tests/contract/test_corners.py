"""
contract.md where calls, callbacks, token providers and clocks meet at odd moments.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import treq
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, race
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from iris_twisted import IrisFleet, IrisRtcConnection
from iris_twisted.connection.ping_scheduler import PingScheduler
from iris_twisted.connection.settings import Settings
from iris_twisted.connection.state import ConnectionState
from iris_twisted.connection.stats import Stats
from iris_twisted.connection.token_expiry import warningDue
from iris_twisted.connection.totals import Totals
from iris_twisted.daemon.token_files import TokenFiles
from iris_twisted.errors import (
    ConnectionFailed,
    IncorrectParameters,
    InvalidState,
    NotKept,
    ProtocolViolation,
    TokenRefused,
)
from iris_twisted.fleet.service import IrisRtcService
from iris_twisted.interfaces import IRetryPolicy
from iris_twisted.net import steady_time
from iris_twisted.net.json_text import decodeJsonToWrite
from iris_twisted.net.limits import Limits
from iris_twisted.net.steady_time import steadyTime
from iris_twisted.outbox.spool import Spool
from iris_twisted.outbox.values import Addition
from iris_twisted.sandbox import startSandbox
from iris_twisted.sinks.record import CallRecord

from .. import doubles
from ..doubles import RID, TOKEN, URL, DriftingClock, World
from .test_contract import ContractCase

PAYLOAD = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}
REFUSED = TokenRefused("refused")


def notification(number: int = 1) -> str:
    """A call, as the platform words it."""
    return (
        f"<iq type='set' id='n{number}' from='notify.example.test'><query xmlns='jabber:iq:private'>"
        f"<data xmlns='urn:xmpp:comcast:info' type='notify' roomid='room-{number}' "
        "routingid='b@example.test' traceid='t'/></query></iq>"
    )


def outcomeOf(deferred: Deferred[Any]) -> list[Any]:
    """A list that gets what a Deferred fires with; an exception where it fails."""
    outcome: list[Any] = []
    deferred.addBoth(lambda r: outcome.append(r.value if isinstance(r, Failure) else r))
    return outcome


class ClosingTwice(ContractCase):
    """Promise 4: what is owed comes, and nothing else, however often close() is called."""

    def test_inTheNextTurn(self) -> None:
        """A second close() takes away no onDisconnected that waits its turn."""
        world = self.world().up()
        world.recorder.calls.clear()
        world.transport.lose()
        world.platform.placeCall(RID)
        world.platform.placeCall(RID)
        closed: list[Any] = []

        def close(_: object) -> None:
            if not closed:
                closed.append(outcomeOf(world.connection.close()))
                world.clock.callLater(0, lambda: closed.append(outcomeOf(world.connection.close())))

        world.recorder.react["onNotification"] = close
        world.advance(3)
        self.assertEqual(
            world.recorder.names(),
            ["onDisconnected", "onReconnecting", "onConnected", "onNotification", "onDisconnected"],
        )
        self.assertEqual(closed, [[None], [None]])

    def test_fromItsOwnEvent(self) -> None:
        """close() from the event of the loss: its onDisconnected comes, each of both once."""
        world = self.world().up()
        world.recorder.calls.clear()
        world.recorder.react["onEvent"] = lambda event: world.connection.close() and None
        world.transport.lose()
        world.advance(3)
        self.assertEqual(world.recorder.names(), ["onDisconnected"])
        self.assertEqual(world.recorder.states(), ["SDK_WebSocketServerDisconnected"])

    def test_whileReopening(self) -> None:
        """close(); connect(); close() in one turn: nothing of the connect() is told."""
        for provider in (None, lambda: fail(ConnectionFailed("no"))):
            world = self.world(tokenProvider=provider).up()
            world.recorder.calls.clear()
            closed = world.close()
            connecting = world.connect(world.platform.token(RID, 10))
            again = world.close()
            world.advance(5)
            self.assertEqual(world.recorder.names(), ["onDisconnected"])
            self.assertEqual([closed, again], [[None], [None]])
            self.assertIsInstance(connecting[0], InvalidState)
            self.assertEqual(world.leftovers(), [])

    def test_keepsNothing(self) -> None:
        """A connection that was closed keeps no session, and no error of an attempt."""
        world = self.world().up()
        world.provider.outcomes = [ConnectionFailed("down")]
        world.transport.lose()
        world.advance(5)
        world.close()
        world.advance(5)
        driver = world.connection._driver
        self.assertIsNone(driver._reached)
        self.assertIsNone(driver._retries._lastError)

    def test_paused(self) -> None:
        """A link that is not read is read again for its end: the peer's close is in there."""
        world = self.world(limits=Limits(unanswered=1)).up()
        world.recorder.react["onNotification"] = lambda info: Deferred()
        world.notify(2)
        self.assertTrue(world.transport.paused)
        world.close()
        self.assertFalse(world.transport.paused)


class CancelledByANeighbour(ContractCase):
    """Deferreds of one API call settle each, whatever their callbacks do to the others."""

    def test_race(self) -> None:
        """The first cancels the second; the third fires."""
        world = self.world()
        for call in (lambda: world.connection.connect(TOKEN, RID, URL), world.connection.close):
            deferreds = [call() for _ in range(3)]
            raced = outcomeOf(race(deferreds[:2]))
            third = outcomeOf(deferreds[2])
            world.settle()
            self.assertEqual(len(raced), 1)
            self.assertEqual(len(third), 1)
            self.assertNotIsInstance(third[0], Exception)

    def test_theNextOne(self) -> None:
        """A connect() that is cancelled ends, though one that failed was not told yet."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("down")]
        cancelled: list[list[Any]] = []

        def again(*_: object) -> None:
            connecting = world.connection.connect(TOKEN, RID, URL)
            cancelled.append(outcomeOf(connecting))
            connecting.cancel()

        world.recorder.react["onConnectionError"] = again
        failed = world.connect()
        world.settle()
        self.assertEqual(
            [type(e) for e in (*failed, *cancelled[0])], [ConnectionFailed, CancelledError]
        )
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual(world.recorder.names(), ["onConnectionError"])


class CallsFromDeferreds(ContractCase):
    """The API, called where a Deferred of it fires."""

    def test_closeWhenRejected(self) -> None:
        """close() from the Deferred of rejectSession(): the rest of that message is not told."""
        world = self.world().up()
        world.recorder.calls.clear()
        rejecting = world.connection.rejectSession(PAYLOAD)
        rejecting.addCallback(lambda _: world.connection.close() and None)
        (sent,) = [m.decode() for m in world.transport.sent if b"reject" in m]
        id, to = (re.search(rf' {name}=["\']([^"\']+)', sent)[1] for name in ("id", "to"))  # type: ignore[index]
        answer = f"<iq type='result' id='{id}' from='{to}'/>" + notification()
        world.transport.say(answer.encode())
        world.advance(5)
        self.assertEqual(world.recorder.names(), ["onDisconnected"])

    def test_connectWhenRejectFailed(self) -> None:
        """connect() from the errback of a reject, while closing or giving up, is a new one."""
        for how in ("close", "give up"):
            world = self.world(giveUpAfter=5.0, iqTimeout=60.0).up()
            world.transport.silent = True
            outcomes: list[list[Any]] = []

            def again(_: Failure, world: World = world, outcomes: Any = outcomes) -> None:
                world.discovery.outcomes.clear()
                outcomes.append(world.connect(world.platform.token(RID, 4000)))

            world.connection.rejectSession(PAYLOAD).addErrback(again)
            world.discovery.outcomes = [ConnectionFailed("down")] * 50
            world.transport.lose()
            world.advance(2)
            if how == "close":
                world.close()
            world.advance(8)
            self.assertEqual(outcomes, [[world.connection]])
            world.recorder.calls.clear()
            world.advance(3700, step=100)
            self.assertEqual(world.recorder.names().count("onTokenAboutToExpire"), 1)


class HeldBack(ContractCase):
    """Promise 16, across losses."""

    def test_newLinkIsPaused(self) -> None:
        """What an earlier link left held leaves no room on the next: it is not read."""
        world = self.world(limits=Limits(unanswered=10), streamManagement=False).up()
        pending: list[Deferred[None]] = []
        world.recorder.react["onNotification"] = lambda info: (
            pending.append(Deferred()) or pending[-1]
        )
        world.transport.say("".join(notification(n) for n in range(12)).encode())
        world.settle()
        pending[0].callback(None)
        world.transport.lose()
        world.advance(3)
        self.assertTrue(world.transport.paused)
        for finishing in pending[1:]:
            finishing.callback(None)
        world.settle()
        self.assertFalse(world.transport.paused)
        self.assertEqual(world.recorder.names().count("onNotification"), 12)

    def test_bounded(self) -> None:
        """A peer that is lost again and again, with more each time, is told that it is too much."""
        world = self.world(limits=Limits(unanswered=3), streamManagement=False).up()
        world.recorder.react["onNotification"] = lambda info: Deferred()
        told = 0
        for loss in range(3):
            transport = world.transport
            # Delivered at once, as a read that began before the pause would be.
            for number in range(4):
                transport.receiver.messageReceived(notification(10 * loss + number).encode())
            world.settle()
            told += sum(b"resource-constraint" in message for message in transport.sent)
            transport.lose()
            world.advance(3)
        self.assertEqual(world.recorder.names().count("onNotification"), 3)
        self.assertGreater(told, 0)


class Providers(ContractCase):
    """Promise 6: token providers that misbehave."""

    def test_closes(self) -> None:
        """One that closes the connection and then raises: nothing else is told or asked."""
        asked: list[float] = []

        def provider() -> str:
            asked.append(world.clock.seconds())
            world.connection.close()
            raise RuntimeError("logged out")

        async def later() -> str:
            asked.append(world.clock.seconds())
            await world.connection.close()
            raise RuntimeError("logged out")

        for each in (provider, later):
            for seconds in (-5, 4000):
                asked.clear()
                world = self.world(tokenProvider=each)
                connecting = world.connect(world.platform.token(RID, seconds))
                world.settle()
                world.advance(5000, step=100)
                self.assertEqual(len(asked), 1)
                self.assertEqual(len(connecting), 1)
                self.assertIn(
                    world.recorder.names()[-1], ("onDisconnected", "onTokenAboutToExpire")
                )
                self.assertNotIn("onConnectionError", world.recorder.names())
                self.assertEqual(world.leftovers(), [])
                self.flushLoggedErrors(RuntimeError)

    def test_hangs(self) -> None:
        """One that never answers counts as failed after iqTimeout; updateToken() wins."""
        cancelled: list[object] = []
        world = self.world(tokenProvider=lambda: Deferred(cancelled.append)).up()
        world.discovery.outcomes = [REFUSED]
        world.transport.lose()
        world.advance(9)
        self.assertEqual(world.recorder.of("onConnectionError"), [])
        world.advance(3)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertEqual(len(cancelled), 1)
        world.advance(100)
        self.assertEqual(len(world.recorder.of("onConnectionError")), 1)
        world.connection.updateToken("good")
        world.settle()
        self.assertTrue(world.connection.isConnectionAlive())

    def test_lateAnswer(self) -> None:
        """What a provider says after updateToken() does not replace that token."""
        answer: Deferred[str] = Deferred(lambda _: None)
        world = self.world(tokenProvider=lambda: answer).up()
        world.discovery.outcomes = [REFUSED]
        world.transport.lose()
        world.advance(2)
        world.connection.updateToken("mine")
        world.settle()
        answer.callback("late")
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.discovery.tokens[-1], "mine")

    def test_badTokensInTurn(self) -> None:
        """Two bad tokens in turn: -116 once for each of them, and each is tried once."""
        turn = [0]

        def provider() -> str:
            turn[0] += 1
            return "AB"[turn[0] % 2]

        world = self.world(tokenProvider=provider)
        world.connect("A")
        world.settle()
        world.discovery.outcomes = [REFUSED] * 1000
        world.transport.lose()
        world.advance(60)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116, -116])
        self.assertEqual(world.discovery.tokens, ["A", "A", "B"])

    def test_policyThatEnds(self) -> None:
        """A retry policy that ends, raises or answers nonsense does not end the asking."""
        for answer in (lambda: None, lambda: 1 // 0, lambda: "1", lambda: float("nan")):
            asked: list[int] = []
            world = self.world(
                tokenProvider=lambda asked=asked: asked.append(1) or fail(ConnectionFailed("down"))
            ).up()
            world.discovery.outcomes = [REFUSED]
            world.transport.lose()
            world.advance(1)
            world.policy.delay = lambda attempt, answer=answer: answer()  # type: ignore[method-assign]
            world.advance(300)
            self.assertGreater(len(asked), 8)
            self.flushLoggedErrors()

    def test_notCallable(self) -> None:
        """A provider that is none is refused, wherever it is given."""
        for make in (
            lambda: IrisRtcConnection(Clock(), tokenProvider="x"),
            lambda: IrisRtcConnection(Clock(), settings=Settings(), tokenProvider="x"),
            lambda: IrisFleet("https://x.test", reactor=Clock()).add(
                "a@b.test", "t", tokenProvider=7
            ),  # type: ignore[arg-type]
        ):
            error = self.assertRaises(IncorrectParameters, make)
            self.assertIn("tokenProvider", error.message)

    def test_shortLives(self) -> None:
        """Tokens that live for as long as the warning are used for nine tenths of it."""
        asked: list[float] = []

        def provider() -> str:
            asked.append(world.clock.seconds())
            return world.platform.token(RID, 300)

        world = self.world(tokenProvider=provider)
        world.connect(world.platform.token(RID, 300))
        world.advance(3600, step=10)
        self.assertEqual(len(asked), 13)

    def test_warningDue(self) -> None:
        """The warning's time, by hand; an C{iat} that makes no sense is not used."""
        for token, due in (
            ("no.jwt", 9_970.0),
            (doubles.jwt({"iat": 9_000}), 9_900.0),
            (doubles.jwt({"iat": 0}), 9_700.0),
            (doubles.jwt({"iat": 99_000}), 9_970.0),
            (doubles.jwt({"iat": "x"}), 9_970.0),
        ):
            self.assertAlmostEqual(warningDue(token, 10_000.0, 9_700.0, 300.0), due)

    def test_updateWhileClosed(self) -> None:
        """updateToken() on a closed connection watches nothing and asks nobody."""
        world = self.world(tokenProvider=lambda: self.fail("asked")).up()
        world.close()
        world.settle()
        world.recorder.calls.clear()
        world.connection.updateToken(world.platform.token(RID, -5))
        world.advance(5)
        self.assertEqual(world.recorder.names(), [])
        self.assertEqual(world.leftovers(), [])


class ServiceCase(ContractCase):
    """A service on a world's doubles."""

    def service(self, world: World, **options: Any) -> IrisRtcService:
        service = IrisRtcService(
            options.pop("token", TOKEN),
            RID,
            URL,
            reactor=world.clock,
            listener=world.recorder,
            discovery=world.discovery,
            transport=world.provider,
            retryPolicy=options.pop("retryPolicy", world.policy),
            **options,
        )
        self.addCleanup(lambda: service.running and service.stopService())
        return service


@implementer(IRetryPolicy)
class Nonsense:
    """A policy that answers with what is no number of seconds."""

    def delay(self, attempt: int) -> Any:
        return "1"


class Services(ServiceCase):
    """A service is no worse off than the connection it keeps."""

    def test_firstTokenRefused(self) -> None:
        """With a provider the first token is as good as any: it is asked, and -116 not told."""
        world = self.world()
        world.discovery.outcomes = [REFUSED]
        service = self.service(world, tokenProvider=lambda: "good")
        service.startService()
        world.settle()
        self.assertIs(service.connection.state, ConnectionState.CONNECTED)
        self.assertEqual(world.recorder.names(), ["onConnected"])
        self.assertEqual(world.discovery.tokens, [TOKEN, "good"])

    def test_firstTokensRefused(self) -> None:
        """Where the provider's is refused too, -116 is told once; it is asked again."""
        world = self.world()
        world.discovery.outcomes = [REFUSED, REFUSED]
        tokens = ["bad", "bad", "bad", "good"]
        service = self.service(world, tokenProvider=lambda: tokens.pop(0))
        service.startService()
        world.advance(10)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116])
        self.assertIs(service.connection.state, ConnectionState.CONNECTED)

    def test_stopIsCancelled(self) -> None:
        """Whoever stops a service may cancel the Deferred of that: C{ended} fires all the same."""
        world = self.world()
        service = self.service(world)
        service.startService()
        world.settle()
        stopped = service.stopService()
        stopped.addErrback(lambda failure: failure.trap(CancelledError))
        stopped.cancel()
        world.settle()
        self.assertIsNone(self.successResultOf(service.ended))

    def test_closedWhileItWaitsForAToken(self) -> None:
        """It stops while it waits for a first token, and nothing is left."""
        world = self.world()
        world.discovery.outcomes = [REFUSED]
        service = self.service(world, tokenProvider=Deferred)
        service.startService()
        world.settle()
        self.assertIs(service.connection.state, ConnectionState.CONNECTING)
        stopped = outcomeOf(service.stopService())
        world.settle()
        self.assertEqual(stopped, [None])
        self.assertEqual(world.leftovers(), [])

    def test_callbackAssigned(self) -> None:
        """A callback assigned on its connection does not keep C{ended} from firing."""
        world = self.world()
        service = self.service(world, giveUpAfter=2.0)
        told: list[int] = []
        service.connection.onConnectionError = lambda code, _: told.append(code)  # type: ignore[method-assign]
        service.startService()
        world.settle()
        world.discovery.outcomes = [ConnectionFailed("down")] * 50
        world.transport.lose()
        world.advance(4)
        self.assertEqual(told, [-106])
        self.assertIsInstance(self.successResultOf(service.ended), ConnectionFailed)

    def test_policyThatAnswersNonsense(self) -> None:
        """It ends, and says so."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("down")]
        service = self.service(world, retryPolicy=Nonsense())
        service.startService()
        world.advance(100)
        self.assertIsInstance(self.successResultOf(service.ended), ConnectionFailed)
        self.assertEqual(len(self.flushLoggedErrors(IncorrectParameters)), 1)

    def test_restartedInOneTurn(self) -> None:
        """C{ended} fires with None for the run that was stopped, and not for the next."""
        world = self.world()
        world.discovery.outcomes = [world.discovery.hanging()]
        service = self.service(world)
        service.startService()
        world.settle()
        ended = service.ended
        service.stopService()
        service.startService()
        world.advance(5)
        self.assertIsNone(self.successResultOf(ended))
        self.assertNoResult(service.ended)
        self.assertIs(service.connection.state, ConnectionState.CONNECTED)


class ClockThatIsSet(ContractCase):
    """Durations do not depend on the wall clock."""

    def drifting(self, **settings: Any) -> World:
        self.patch(doubles, "Clock", DriftingClock)
        return self.world(**settings).up()

    def test_deadLink(self) -> None:
        """A dead link is noticed in time, whichever way the wall clock is set."""
        for jump in (-3600, 3600):
            world = self.drifting()
            world.clock.jump(jump)
            world.transport.silent = True
            world.recorder.calls.clear()
            world.advance(12)
            self.assertEqual(world.recorder.names(), [])
            world.advance(8)
            self.assertIn("onDisconnected", world.recorder.names())
            world.transport.silent = False

    def test_pingsGoOn(self) -> None:
        """Pings go out at their interval after the wall clock was set."""
        for jump in (-3600, 3600):
            world = self.drifting()
            world.clock.jump(jump)
            world.transport.sent.clear()
            world.advance(31)
            pings = sum(b"urn:xmpp:ping" in message for message in world.transport.sent)
            self.assertTrue(9 <= pings <= 11, pings)

    def test_retry(self) -> None:
        """A retry, and giving up, come when they are due."""
        for jump in (-3600, 3600):
            world = self.drifting(giveUpAfter=20.0)
            world.policy.seconds = 8.0
            world.recorder.calls.clear()
            world.discovery.outcomes = [ConnectionFailed("down")] * 9
            asked = len(world.discovery.tokens)
            world.transport.lose()
            world.settle()
            world.clock.jump(jump)
            world.advance(7)
            self.assertEqual(len(world.discovery.tokens), asked)
            world.advance(2)
            self.assertEqual(len(world.discovery.tokens), asked + 1)
            world.advance(10)
            self.assertNotIn("onConnectionError", world.recorder.names())
            world.advance(2)
            self.assertIn("onConnectionError", world.recorder.names())

    def test_plainClock(self) -> None:
        """A plain C{Clock} that is set back: those who come later are served, and the old."""
        clock, served = Clock(), []
        clock.advance(10_000)
        scheduler = PingScheduler(clock, 3.0)
        scheduler.add(lambda: served.append("old"))
        clock.advance(1)
        clock.rightNow -= 3600
        new = lambda: served.append("new")  # noqa: E731
        scheduler.add(new)
        for _ in range(30):
            clock.advance(1)
        self.assertEqual(
            {name: served.count(name) for name in ("old", "new")}, {"old": 10, "new": 10}
        )

    def test_ownTime(self) -> None:
        """A steady time is its own; its calls keep what C{IDelayedCall} promises."""
        clock = Clock()
        steady = steadyTime(clock)
        self.assertIs(steadyTime(steady), steady)
        self.assertIs(steadyTime(clock), steady)
        made: list[str] = []
        call = steady.callLater(5, made.append, "made")
        call.delay(1)
        self.assertEqual(call.getTime(), 6)
        call.reset(3)
        self.assertEqual(steady.getDelayedCalls(), [call])
        clock.advance(3)
        self.assertEqual(made, ["made"])
        self.assertFalse(call.active())
        steady.callLater(1, made.append, "never").cancel()
        self.assertEqual((steady.getDelayedCalls(), clock.getDelayedCalls()), ([], []))


class Pinging(ContractCase):
    """Promise 10."""

    def test_needlessPings(self) -> None:
        """While messages or presence come, no ping goes out."""
        for data in (b"<message><body>x</body></message>", b"<presence/>", b" "):
            world = self.world(streamManagement=False).up()
            world.transport.sent.clear()
            for _ in range(30):
                world.advance(1)
                world.transport.say(data)
            self.assertEqual([m for m in world.transport.sent if b"urn:xmpp:ping" in m], [])

    def test_impossible(self) -> None:
        """An interval that would end every session before its first ping is refused."""
        error = self.assertRaises(IncorrectParameters, Settings, pingInterval=15.0)
        self.assertIn("pingInterval must be shorter than pingTimeout", error.message)

    def test_countIsToldAtOnce(self) -> None:
        """A callback that ended since the last answer is told at the next C{<r/>}, not later."""
        world = self.world().up()
        pending: Deferred[None] = Deferred()
        world.recorder.react["onNotification"] = lambda info: pending
        world.notify()
        world.advance(9)
        world.transport.say(b"<r xmlns='urn:xmpp:sm:3'/>")
        pending.callback(None)
        world.transport.sent.clear()
        world.transport.say(b"<r xmlns='urn:xmpp:sm:3'/>")
        self.assertEqual([m[:3] for m in world.transport.sent], [b"<a "])


class Patience(ContractCase):
    """giveUpAfter beside a refused token."""

    def test_late401(self) -> None:
        """A deadline that passed while the 401 was on its way: updateToken() gives up plainly."""
        world = self.world(giveUpAfter=5.0).up()
        hanging = world.discovery.hanging()
        world.discovery.outcomes = [hanging]
        world.transport.lose()
        world.advance(2)
        # The reactor is busy past the deadline, and reads the 401 before it looks at timers.
        world.clock.rightNow += 10
        hanging.errback(REFUSED)
        world.settle()
        world.connection.updateToken("another")
        world.advance(2)
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-116, -106])


class FakeReactor:
    """What a thread needs of a reactor whose clock can be set."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.looked = threading.Event()
        self.called = threading.Event()

    def seconds(self) -> float:
        self.looked.set()
        return time.monotonic() + self.offset

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()
        self.called.set()


class WallClockWatched(SynchronousTestCase):
    """A reactor that sleeps although its timers are due is woken."""

    def test_noticed(self) -> None:
        """Setting the clock is noticed by the thread, which ends when it is told to."""
        self.patch(steady_time, "_LOOK", 0.001)
        reactor, told = FakeReactor(), threading.Event()
        watch = steady_time._WallWatch(reactor, told.set)
        watch.start()
        (thread,) = [t for t in threading.enumerate() if t.name == "iris-wall-clock"]
        self.assertTrue(reactor.looked.wait(10))
        self.assertFalse(told.is_set())
        reactor.offset = -3600.0
        self.assertTrue(reactor.called.wait(10))
        self.assertTrue(told.is_set())
        watch.stop()
        thread.join(10)
        self.assertFalse(thread.is_alive())


class LostForGood(ContractCase):
    """A loss that no retry cures, beside giveUpAfter."""

    def test_noDeadline(self) -> None:
        """Nothing is given up later: no timer is left, and nothing more is told."""
        world = self.world(giveUpAfter=60.0).up()
        world.transport.say(
            b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
        world.settle()
        self.assertEqual(world.leftovers(), [])
        world.advance(100)
        self.assertEqual([c for c, _ in world.recorder.of("onConnectionError")], [-105])


class FailingAtOnce(ContractCase):
    """A fleet before an event manager that answers in the same turn."""

    def test_noRecursion(self) -> None:
        """Thousands that wait for a slot fail one after the other; every slot comes back."""
        world = self.world()
        world.policy.seconds = None
        hanging = [Deferred() for _ in range(5)]
        world.discovery.outcomes = [*hanging, *[ConnectionFailed("circuit open")] * 3000]
        fleet = IrisFleet(
            URL,
            reactor=world.clock,
            attempts=5,
            ramp=1e6,
            discovery=world.discovery,
            transport=world.provider,
            retryPolicy=world.policy,
        )
        services = [fleet.add(f"u{n}@example.test", TOKEN) for n in range(2000)]
        fleet.startService()
        world.clock.advance(0)
        for each in hanging:
            each.errback(ConnectionFailed("circuit opens"))
        for _ in range(2000):
            world.clock.advance(0)
        self.assertEqual(fleet.attemptsUnderWay, 0)
        for service in services:
            self.assertIsInstance(self.successResultOf(service.ended), ConnectionFailed)
        stopping = fleet.stopService()
        world.settle()
        self.successResultOf(stopping)

    def test_ramp(self) -> None:
        """Accounts added to a running fleet start as slowly as those that were there before."""
        for running in (False, True):
            world = self.world()
            fleet = IrisFleet(
                URL,
                reactor=world.clock,
                attempts=1000,
                ramp=10.0,
                discovery=world.discovery,
                transport=world.provider,
            )
            if running:
                fleet.startService()
                world.advance(5)
            for number in range(50):
                fleet.add(f"u{number}@example.test", TOKEN)
            if not running:
                fleet.startService()
            self.assertEqual(len(world.discovery.tokens), 1)
            world.advance(2, step=0.1)
            self.assertIn(len(world.discovery.tokens), (19, 20, 21))
            stopping = fleet.stopService()
            world.advance(5)
            self.successResultOf(stopping)


class TokenFilesWatched(SynchronousTestCase):
    """One timer looks at all token files; those who are told fail for themselves."""

    def test_oneFails(self) -> None:
        """A watcher that raises, or ends another, keeps no other from its token."""
        clock = Clock()
        files = TokenFiles(clock, 2.0)
        path, told = self.mktemp(), []
        Path(path).write_text("one")

        def raises(token: str) -> None:
            ends()
            raise RuntimeError("the application's")

        files.watch(path, raises)
        ends = files.watch(path, lambda token: told.append("ended"))
        files.watch(path, told.append)
        files.startService()
        self.addCleanup(files.stopService)
        for token in ("second", "third-token"):
            Path(path).write_text(token)
            if token == "second":
                clock.advance(2)
                ends = lambda: None  # noqa: E731
        clock.advance(2)
        self.assertEqual(told, ["second", "third-token"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class StrangersNumbers(SynchronousTestCase):
    """Whatever a stranger writes, what we write can be read."""

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        st.sampled_from(["1e400", "-1e999", '"\\ud800"', "NaN", "[" * 99, "1"]),
    )
    def test_strict(self, value: Any, odd: str) -> None:
        """A sink's line is strict JSON in UTF-8, with userdata as it was, or as its text."""

        def refuse(name: str) -> None:
            raise AssertionError(name)

        for text in (json.dumps(value), f"[{odd}]", f'{{"a": {odd}}}'):
            try:
                userdata = decodeJsonToWrite(text)
            except ValueError:
                userdata = text
            line = CallRecord.of("a@b.test", {"userdata": userdata}, 0.0).line
            read = json.loads(line, parse_constant=refuse)
            self.assertEqual(read["notification"]["userdata"], userdata)
            json.dumps(read, ensure_ascii=False, allow_nan=False).encode()


class BadItemOfABatch(TestCase):
    """A call that cannot be stored ends alone."""

    timeout = 30

    async def test_alone(self) -> None:
        """The others of its batch are kept; it fails with NotKept."""
        spool = Spool(reactor, self.mktemp())
        infos = ({"n": 1}, {"n": float("inf")}, {"n": object()}, {"n": 2})
        records = [CallRecord(str(n), "a@b.test", 0.0, info) for n, info in enumerate(infos)]
        outcomes = await spool.add([Addition(record, ("sink",)) for record in records])
        due = (await spool.due("sink", 1.0, 10)).due
        self.assertEqual([d.record.notification for d in due], [{"n": 1}, {"n": 2}])
        self.assertIsInstance(outcomes[1], NotKept)
        self.assertIsInstance(outcomes[2], NotKept)
        await spool.close()


class SandboxUnderOddRequests(TestCase):
    """The sandbox names what is wrong, whatever it is asked."""

    timeout = 60

    async def test_closingSession(self) -> None:
        """A call while one session's websocket is closing rings the user's others."""
        sandbox = await startSandbox(reactor)
        one, other = (IrisRtcConnection(reactor, streamManagement=False) for _ in range(2))
        rang: Deferred[Any] = Deferred()
        other.onNotification = rang.callback  # type: ignore[method-assign]
        for connection in (one, other):
            await connection.connect(sandbox.token("a@s.test"), "a@s.test", sandbox.url)
        sandbox.platform.drop(sandbox.sessions[0].id, "close")
        sandbox.placeCall("a@s.test", room="room-1")
        self.assertEqual((await rang)["roomid"], "room-1")
        await one.close()
        await other.close()
        await sandbox.stop()

    async def test_oddRequests(self) -> None:
        """Huge numbers, and bytes that are no text: an answer, and no traceback."""
        sandbox = await startSandbox(reactor)
        rooms = "/v1/wsturnserverinfo/routingid/a@s.test"
        statuses = []
        for method, path, headers, body in (
            ("POST", "/control/tokens", {}, b'{"routingId": "a@b", "lifetime": 1e308}'),
            (
                "POST",
                "/control/tokens",
                {},
                b'{"routingId": "a@b", "lifetime": 1%s}' % (b"0" * 400),
            ),
            ("GET", rooms, {b"Authorization": b"Bearer \xff"}, b""),
            ("GET", rooms, {b"Host": b"\xff"}, b""),
            ("GET", "/v1/routingid/user/x", {b"Authorization": b"\xff\xfe"}, b""),
            ("OPTIONS", rooms, {b"Access-Control-Request-Headers": b"\xff"}, b""),
            ("POST", "/v1/login/anonymous/", {b"X-App-Key": b"\xff"}, b"{}"),
        ):
            answer = await treq.request(
                method, sandbox.url + path, headers=headers, data=body, persistent=False
            )
            statuses.append(answer.code)
            await answer.content()
        self.assertTrue(all(status < 500 for status in statuses), statuses)
        await sandbox.stop()


class SurvivingMutants(ContractCase):
    """What no test held: each of these failed on a small change of the code."""

    def test_patienceOfResumption(self) -> None:
        """A session that the server has forgotten by now is not asked for, one second sooner it is."""
        for late, asked in ((-1.0, True), (1.0, False)):
            world = self.world().up()
            world.policy.seconds = world.platform.resumptionPatience + late
            world.transport.lose()
            world.advance(world.policy.seconds + 1)
            self.assertEqual(len(world.transports), 2)
            resumes = any(b"<resume" in message for message in world.transport.sent)
            self.assertEqual(resumes, asked)

    def test_askedToLeaveTwice(self) -> None:
        """A server that asks twice in one message is left once: no timer of the first is left."""
        world = self.world().up()
        world.policy.seconds = 50.0
        leave = (
            "<iq type='set' id='d{}'><query xmlns='jabber:iq:private'>"
            "<data xmlns='urn:xmpp:comcast:info' type='disconnect'/></query></iq>"
        )
        world.transport.say((leave.format(1) + leave.format(2)).encode())
        world.settle()
        self.assertIs(world.connection.state, ConnectionState.RECONNECTING)
        self.assertEqual(len(world.clock.getDelayedCalls()), 1)

    def test_closedOnce(self) -> None:
        """A second close() while the first is under way does nothing to the socket."""
        world = self.world(dialect="framed").up()
        world.transport.polite = False
        first = world.close()
        world.advance(2)
        second = world.close()
        self.assertEqual(sum(b"<close" in message for message in world.transport.sent), 1)
        # Three seconds after the first, not after the second.
        world.advance(1.1)
        self.assertEqual([first, second], [[None], [None]])

    def test_upAfterClose(self) -> None:
        """An attempt that comes up although it was stopped is closed: one connect() later, too."""
        for again in (False, True):
            world = self.world()
            # An event manager that answers when it is cancelled.
            info = world.discovery.good()
            world.discovery.outcomes = [Deferred(partial(Deferred.callback, result=info))]
            first = world.connect()
            world.settle()
            closed = world.close()
            second = world.connect() if again else []
            world.advance(5)
            self.assertEqual([type(e) for e in first], [InvalidState])
            self.assertEqual(closed, [None])
            self.assertEqual(second, [world.connection] if again else [])
            self.assertEqual(world.recorder.names(), ["onConnected"] if again else [])
            self.assertEqual([t.open for t in world.transports], [False] + [True] * again)

    def test_closedWhileRetrying(self) -> None:
        """close() during an attempt stops the time of giveUpAfter too."""
        world = self.world(giveUpAfter=60.0).up()
        world.discovery.outcomes = [world.discovery.hanging()]
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.close(), [])
        world.settle()
        self.assertEqual(world.leftovers(), [])

    def test_closedBeforeOnConnected(self) -> None:
        """An onConnected that close() took away is not followed by an onDisconnected, ever."""
        world = self.world()
        world.recorder.react["onEvent"] = lambda event: world.connection.close() and None
        world.connect()
        world.settle()
        world.close()
        world.settle()
        self.assertEqual(world.recorder.names(), [])

    def test_noWait(self) -> None:
        """A retry policy may say 0: at once, not never."""
        world = self.world().up()
        world.policy.seconds = 0.0
        world.transport.lose()
        world.settle()
        self.assertEqual(world.recorder.names()[-1], "onConnected")
        self.assertEqual(len(world.transports), 2)

    def test_knownDialect(self) -> None:
        """A server that spoke the first dialect has the whole time for it the next time."""
        world = self.world().up()
        world.platform.hang("stream")
        world.transport.lose()
        world.advance(30)
        self.assertEqual(len(world.transports), 2)

    def test_fullWhileLeaving(self) -> None:
        """A link that closes is read to its end, however much comes meanwhile."""
        world = self.world(limits=Limits(unanswered=1)).up()
        world.recorder.react["onNotification"] = lambda info: Deferred()
        world.transport.polite = False
        leave = (
            "<iq type='set' id='d'><query xmlns='jabber:iq:private'>"
            "<data xmlns='urn:xmpp:comcast:info' type='disconnect'/></query></iq>"
        )
        world.transport.say((leave + notification(1) + notification(2)).encode())
        world.settle()
        self.assertFalse(world.transport.paused)

    def test_statistics(self) -> None:
        """Everything is counted once, for the connection and for those who share the totals."""
        totals = Totals()
        world = self.world(totals=totals, streamManagement=False)
        self.assertEqual(world.connection.stats, Stats())
        world.up()
        world.transport.lose()
        world.advance(2)
        world.notify(2)
        world.transport.say(notification().replace("notify.example", "m@x").encode())
        world.recorder.react["onNotification"] = lambda info: 1 / 0
        world.notify()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        world.recorder.react.clear()
        world.transport.say(notification().encode())
        world.settle()
        expected = Stats(connects=2, reconnects=1, notifications=4, forbidden=1, callbackErrors=1)
        self.assertEqual(world.connection.stats, expected)
        self.assertEqual(totals.stats, expected)
        self.assertEqual(+totals.states, {ConnectionState.CONNECTED: 1})
        self.assertIsNone(world.connection.pingRoundTrip)
        world.advance(7)
        self.assertEqual(world.connection.pingRoundTrip, 0.0)
        self.assertEqual(world.connection.stats.pingRoundTrip, 0.0)
        world.close()
        world.settle()
        self.assertEqual(+totals.states, {ConnectionState.DISCONNECTED: 1})

    def test_violationsBeforeASession(self) -> None:
        """Those before a session count no more: two after it are not the third."""
        world = self.world().up()
        world.transport.say(b"<!DOCTYPE a>")
        world.advance(2)
        world.provider.outcomes = [ProtocolViolation("nonsense")]
        world.transport.say(b"<!DOCTYPE a>")
        world.advance(5)
        self.assertTrue(world.connection.isConnectionAlive())

    def test_providerFailsAgain(self) -> None:
        """
        A provider's failure is told again once it had a good token in between; that its own
        token was refused is not told besides: it is asked first (promise 6).
        """
        answers: list[Any] = [None, "good", None, "better"]
        world = self.world(tokenProvider=lambda: answers.pop(0)).up()
        for count in (1, 2):
            world.discovery.outcomes = [REFUSED]
            world.transport.lose()
            world.advance(5)
            self.assertEqual(
                [code for code, _ in world.recorder.of("onConnectionError")], [-116] * count
            )
            self.assertTrue(world.connection.isConnectionAlive())

    def test_askedBeforeItsTime(self) -> None:
        """updateToken() takes the place of the question that waits for its turn."""
        asked: list[int] = []

        def provide() -> str | None:
            asked.append(len(asked))
            return "good" if asked[1:] else None

        world = self.world(tokenProvider=provide).up()
        world.policy.seconds = 30.0
        for _ in range(2):
            world.connection.updateToken()
            world.settle()
        world.advance(100)
        self.assertEqual(asked, [0, 1])
        world.transport.lose()
        world.advance(31)
        self.assertEqual(world.discovery.tokens, [TOKEN, "good"])

    def test_noPingBesideNotifications(self) -> None:
        """Where notifications keep coming, and nothing else, no ping goes out."""
        world = self.world().up()
        world.advance(4)
        world.notify()
        before = sum(b"urn:xmpp:ping" in message for message in world.transport.sent)
        for _ in range(20):
            world.notify()
            world.advance(1)
        after = sum(b"urn:xmpp:ping" in message for message in world.transport.sent)
        self.assertEqual(after, before)

    def test_endlessNotification(self) -> None:
        """A notification beyond the limit of a frame ends the session like anything else."""
        world = self.world(limits=Limits(frame=2000)).up()
        world.policy.seconds = 50.0
        world.transport.say(notification().replace("room-1", "r" * 2000).encode())
        world.settle()
        self.assertEqual(world.recorder.names()[1:], ["onDisconnected", "onReconnecting"])

    def test_refusedAgain(self) -> None:
        """A token that was refused, then accepted, then refused again, is told of again."""
        world = self.world().up()
        for count in (1, 2):
            world.discovery.outcomes = [REFUSED]
            world.transport.lose()
            world.advance(2)
            self.assertEqual(
                [code for code, _ in world.recorder.of("onConnectionError")], [-116] * count
            )
            world.connection.updateToken(TOKEN)
            world.settle()
            self.assertTrue(world.connection.isConnectionAlive())

    def test_inOrder(self) -> None:
        """The Deferreds of connect() fire in the order of the calls."""
        world = self.world()
        fired: list[int] = []
        for number in range(3):
            world.connection.connect(TOKEN, RID, URL).addCallback(
                lambda _, number=number: fired.append(number)
            )
        world.settle()
        self.assertEqual(fired, [0, 1, 2])

    def test_calledInside(self) -> None:
        """What a callback asks for comes about though nothing else happens."""
        world = self.world().up()
        outcomes: list[list[Any]] = []
        world.recorder.react["onNotification"] = lambda info: outcomes.append(world.connect())
        world.notify()
        self.assertEqual(outcomes, [[world.connection]])

    def test_cancelledAfterAFailure(self) -> None:
        """An earlier connect() that failed keeps no later one alive that nobody waits for."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("down"), world.discovery.hanging()]
        world.connect()
        world.settle()
        connecting = world.connection.connect(TOKEN, RID, URL)
        world.settle()
        connecting.cancel()
        self.failureResultOf(connecting)
        world.settle()
        self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
        self.assertEqual(world.discovery.cancelled, 1)

    def test_whyItLeft(self) -> None:
        """The event of a loss says that the server asked for it, not that a socket closed."""
        world = self.world().up()
        world.transport.say(
            b"<iq type='set' id='d'><query xmlns='jabber:iq:private'>"
            b"<data xmlns='urn:xmpp:comcast:info' type='disconnect'/></query></iq>"
        )
        world.settle()
        (told,) = (
            event["details"]["message"]
            for (event,) in world.recorder.of("onEvent")
            if event["state"] == "SDK_WebSocketServerDisconnected"
        )
        self.assertEqual(told, "the server asked its clients to leave and come back")

    def test_tokenExpiry(self) -> None:
        """The expiry of the token in use, of each in turn; None for one without."""
        world = self.world()
        self.assertIsNone(world.connection.tokenExpiry)
        world.connect(token=doubles.jwt({"exp": 1_800_000_000}))
        world.settle()
        self.assertEqual(world.connection.tokenExpiry, 1_800_000_000.0)
        world.connection.updateToken("another")
        self.assertIsNone(world.connection.tokenExpiry)

    def test_givesUpAgain(self) -> None:
        """A connection that gave up once, and was connected again, gives up again in time."""
        world = self.world(giveUpAfter=10.0)
        for count in (1, 2):
            world.up()
            world.discovery.outcomes = [world.discovery.hanging()]
            world.transport.lose()
            world.advance(11)
            self.assertIs(world.connection.state, ConnectionState.DISCONNECTED)
            self.assertEqual(
                [code for code, _ in world.recorder.of("onConnectionError")], [-106] * count
            )

    def test_answeredAfterClose(self) -> None:
        """What a callback of before close() answers makes no room in the next session."""
        world = self.world(limits=Limits(unanswered=1)).up()
        pending: list[Deferred[None]] = []
        world.recorder.react["onNotification"] = lambda i: pending.append(Deferred()) or pending[-1]
        world.notify()
        world.close()
        world.settle()
        world.up()
        pending[0].callback(None)
        world.notify(3)
        self.assertEqual(len(pending), 2)

    def test_closedInTheTurnOfALoss(self) -> None:
        """A loss that was not told yet when close() is called is told once, not twice."""
        world = self.world().up()
        world.transport.lose()
        world.close()
        world.settle()
        self.assertEqual(world.recorder.names(), ["onConnected", "onDisconnected"])


class SurvivingMutantsOfServices(ServiceCase):
    """The same for a service."""

    def test_tokenWhileUp(self) -> None:
        """updateToken() of a service that is up reaches the next attempt."""
        world = self.world()
        service = self.service(world)
        service.startService()
        world.settle()
        service.updateToken("fresh")
        world.transport.lose()
        world.advance(2)
        self.assertEqual(world.discovery.tokens, [TOKEN, "fresh"])

    def test_firstTokenRefused(self) -> None:
        """Without a provider, a service whose first token is refused waits for updateToken()."""
        world = self.world()
        world.discovery.outcomes = [REFUSED]
        service = self.service(world)
        service.startService()
        world.advance(100)
        self.assertEqual(world.discovery.tokens, [TOKEN])
        self.assertFalse(service.ended.called)
        service.updateToken("fresh")
        world.settle()
        self.assertEqual(world.discovery.tokens, [TOKEN, "fresh"])
        self.assertEqual(world.recorder.names(), ["onConnectionError", "onConnected"])

    def test_stoppedTwice(self) -> None:
        """A second stopService() while it waits for its next attempt does no harm."""
        world = self.world()
        world.discovery.outcomes = [ConnectionFailed("down")]
        service = self.service(world)
        service.startService()
        world.settle()
        for _ in range(2):
            stopped = service.stopService()
            world.settle()
            self.assertIsNone(self.successResultOf(stopped))


class SurvivingMutantsOfTime(SynchronousTestCase):
    """The same for steady time."""

    def test_early(self) -> None:
        """A timer that fires early, by however little the wall clock was set, waits for the rest."""
        clock, fired = DriftingClock(), []
        steadyTime(clock).callLater(10, fired.append, True)
        clock.rightNow += 0.5
        clock.advance(9.6)
        self.assertEqual(fired, [])
        clock.advance(0.4)
        self.assertEqual(fired, [True])

    def test_watched(self) -> None:
        """While a real reactor has timers of ours, and no longer, one thread watches its clock."""

        def watching() -> set[threading.Thread]:
            return {t for t in threading.enumerate() if t.name == "iris-wall-clock"}

        before = watching()
        time = steady_time.SteadyTime(reactor)
        calls = [time.callLater(60, lambda: None) for _ in range(2)]
        (thread,) = watching() - before
        watch = time._watch
        assert watch is not None
        calls[0].cancel()
        self.assertIsNotNone(watch._ended)
        calls[1].cancel()
        thread.join(10)
        self.assertEqual(watching() - before, set())

    def test_apart(self) -> None:
        """A wall clock that goes as it should stays as far from the steady one as it was."""
        clock = Clock()
        watch = steady_time._WallWatch(clock, lambda: None)
        clock.rightNow = time.monotonic() + 1000
        self.assertApproximates(watch._apart(), 1000, 100)
