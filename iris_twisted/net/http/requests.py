"""
Requests, by treq: verified, bounded in every way, never redirected, without cookies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import attrs
from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestGenerationFailed,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from ...errors import ConnectionFailed, IrisError
from ..failures import explain
from ..interfaces import ITlsTrust
from ..proxies import Proxies
from .bounded import BoundedEndpoints

__all__ = ["Answer", "HttpRequests"]

# For headers, besides the body.
_HEADERS = 64 * 1024


@attrs.frozen
class Answer:
    """
    What came back.

    @ivar headers: by lower-case names; of a repeated one the first.
    """

    status: int
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)


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


@implementer(IBodyProducer)
class _Bytes:
    """
    A body that is there already.

    @param mayLeave: whether the request is to be sent still, now that there is a connection for it.
    """

    def __init__(self, body: bytes, mayLeave: Callable[[], bool]) -> None:
        self._body = body
        self._mayLeave = mayLeave
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        if not self._mayLeave():
            # The headers wait behind it, and go with the connection.
            return fail(CancelledError())
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written at once."""

    resumeProducing = stopProducing = pauseProducing


@lru_cache(maxsize=64)
def _onTheWire(url: str) -> bytes:
    """A URL as treq sends it."""
    return EncodedURL.from_text(url).to_uri().to_text().encode("ascii")


class HttpRequests:
    """
    @param what: what answers, as in "the event manager", for errors.
    @param trust: whose certificates count.
    @param limit: bytes of a body, after decompression.
    @param connectTimeout: seconds that opening a connection may take.
    @param pool: whose connections to use; C{None} to keep none, for a request every few
        hours.
    @param proxies: what is on the way.
    """

    def __init__(
        self,
        reactor: Any,
        what: str,
        trust: ITlsTrust,
        *,
        limit: int = 64 * 1024,
        connectTimeout: float = 30.0,
        pool: HTTPConnectionPool | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._reactor = reactor
        self._what = what
        self._limit = limit
        pool = pool or HTTPConnectionPool(reactor, persistent=False)
        endpoints = BoundedEndpoints(
            reactor, what, trust, limit + _HEADERS, connectTimeout, proxies or Proxies()
        )
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, pool)

    def send(
        self,
        method: str,
        origin: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Deferred[Answer]:
        """
        @param origin: what may be shown of the URL.
        @return: fires with the answer, whatever its status; fails with
            L{ConnectionFailed}. Cancelling it leaves nothing behind.
        """
        return Deferred.fromCoroutine(
            self._answer(
                origin,
                # One for each request: what keeps the cookies of one account must not serve
                # another.
                lambda: HTTPClient(self._agent).request(
                    method,
                    url,
                    headers=Headers({name: [value] for name, value in headers.items()}),
                    data=body,
                    allow_redirects=False,
                    unbuffered=True,
                    reactor=self._reactor,
                ),
            )
        )

    def post(
        self,
        origin: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        mayLeave: Callable[[], bool] = lambda: True,
    ) -> Deferred[Answer]:
        """
        The same as L{send} for who posts to one URL again and again, and wants to know no more
        than the status and the headers: half of what a request costs are treq's URLs, cookies and
        compression, which nobody needs there.

        @param mayLeave: asked when there is a connection, right before anything is sent: C{False}
            ends it.
        @return: fires with an answer that has no body: however long, broken or slow that is, what
            the status says has happened.
        """
        return Deferred.fromCoroutine(
            self._answer(
                origin,
                lambda: self._agent.request(
                    b"POST",
                    _onTheWire(url),
                    Headers({name: [value] for name, value in headers.items()}),
                    _Bytes(body, mayLeave),
                ),
                withBody=False,
            )
        )

    async def _answer(
        self, origin: str, begin: Callable[[], Deferred[Any]], *, withBody: bool = True
    ) -> Answer:
        try:
            response = await begin()
            collecting = _BoundedBody(self._limit)
            response.deliverBody(collecting)
            if not withBody:
                # Its end frees the connection for the next request; nothing else is of interest.
                with suppress(Exception):
                    await collecting.done
                return Answer(response.code, b"", _headers(response))
            content = await collecting.done
        except (IrisError, CancelledError):
            raise
        except RequestGenerationFailed:
            # It is C{_Bytes} that did not want it to leave.
            raise ConnectionFailed(f"{self._what} {origin} is not asked any more") from None
        except Exception:
            raise explain(f"{self._what} {origin}", Failure()) from None
        if collecting.overfull:
            raise ConnectionFailed(
                f"{self._what} {origin} answered with more than {self._limit} bytes: check the URL"
            )
        return Answer(response.code, content, _headers(response))


def _headers(response: Any) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): values[0].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }
