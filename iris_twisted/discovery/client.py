"""
Asking the event manager, by treq.
"""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from ..addresses import EventManagerAddress
from ..errors import ConnectionFailed, IrisError
from ..interfaces import IEventManager
from ..network_failures import explain
from ..values import Limits, ServerInfo
from .answer import readAnswer
from .bounded import BoundedEndpoints

__all__ = ["EventManagerClient"]

# For headers, besides the body.
_HEADERS = 64 * 1024


class _BoundedBody(Protocol):
    """Collects a body, up to a limit; C{done} fires when the connection is free of it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.overfull = False
        self.done: Deferred[bytes] = Deferred(lambda _: self._stop())

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        if self.done.called:
            self._stop()

    def dataReceived(self, data: bytes) -> None:
        if self.overfull:
            return
        self._size += len(data)
        if self._size > self._limit:
            self.overfull = True
            self._pieces.clear()
            self._stop()
        else:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # Without a length the end of the connection is the end of the body.
        if self.overfull or reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(reason)


@implementer(IEventManager)
class EventManagerClient:
    """
    An event manager reached by HTTP(S) (protocol.md section 1).

    @param address: where it is.
    @param reactor: C{IReactorTCP} and C{IReactorTime}.
    @param trust: whose certificates count.
    @param anonymous: ask as an anonymous user.
    @param connectTimeout: seconds that opening the connection may take.
    @param pool: whose connections to use; C{None} to keep none, for a request every few
        hours.
    """

    def __init__(
        self,
        address: EventManagerAddress,
        reactor: Any,
        trust: IPolicyForHTTPS,
        *,
        anonymous: bool = False,
        limits: Limits = Limits(),
        connectTimeout: float = 30.0,
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        self._address = address
        self._reactor = reactor
        self._anonymous = anonymous
        self._limits = limits
        pool = pool or HTTPConnectionPool(reactor, persistent=False)
        size = limits.discoveryBody + _HEADERS
        endpoints = BoundedEndpoints(reactor, trust, size, connectTimeout)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, pool)

    def discover(self, irisToken: str, routingId: str, traceId: str) -> Deferred[ServerInfo]:
        return Deferred.fromCoroutine(self._discover(irisToken, routingId, traceId))

    async def _discover(self, irisToken: str, routingId: str, traceId: str) -> ServerInfo:
        origin = self._address.origin
        try:
            # One for each request: what keeps the cookies of one account must not serve another.
            response = await HTTPClient(self._agent).get(
                self._address.discoveryUrl(routingId, self._anonymous),
                headers=Headers(
                    {
                        "Authorization": [f"Bearer {irisToken}"],
                        "Trace-Id": [traceId],
                        "Accept": ["application/json"],
                    }
                ),
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
            body = _BoundedBody(self._limits.discoveryBody)
            response.deliverBody(body)
            content = await body.done
        except (IrisError, CancelledError):
            raise
        except Exception:
            raise explain(f"the event manager {origin}", Failure()) from None
        if body.overfull:
            raise ConnectionFailed(
                f"the event manager {origin} answered with more than "
                f"{self._limits.discoveryBody} bytes: check that it is one"
            )
        return readAnswer(origin, response.code, content, irisToken, self._reactor.seconds())
