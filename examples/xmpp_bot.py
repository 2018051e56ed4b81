"""
An XMPP bot that says back what it is told: floors 2 and 3, and nothing of Iris.

    python xmpp_bot.py wss://xmpp.example.com/xmpp-websocket USER@DOMAIN

The password is taken from the environment variable XMPP_PASSWORD. Ctrl-C ends it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from zope.interface import implementer

from iris_twisted.interfaces import IMessageReceiver, IMessageTransport
from iris_twisted.net.addresses import RoutingId
from iris_twisted.net.limits import Limits
from iris_twisted.net.tls import TlsTrust
from iris_twisted.transport import TransportRegistry
from iris_twisted.transport.destination import Destination
from iris_twisted.xmpp.elements import CLIENT, Element
from iris_twisted.xmpp.events import Ended, Established, IqRequest, SessionSettings, StanzaReceived
from iris_twisted.xmpp.session import XmppSession


@implementer(IMessageReceiver)
class Bot:
    """Feeds a session with what a transport brings, and acts on its events."""

    def __init__(self, reactor: Any, user: RoutingId, password: str) -> None:
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        # Destination.ofUrl() lets plain text through to loopback only, so nobody listens.
        settings = SessionSettings("framed", user, password, secure=True, stanzas=True)
        self._session = XmppSession(settings)

    def begin(self, transport: IMessageTransport) -> None:
        self._transport = transport
        self._session.start()
        self._flush()

    def messageReceived(self, message: bytes) -> None:
        for event in self._session.receive(message):
            match event:
                case Established(jid):
                    print("online as", jid, flush=True)
                    self._session.sendStanza(Element("presence", CLIENT))
                    LoopingCall(self._ping).start(30).addErrback(lambda _: self._transport.abort())
                case StanzaReceived(Element("message") as message_):
                    self._heard(message_)
                case IqRequest(iq):
                    self._session.reply(iq, "service-unavailable")
                case Ended(error):
                    print("ended:", error.message, flush=True)
                    self._transport.abort()
        self._flush()

    def transportLost(self, error: Exception) -> None:
        self._session.lost()
        self.ended.callback(None)

    def _heard(self, message: Element) -> None:
        body, sender = message.child("body", CLIENT), message.get("from")
        # What an error or a group says is not answered: two bots would never stop.
        if body is not None and sender and message.get("type") in (None, "normal", "chat"):
            said = Element("body", CLIENT, text=body.text)
            attributes = {"to": sender, "type": "chat"}
            self._session.sendStanza(Element("message", CLIENT, attributes, [said]))

    def _ping(self) -> None:
        if self._session.isUp:
            self._session.sendPing(self._reactor.seconds())
            self._session.requestAcknowledgement()
            self._flush()

    def _flush(self) -> None:
        for message in self._session.takeOutgoing():
            self._transport.send(message)


async def main(reactor: Any, url: str, jid: str) -> None:
    user, transports = RoutingId.parse(jid), TransportRegistry()
    place = Destination.ofUrl(url, transports.schemes)
    bot = Bot(reactor, user, os.environ.get("XMPP_PASSWORD", ""))
    transport = transports.serving(place.scheme)
    bot.begin(await transport.open(place, bot, reactor, TlsTrust(), Limits()))
    await bot.ended


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
