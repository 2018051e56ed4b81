"""
One websocket (RFC 6455): Autobahn's protocol, and what its endings mean.
"""

from __future__ import annotations

import re
from typing import Any

from autobahn.twisted.websocket import WebSocketClientProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionFailed, IrisError, PeerClosed, ProtocolViolation, ServerLeaving
from ..net.failures import explain
from ..net.limits import Limits
from ..version import __version__
from .back_pressure import WriteBackPressure
from .destination import Destination
from .fast_frames import masked, texts
from .interfaces import IMessageReceiver, IMessageTransport
from .silent_logger import SilentLogger

__all__ = ["WebSocketConnection"]

_HANDSHAKE_LIMIT = 16 * 1024
_NO_DETAILS = TransportDetails()
_STATUS = re.compile(r"\[(\d{3})\]")


@implementer(IMessageTransport)
class WebSocketConnection(WebSocketClientProtocol):  # type: ignore[misc]
    """
    One websocket.

    @ivar opened: fires with the connection when it is open, or fails once it is gone.
    @ivar lost: fires when the socket is gone, whatever went before.
    """

    log = SilentLogger()

    transport: Any

    def __init__(
        self, destination: Destination, receiver: IMessageReceiver, limits: Limits
    ) -> None:
        super().__init__()
        self.bytesReceived = 0
        self.opened: Deferred[IMessageTransport] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._destination = destination
        self._receiver = receiver
        self._limits = limits
        self._error: IrisError | None = None
        self._isOpen = False
        self._brakes: set[str] = set()
        # The beginning of a frame, what it lacks at least, and the frames to be written when
        # a read is over.
        self._begun = bytearray()
        self._missing = 0
        self._answers: list[bytes] | None = None

    # What Autobahn does, without what it only collects, formats and keeps: the details of
    # the transport and of its certificate, a third of the CPU of a TLS connect.

    def connectionMade(self) -> None:
        self._transport_details = _NO_DETAILS
        self.peer = self._name
        self.transport.setTcpNoDelay(self.tcpNoDelay)
        self._connectionMade()

    def startHandshake(self) -> None:
        self._actuallyStartHandshake(self._request())

    def _request(self) -> ConnectingRequest:
        host = self._destination.host
        return ConnectingRequest(
            host=f"[{host}]" if ":" in host else host,
            port=self._destination.port,
            resource=self._destination.path,
            useragent=f"iris-twisted/{__version__}",
            protocols=["xmpp"],
        )

    # What Autobahn calls

    def onConnect(self, response: Any) -> None:
        if response.protocol != "xmpp":
            self._fail(
                ConnectionFailed(f"{self._name} does not speak the websocket protocol 'xmpp'")
            )

    def onOpen(self) -> None:
        if self._error is None and not self.opened.called:
            self._isOpen = True
            self._forgetHandshake()
            # Not before: during its handshake, TLS pauses who writes and has to read.
            self.registerProducer(WriteBackPressure(self), True)
            self.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            self._fail(ProtocolViolation("the server sent a binary frame"))
        elif self._error is None:
            self._receiver.messageReceived(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        # The server should close the socket first (RFC 6455 7.1.1); not every one does.
        self.transport.loseConnection()
        return stop

    def failHandshake(self, reason: str) -> None:
        status = _STATUS.search(reason)
        if status is not None:
            self._fail(
                ConnectionFailed(
                    f"{self._name} answered HTTP {status[1]} instead of opening a websocket"
                )
            )
        else:
            # What stands in quotes is the server's and could be anything.
            words = reason.partition('"')[0].strip()
            self._fail(
                ConnectionFailed(f"{self._name} answered the websocket handshake wrongly: {words}")
            )

    # What Twisted calls

    def dataReceived(self, data: bytes) -> None:
        self.bytesReceived += len(data)
        if self.state != self.STATE_CONNECTING:
            self._framesReceived(data)
            return
        if len(self.data) + len(data) > _HANDSHAKE_LIMIT and b"\r\n\r\n" not in self.data + data:
            self._fail(ConnectionFailed(f"{self._name} answered the websocket handshake endlessly"))
            return
        try:
            self._dataReceived(data)
        except (UnicodeError, ValueError, LookupError, AttributeError):
            # Autobahn takes a handshake apart without much care.
            self._fail(ConnectionFailed(f"{self._name} answered the websocket handshake wrongly"))

    def _forgetHandshake(self) -> None:
        """Of no use any more, and a quarter of what an idle connection costs."""
        self.http_request_data = b""
        self.http_status_line = ""
        self.http_headers: dict[str, str] = {}
        self._transport_details = None
        # Only chopped or synchronous writes queue anything, and there are none.
        self.send_queue = ()

    def _framesReceived(self, data: bytes) -> None:
        """Take the usual frames, with one write for all answers; leave the others to Autobahn."""
        if self._begun:
            self._begun += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._begun)
            self._begun.clear()
        elif self.data or self.current_frame is not None or self.inside_message:
            self._dataReceived(data)
            return
        messages, position, self._missing = texts(data, self._limits.frame)
        answers: list[bytes] = []
        self._answers = answers
        try:
            for message in messages:
                if self._error is None:
                    self._receiver.messageReceived(message)
        finally:
            self._answers = None
            if answers:
                self.transport.write(b"".join(answers))
        if self._missing:
            self._begun += data[position:]
        elif position < len(data):
            self._dataReceived(data[position:])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        error = self._error or self._lossOf(reason)
        if self._isOpen:
            self._receiver.transportLost(error)
        else:
            self.opened.errback(error)
        self.lost.callback(None)

    # IMessageTransport

    def send(self, message: bytes) -> None:
        if self.state != self.STATE_OPEN:
            return
        frame = None if self._perMessageCompress is not None else masked(message)
        if frame is None:
            self._writeAnswers()
            self.sendMessage(message, isBinary=False)
        elif self._answers is not None:
            self._answers.append(frame)
        else:
            self.transport.write(frame)

    def close(self) -> None:
        if self.state == self.STATE_OPEN:
            self._writeAnswers()
            self.sendClose(1000)

    def _writeAnswers(self) -> None:
        """What was said before goes before what Autobahn writes."""
        if self._answers:
            self.transport.write(b"".join(self._answers))
            self._answers.clear()

    def abort(self) -> None:
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.pauseReading("receiver")

    def resumeProducing(self) -> None:
        self.resumeReading("receiver")

    def pauseReading(self, reason: str) -> None:
        """Stop reading, for one reason."""
        if not self._brakes:
            self.transport.pauseProducing()
        self._brakes.add(reason)

    def resumeReading(self, reason: str) -> None:
        """Read again, when no other reason is left."""
        if reason in self._brakes:
            self._brakes.remove(reason)
            if not self._brakes:
                self.transport.resumeProducing()

    @property
    def _name(self) -> str:
        return f"the websocket server {self._destination.name}"

    def _fail(self, error: IrisError) -> None:
        if self._error is None:
            self._error = error
        self.dropConnection(abort=True)

    def _lossOf(self, reason: Failure) -> IrisError:
        if self.wasMaxFramePayloadSizeExceeded or self.wasMaxMessagePayloadSizeExceeded:
            return ProtocolViolation(
                f"the server sent more than {self._limits.frame} bytes at once"
            )
        if self.failedByMe:
            return ProtocolViolation("the server sent an invalid websocket frame")
        if self.remoteCloseCode == 1001:
            return ServerLeaving(f"{self._name} is going away")
        if self.remoteCloseCode is not None:
            return PeerClosed(f"{self._name} closed the websocket (code {self.remoteCloseCode})")
        return explain(self._name, reason)
