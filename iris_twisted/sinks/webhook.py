"""
Calls to a web server, by POST, signed as Standard Webhooks says
(https://www.standardwebhooks.com, version 1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Coroutine
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from ..errors import (
    CertificateRefused,
    CertificateWanted,
    ConnectionFailed,
    IncorrectParameters,
    NotTaken,
    SinkRefused,
)
from ..net.deadline import deadlined
from ..net.endpoints import clientEndpoint
from ..net.greeting import greet
from ..net.http.requests import Answer, HttpRequests
from ..net.loopback import isLoopback
from ..net.secret_files import readSecretFile
from .context import SinkContext
from .interfaces import IAskingSink, ICheckedSink, INotificationSink, INotificationSinkProvider
from .record import CallRecord

__all__ = ["WebhookSink", "WebhookSinks", "readSecret", "signature"]

# What of the 4xx can be cured by waiting (Request Timeout, Too Early, Too Many Requests), or by
# somebody: a login that is missing, of ours or for the proxy, or a permission.
_LATER = (401, 403, 407, 408, 425, 429)
# Seconds, whatever Retry-After says.
_LONGEST_WAIT = 3600.0
# What a header of a CloudEvent holds as it is.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "").replace('"', "")


def readSecret(text: str) -> bytes:
    """
    The key in C{whsec_} and base64, as Standard Webhooks writes it; any other text is
    the key itself.

    @raise IncorrectParameters: when it is too short to be one; it is not repeated.
    """
    prefix, found, rest = text.partition("whsec_")
    try:
        key = base64.b64decode(rest, validate=True) if found and not prefix else text.encode()
    except binascii.Error:
        raise IncorrectParameters("the webhook secret is no base64 after whsec_") from None
    if len(key) < 16:
        raise IncorrectParameters("the webhook secret must have at least 16 bytes")
    return key


def signature(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The header C{webhook-signature}: HMAC-SHA256 of id, timestamp and body."""
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _encoded(value: str) -> str:
    """An attribute of a CloudEvent as a header: percent-encoded where that must be."""
    return quote(value, safe=_VISIBLE)


