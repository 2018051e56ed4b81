"""
The small pure rooms: token expiry, keepalive, settings, errors, values, reports.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface.verify import verifyClass, verifyObject

from iris_twisted import errors
from iris_twisted.addresses import EventManagerAddress, RoutingId
from iris_twisted.connection import IrisListener, IrisRtcConnection
from iris_twisted.discovery import EventManagerClient
from iris_twisted.errors import Fault, IncorrectParameters, IrisError
from iris_twisted.http.bounded import BoundedEndpoints
from iris_twisted.interfaces import (
    IEventManager,
    IIrisListener,
    IMessageReceiver,
    IMessageTransport,
    INotificationSyntax,
    IRetryPolicy,
    ITlsTrust,
    ITransportProvider,
    IXmppSession,
)
from iris_twisted.link import Link
from iris_twisted.proxies import Proxies
from iris_twisted.reports import JsonReport, printable
from iris_twisted.retry import FullJitter
from iris_twisted.rtc.private_iqs import PrivateIqs
from iris_twisted.rtc.senders import Senders
from iris_twisted.settings import Settings
from iris_twisted.text_report import TextReport
from iris_twisted.tls import TlsTrust
from iris_twisted.tokens import TokenWatch, expiryOf
from iris_twisted.transport import TransportRegistry
from iris_twisted.transport.websocket import WebSocketTransport
from iris_twisted.transport.websocket_connection import WebSocketConnection
from iris_twisted.values import Destination, Limits
from iris_twisted.xmpp.events import SessionSettings
from iris_twisted.xmpp.keepalive import Keepalive, Pulse
from iris_twisted.xmpp.session import XmppSession

from .doubles import Discovery, FixedDelay, MemoryTransport, MemoryTransports, Recorder, World

RID = RoutingId.parse("alice@example.test")


def jwt(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.x"


class Interfaces(SynchronousTestCase):
    """Every implementer of an interface provides it."""

    def test_implementers(self) -> None:
        """verifyObject holds for each, the doubles of the tests included."""
        world = World()
        trust = TlsTrust()
        address = EventManagerAddress.parse("localhost")
        destination = Destination(WebSocketTransport.schemes[1], "localhost", 80)
        session = XmppSession(SessionSettings("stream", RID, "t", secure=True))
        link = Link(world.clock, session, world.connection._driver, Settings())
        for interface, implementer in (
            (IEventManager, EventManagerClient(address, world.clock, trust)),
            (IEventManager, Discovery(world.platform)),
            (IAgentEndpointFactory, BoundedEndpoints(world.clock, "x", trust, 1, 1.0, Proxies())),
            (ITlsTrust, trust),
            (IOpenSSLClientConnectionCreator, trust.forHost("localhost")),
            (ITransportProvider, WebSocketTransport()),
            (ITransportProvider, MemoryTransports(world)),
            (IMessageTransport, WebSocketConnection(destination, link, Limits())),
            (IMessageTransport, MemoryTransport(world, destination, link)),
            (IMessageReceiver, link),
            (IXmppSession, session),
            (INotificationSyntax, PrivateIqs(RID, Senders(RID, "x"))),
            (IRetryPolicy, FullJitter()),
            (IRetryPolicy, FixedDelay()),
            (IIrisListener, IrisListener()),
            (IIrisListener, Recorder()),
            (IIrisListener, world.connection),
            (IIrisListener, TextReport(str, float)),
            (IIrisListener, JsonReport(str, float)),
        ):
            self.assertTrue(verifyObject(interface, implementer))
        self.assertTrue(verifyClass(IIrisListener, IrisRtcConnection))

    def test_listenersIgnore(self) -> None:
        """The listener to inherit from does nothing."""
        listener = IrisListener()
        for name, arguments in (
            ("onConnected", ()),
            ("onConnectionError", (1, "")),
            ("onDisconnected", ()),
            ("onReconnecting", ()),
            ("onNotification", ({},)),
            ("onEvent", ({},)),
            ("onTokenAboutToExpire", (1.0,)),
        ):
            self.assertIsNone(getattr(listener, name)(*arguments))


class Expiry(SynchronousTestCase):
    """security.md, "JWT"."""

    def test_claims(self) -> None:
        """The exp claim, and nothing that only looks like one."""
        for claims, expected in (
            ({"exp": 1700000000}, 1700000000.0),
            ({"exp": 1.5}, 1.5),
            ({"exp": -5}, -5.0),
            ({}, None),
            ({"exp": "1700000000"}, None),
            ({"exp": True}, None),
            ({"exp": None}, None),
            ({"exp": 10**400}, None),
            ({"exp": []}, None),
            ([], None),
            ("exp", None),
        ):
            self.assertEqual(expiryOf(jwt(claims)), expected)
        self.assertIsNone(expiryOf(jwt({"exp": 0}).replace("e30.", "")))
        self.assertIsNone(expiryOf("a.!.c"))
        self.assertIsNone(expiryOf(f"a.{base64.b64encode(b'{exp: NaN}').decode()}.c"))

    @given(st.text() | st.text().map(lambda t: f"a.{t}.b"))
    def test_anything(self, token: str) -> None:
        """Nothing raises."""
        expiryOf(token)

    def test_watch(self) -> None:
        """It looks at least every hour, tells once, and can be disarmed."""
        clock, told = Clock(), list[float]()
        watch = TokenWatch(clock, 300.0, told.append)
        watch.arm(jwt({"exp": 10_000}))
        self.assertEqual(clock.getDelayedCalls()[0].getTime(), 3600.0)
        clock.pump([100] * 97)
        self.assertEqual(told, [300.0])
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm(jwt({"exp": 20_000}))
        watch.disarm()
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm("no jwt")
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm(jwt({"exp": 1e308}))
        watch.disarm()


class Pulses(SynchronousTestCase):
    """The keepalive's judgement."""

    def test_silence(self) -> None:
        """Quiet ticks ping, and at the timeout the peer is overdue."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.tick(3.0, 10, news=True), Pulse.LIVELY)
        self.assertIs(keepalive.tick(6.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(9.0, 10, news=False), Pulse.PING)
        self.assertFalse(keepalive.overdue)
        self.assertIs(keepalive.tick(12.0, 10, news=False), Pulse.OVERDUE)
        self.assertTrue(keepalive.overdue)

    def test_answerAlone(self) -> None:
        """After nothing but our ping's answer, the next ping follows."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        self.assertIs(keepalive.tick(3.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(6.0, 20, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(9.0, 30, news=True), Pulse.LIVELY)

    def test_wholeTimeout(self) -> None:
        """Silence counts from the last sign of life, not from before it."""
        keepalive = Keepalive(1.0, 9.0, 0.0)
        for now in range(1, 4):
            keepalive.tick(float(now), now, news=True)
        for now in range(4, 12):
            self.assertIs(keepalive.tick(float(now), 3, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(12.0, 3, news=False), Pulse.OVERDUE)

    def test_stallsAndPauses(self) -> None:
        """A late tick counts as one; a pause of ours as none."""
        keepalive = Keepalive(3.0, 9.0, 0.0)
        keepalive.tick(3.0, 10, news=True)
        self.assertIs(keepalive.tick(1000.0, 10, news=False), Pulse.PING)
        self.assertIs(keepalive.tick(2000.0, 10, news=False, reading=False), Pulse.LIVELY)
        self.assertIs(keepalive.tick(2003.0, 10, news=False), Pulse.PING)


class Arguments(SynchronousTestCase):
    """Keyword arguments raise at once, naming themselves."""

    def test_defaults(self) -> None:
        """The numbers of contract.md."""
        self.assertEqual(
            Limits(),
            Limits(discoveryBody=65_536, frame=262_144, depth=32, children=256, unanswered=1000),
        )
        settings = Settings()
        for name, value in {
            "dialect": "auto",
            "anonymous": False,
            "insecure": False,
            "allowedHosts": None,
            "connectTimeout": 30.0,
            "giveUpAfter": None,
            "stableAfter": 10.0,
            "pingInterval": 3.0,
            "pingTimeout": 15.0,
            "iqTimeout": 10.0,
            "tokenWarning": 300.0,
            "streamManagement": True,
            "telemetry": False,
            "proxy": None,
        }.items():
            self.assertEqual(getattr(settings, name), value, name)
        longest = FullJitter(uniform=lambda low, high: high)
        self.assertEqual([longest.delay(n) for n in (1, 2, 5, 6)], [1.0, 2.0, 16.0, 30.0])

    def test_jitterOfNothing(self) -> None:
        """A backoff of zero would hammer: neither base, factor nor cap may be."""
        for name in ("base", "factor", "cap"):
            with self.assertRaises(IncorrectParameters) as caught:
                FullJitter(**{name: 0.0})
            self.assertIn(name, caught.exception.message)

    def test_notTwice(self) -> None:
        """Settings and keywords exclude each other, but for the token provider."""
        settings, clock = Settings(), Clock()
        with self.assertRaises(IncorrectParameters):
            IrisRtcConnection(clock, settings=settings, dialect="stream")
        IrisRtcConnection(clock, settings=settings, tokenProvider=str)

    def test_refused(self) -> None:
        """A wrong type or value of each."""
        for name, values in {
            "discovery": [object()],
            "transport": ["wss"],
            "retryPolicy": [5],
            "tokenProvider": ["token"],
            "dialect": ["klingon", None],
            "anonymous": [1, None],
            "insecure": ["yes"],
            "telemetry": [0],
            "allowedHosts": ["example.test", [5], [""], 7],
            "trustedSenders": ["x", [None], ["a@b@c"]],
            "connectTimeout": [0, -1, "30", True, float("inf"), float("nan"), None],
            "giveUpAfter": [0, "x"],
            "stableAfter": [-1],
            "pingInterval": [0],
            "pingTimeout": [0],
            "iqTimeout": [0],
            "closeTimeout": [0],
            "tokenWarning": [0],
            "limits": [None, {"frame": 5}],
            "trustRoot": ["/nowhere/ca.pem", __file__, "a\0b", 5],
            "listener": [object()],
        }.items():
            for value in values:
                with self.assertRaises(IncorrectParameters, msg=name) as caught:
                    IrisRtcConnection(Clock(), **{name: value})
                self.assertIn(name, caught.exception.message)
                self.assertEqual(caught.exception.code, -101)

    def test_unknown(self) -> None:
        """An unknown keyword is a TypeError."""
        self.assertRaises(TypeError, IrisRtcConnection, Clock(), dialekt="auto")

    def test_zero(self) -> None:
        """Zero is valid for stableAfter alone."""
        IrisRtcConnection(Clock(), stableAfter=0)

    def test_limits(self) -> None:
        """Limits are whole numbers of at least one."""
        for value in (0, -1, 1.5, True, "5"):
            for name in ("discoveryBody", "frame", "depth", "children", "unanswered"):
                with self.assertRaises(IncorrectParameters) as caught:
                    Limits(**{name: value})
                self.assertIn(name, caught.exception.message)

    def test_insecureIsLoud(self) -> None:
        """insecure=True is logged as critical."""
        from twisted.logger import LogLevel, globalLogPublisher

        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        IrisRtcConnection(Clock(), insecure=True)
        self.assertTrue([e for e in seen if e["log_level"] is LogLevel.critical])

    def test_globalReactor(self) -> None:
        """Without a reactor it is the global one."""
        self.assertEqual(IrisRtcConnection().stats.connects, 0)


class Errors(SynchronousTestCase):
    """The typed errors."""

    def test_all(self) -> None:
        """Each has a code of protocol.md, a name, a fault, and says whether to retry."""
        names = {
            -101: "ERR_INCORRECT_PARAMETERS",
            -102: "ERR_NOT_SUPPORTED",
            -103: "ERR_INVALID_STATE",
            -104: "ERR_NOT_CONNECTED",
            -105: "ERR_BACKEND_ERROR",
            -106: "ERR_CREATE_CONNECTION_FAILED",
            -109: "ERR_API_PARAMETERS",
            -116: "ERR_SESSION_INVALID_TOKEN",
        }
        kinds = [getattr(errors, n) for n in errors.__all__]
        kinds = [k for k in kinds if isinstance(k, type) and issubclass(k, IrisError)]
        self.assertEqual({k.code for k in kinds}, set(names))
        for kind in kinds:
            self.assertEqual(kind.name, names[kind.code])
            self.assertIsInstance(kind.fault, Fault)
            self.assertIsInstance(kind.retryable, bool)

    def test_message(self) -> None:
        """Message, cause and repr."""
        cause = ValueError("x")
        error = errors.ConnectionFailed("no luck", cause=cause)
        self.assertEqual(
            (error.message, str(error), error.__cause__), ("no luck", "no luck", cause)
        )
        self.assertEqual(repr(error), "<ConnectionFailed -106: no luck>")


class Registry(SynchronousTestCase):
    """Transports as plugins."""

    def test_plugins(self) -> None:
        """The websocket transport comes through the same door as any other."""
        registry = TransportRegistry()
        self.assertEqual({"wss", "ws"} - set(registry.schemes), set())
        provider = registry.serving(registry.schemes["wss"])
        self.assertIsInstance(provider, WebSocketTransport)

    def test_given(self) -> None:
        """Given ones are the only ones."""
        self.assertEqual(TransportRegistry([]).schemes, {})


class Reports(SynchronousTestCase):
    """Callbacks written down."""

    CALL = {
        "type": "notify",
        "roomid": "room-1",
        "routingid": "caller@example.test",
        "userdata": {"data": {"cname": "+1"}, "notification": {"type": "pstn"}},
    }

    def test_json(self) -> None:
        """One object per line and callback, with the time of RFC 3339."""
        lines: list[str] = []
        report = JsonReport(lines.append, lambda: 1700000000.0)
        report.onConnected()
        report.onConnectionError(-106, "no")
        report.onDisconnected()
        report.onReconnecting()
        report.onNotification({"userdata": "\ud800\n"})
        report.onEvent({})
        report.onTokenAboutToExpire(5.0)
        parsed = [json.loads(line) for line in lines]
        self.assertFalse([line for line in lines if "\n" in line or not line.isascii()])
        self.assertEqual(
            parsed[0], {"time": "2023-11-14T22:13:20.000Z", "callback": "onConnected", "args": []}
        )
        self.assertEqual(parsed[1]["args"], [-106, "no"])
        self.assertEqual(len(parsed), 7)

    def test_text(self) -> None:
        """Plain words: who calls from where for which room, and everything else."""
        lines: list[str] = []
        report = TextReport(lines.append, float)
        report.onConnected()
        report.onNotification(self.CALL)
        report.onNotification({**self.CALL, "type": "cancel", "userdata": "x"})
        report.onNotification({"type": "chat", "userdata": {"data": 5}})
        report.onNotification({**self.CALL, "userdata": {"notification": {"srcTN": "+2"}}})
        for state, details in (
            ("SDK_WebSocketServerDisconnected", {"message": "lost"}),
            ("SDK_WebSocketServerReconnecting", {"attempt": 2, "delay": 1.25}),
            ("SDK_CallRejected", {"roomid": "room-1"}),
            ("SDK_Else", {}),
        ):
            report.onEvent({"type": "connection", "state": state, "details": details})
        report.onConnectionError(-106, "no luck")
        report.onTokenAboutToExpire(12.0)
        report.onTokenAboutToExpire(0.0)
        report.waiting(2.0)
        text = "\n".join(lines)
        for words in (
            "as unknown",
            "+1, from caller@example.test, calls for room room-1 (pstn)",
            "caller@example.test no longer calls for room room-1",
            "chat by somebody for room no room",
            "+2, from",
            "lost",
            "attempt 2 in 1.2 seconds",
            "the call for room room-1",
            "-106",
            "expires in 12 seconds",
            "has expired",
            "2.0 seconds before",
        ):
            self.assertIn(words, text)

    def test_terminal(self) -> None:
        """No escape sequence of a stranger reaches the terminal."""
        lines: list[str] = []
        TextReport(lines.append, float).onNotification({**self.CALL, "roomid": "\x1b[2J\u202e é"})
        self.assertIn(r"\x1b[2J\u202e é", lines[0])
        self.assertEqual(printable("plain"), "plain")
