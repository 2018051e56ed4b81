"""
L{iris_twisted.interfaces}: whoever claims one provides it.
"""

from __future__ import annotations

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface.verify import verifyClass, verifyObject

from iris_twisted.connection.connection import IrisListener, IrisRtcConnection
from iris_twisted.connection.link import Link
from iris_twisted.connection.retry import FullJitter
from iris_twisted.connection.settings import Settings
from iris_twisted.daemon.json_report import JsonReport
from iris_twisted.daemon.text_report import TextReport
from iris_twisted.discovery import EventManagerClient
from iris_twisted.discovery.event_manager_address import EventManagerAddress
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
from iris_twisted.net.addresses import RoutingId
from iris_twisted.net.http.bounded import BoundedEndpoints
from iris_twisted.net.limits import Limits
from iris_twisted.net.proxies import Proxies
from iris_twisted.net.tls import TlsTrust
from iris_twisted.rtc.private_iqs import PrivateIqs
from iris_twisted.rtc.senders import TrustedSenders
from iris_twisted.transport.destination import Destination
from iris_twisted.transport.websocket import WebSocketTransport
from iris_twisted.transport.websocket_connection import WebSocketConnection
from iris_twisted.xmpp.events import SessionSettings
from iris_twisted.xmpp.session import XmppSession

from .doubles import Discovery, FixedDelay, MemoryTransport, MemoryTransports, Recorder, World

RID = RoutingId.parse("alice@example.test")


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
            (INotificationSyntax, PrivateIqs(RID, TrustedSenders(RID, "x"))),
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
