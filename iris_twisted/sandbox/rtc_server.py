"""
The sandbox's websocket server: Autobahn's protocol around L{RtcSession}.
"""

from __future__ import annotations

import secrets
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..transport.silent_logger import SilentLogger
from ..xmpp.elements import Element
from .platform import Platform
from .rtc_session import RtcSession

__all__ = ["RtcResource"]


class _Client(WebSocketServerProtocol):  # type: ignore[misc]
    """One client's websocket; once bound, a user session of the platform."""

    log = SilentLogger()

    def __init__(self, platform: Platform, admitted: str | None, token: str) -> None:
        super().__init__()
        self.id = secrets.token_hex(4)
        self.jid = ""
        self.routingId = admitted or ""
        self.dialect = ""
        self._lost = False
        self._platform = platform
        self._session = RtcSession(platform, self, admitted, token)

    def onConnect(self, request: Any) -> str:
        if "xmpp" not in request.protocols:
            raise ConnectionDeny(400, "the sub-protocol xmpp is wanted")
        return "xmpp"

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._session.receive(payload)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self._platform.left(self, self._session.lost())
        super().connectionLost(reason)

    def deliver(self, stanza: Element) -> None:
        self._session.send(stanza)
        self._flush()

    def abort(self) -> None:
        # A session that is resumed is told to go after its socket did.
        if not self._lost:
            self.transport.abortConnection()

    def goAway(self) -> None:
        self._session.close()
        self._flush()

    def _flush(self) -> None:
        messages, self._session.outgoing = self._session.outgoing, []
        if self.state != self.STATE_OPEN:
            # What a closing websocket cannot take, a resumption may still bring.
            return
        for message in messages:
            self.sendMessage(message, isBinary=False)
        if self._session.ended:
            # sendClose() does not let a server say that it is going away (RFC 6455 7.4.1).
            self.sendCloseFrame(code=1001 if self.jid else 1000, isReply=False)


class _OneClient:
    """The factory that Autobahn's resource wants, for one request."""

    def __init__(self, factory: WebSocketServerFactory, client: _Client) -> None:
        self._factory = factory
        self._client = client

    def buildProtocol(self, _address: object) -> _Client:
        self._client.factory = self._factory
        return self._client


class RtcResource(Resource):
    """C{/xmpp-websocket}, with the path of protocol.md section 2 or nothing behind it."""

    isLeaf = True

    def __init__(self, reactor: Any, platform: Platform) -> None:
        super().__init__()
        self._platform = platform
        self._factory = WebSocketServerFactory(reactor=reactor, protocols=["xmpp"])
        # Autobahn's timers would outlive the sandbox, which keeps none.
        self._factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, maxMessagePayloadSize=256 * 1024
        )

    def render_GET(self, request: Request) -> Any:
        if "upgrade" in self._platform.hanging:
            return NOT_DONE_YET
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        names = path[0:5:2]
        if not path or path == [""]:
            client = _Client(self._platform, None, "")
        elif names == ["routingid", "timestamp", "token"] and len(path) == 6:
            if not self._platform.admits(path[1], path[5]):
                request.setResponseCode(403)
                return b""
            client = _Client(self._platform, path[1], path[5])
        else:
            request.setResponseCode(404)
            return b""
        return WebSocketResource(_OneClient(self._factory, client)).render(request)