def _retryAfter(answer: Answer, now: float) -> float | None:
    """
    RFC 9110 section 10.2.3: seconds, or a date.

    @param now: epoch seconds.
    @return: seconds, an hour at most; C{None} when nothing is said, or nothing that can be read.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:
            # The oldest of the three forms (section 5.6.7), asctime's, names no zone: it is UTC.
            until = until.replace(tzinfo=UTC)
        return min(max(0.0, until.timestamp() - now), _LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None


@implementer(IAskingSink, ICheckedSink)
class WebhookSink:
    """
    Posts each call. An answer of 2xx takes it, whatever follows; 5xx, 401, 403, 407, 408, 425, 429
    and silence are tried again, after C{Retry-After} where that is said; anything else refuses it
    for good. Before the first call a connection is opened, and closed again: with C{https} both
    sides must accept each other's certificate.

    @param url: where to, checked already.
    @param origin: what may be shown of it.
    """

    durable = True
    concurrency = 8

    _log = Logger()

    def __init__(self, url: str, origin: str, context: SinkContext) -> None:
        self.name = f"webhook:{origin}"
        self._url = url
        self._origin = origin
        self._context = context
        self._secret = self._readSecret()
        self._pool = HTTPConnectionPool(context.reactor)
        self._pool.maxPersistentPerHost = self.concurrency
        self._underWay: set[Deferred[None]] = set()
        self._trust = context.settings.trust.showing(context.webhookCertificate)
        self._requests = HttpRequests(
            context.reactor,
            "the webhook",
            self._trust,
            connectTimeout=context.webhookTimeout,
            pool=self._pool,
            proxies=context.settings.proxies,
        )

    def _readSecret(self) -> bytes | None:
        path = self._context.webhookSecretFile
        if path is None:
            return self._context.webhookSecret
        return readSecret(readSecretFile("the webhook secret", path))

    def take(self, record: CallRecord) -> Deferred[None]:
        return self.takeIf(record, lambda: True)

    def takeIf(self, record: CallRecord, mayLeave: Callable[[], bool]) -> Deferred[None]:
        return self._watched(self._take(record, mayLeave))

    def check(self) -> Deferred[None]:
        return self._watched(self._check())

    def _watched(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        working: Deferred[None] = Deferred.fromCoroutine(work)
        self._underWay.add(working)

        def ended(result: Any) -> Any:
            self._underWay.discard(working)
            return result

        return working.addBoth(ended)

    async def _check(self) -> None:
        reactor, timeout = self._context.reactor, self._context.webhookTimeout
        parts = urlsplit(self._origin)
        host, secure = parts.hostname or "", parts.scheme == "https"
        try:
            endpoint = clientEndpoint(
                reactor,
                self._trust,
                host,
                parts.port or 0,
                secure=secure,
                proxy=self._context.settings.proxies.choose(host, secure),
                timeout=timeout,
            )
            what = f"the webhook {self._origin}"
            await deadlined(
                reactor,
                timeout,
                Deferred.fromCoroutine(greet(reactor, what, endpoint, secure)),
                lambda: f"{what} did not answer within {timeout:g} seconds",
            )
        except (CertificateRefused, CertificateWanted) as e:
            raise IncorrectParameters(e.message, cause=e) from None
        except ConnectionFailed as e:
            raise NotTaken(e.message, cause=e) from None

    async def _take(self, record: CallRecord, mayLeave: Callable[[], bool]) -> None:
        reactor, timeout = self._context.reactor, self._context.webhookTimeout
        call = self._context.format.encode(record)
        now = int(reactor.seconds())
        headers = {
            "Content-Type": call.contentType,
            "Idempotency-Key": record.key,
            "Webhook-Id": record.key,
            "Webhook-Timestamp": str(now),
            # CloudEvents, HTTP Protocol Binding 1.0.2, section 3.1.3.
            **{f"ce-{name}": _encoded(value) for name, value in call.attributes.items()},
        }
        if self._secret is not None:
            headers["Webhook-Signature"] = signature(self._secret, record.key, now, call.body)
        sending = self._requests.post(self._origin, self._url, headers, call.body, mayLeave)
        try:
            answer = await deadlined(
                reactor,
                timeout,
                sending,
                lambda: f"the webhook {self._origin} did not answer within {timeout:g} seconds",
            )
        except (ConnectionFailed, IncorrectParameters) as e:
            raise NotTaken(e.message, cause=e) from None
        if 200 <= answer.status < 300:
            return
        words = f"the webhook {self._origin} answered {answer.status}"
        if answer.status >= 500 or answer.status in _LATER:
            raise NotTaken(words, retryAfter=_retryAfter(answer, reactor.seconds()))
        raise SinkRefused(words)

    def reopen(self) -> None:
        """The secret may have changed. The certificate is read for each connection."""
        try:
            self._secret = self._readSecret()
        except IncorrectParameters as e:
            self._log.error("{reason}; the old one stays", reason=e.message)

    def stop(self) -> Deferred[None]:
        # An answer would give its connection to the pool.
        for working in list(self._underWay):
            working.cancel()
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed.addCallback(lambda _: None)


@implementer(IPlugin, INotificationSinkProvider)
class WebhookSinks:
    """C{webhook:URL}."""

    name = "webhook"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        try:
            parts = urlsplit(argument)
            host, port = parts.hostname or "", parts.port
            argument.encode("ascii")
        except ValueError:
            raise IncorrectParameters("sink webhook needs a URL: webhook:https://...") from None
        if parts.scheme not in ("https", "http") or not host or not argument.isprintable():
            raise IncorrectParameters("sink webhook needs a URL: webhook:https://...")
        if "@" in parts.netloc or parts.fragment or " " in argument:
            raise IncorrectParameters(
                "sink webhook: its URL must have no user, password, fragment or space"
            )
        if parts.scheme == "http" and not (isLoopback(host) or context.settings.insecure):
            raise IncorrectParameters(
                f"sink webhook: {host} would get the calls unencrypted: use https"
            )
        shown = f"[{host}]" if ":" in host else host
        default = 443 if parts.scheme == "https" else 80
        return WebhookSink(argument, f"{parts.scheme}://{shown}:{port or default}", context)
