"""
The console over HTTP: the page, what it shows as server-sent events (the EventSource of
the HTML standard), and rejects.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..errors import IncorrectParameters, IrisError
from ..fleet.fleet import IrisFleet
from ..net.http.serving import headerOf
from ..net.json_text import decodeJson
from ..net.steady_time import steadyTime
from .call_history import CallHistory
from .entrance import Entrance, ForThisMachine, learnFullName

if TYPE_CHECKING:
    from ..operators import Access

__all__ = ["consoleRoot"]

Overview = Callable[[str, int], Deferred[dict[str, Any]]]

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE = 25
_LINK = '\n  <nav><a href="cluster">All members of the cluster</a></nav>'
# Seconds between two events at least, and for each account more, and at most.
_SOONEST = 0.2
_MORE = 0.0002
_LATEST = 5.0
_LONGEST_BODY = 4096


class _File(ForThisMachine):
    isLeaf = True

    def __init__(self, name: str, change: Callable[[str], str] = str) -> None:
        super().__init__()
        self._kind = _KINDS[name.rpartition(".")[2]]
        text = files("iris_twisted.console").joinpath("page", name).read_text("utf-8")
        self._content = change(text).encode()

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-type", f"{self._kind}; charset=utf-8")
        return self._content


class _Page(_File):
    """The root, and nothing below it that was not put there."""

    isLeaf = False

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self if path == b"" else super().getChild(path, request)


class _Events(ForThisMachine):
    """A stream of snapshots: when something changed, and every few seconds anyway."""

    isLeaf = True

    def __init__(self, reactor: Any, callHistory: CallHistory) -> None:
        super().__init__()
        self._reactor = reactor
        self._callHistory = callHistory

    def render_GET(self, request: Request) -> Any:
        number = _number(request, b"page")
        words, state = _argument(request, b"words"), _argument(request, b"state")
        request.setHeader("content-type", "text/event-stream")
        _Stream(
            self._reactor,
            self._callHistory,
            request,
            lambda: self._callHistory.snapshot(words, state, number, _PAGE),
        )
        return NOT_DONE_YET


class _Stream:
    """One browser that watches."""

    def __init__(
        self,
        reactor: Any,
        callHistory: CallHistory,
        request: Request,
        look: Callable[[], dict[str, Any]],
    ) -> None:
        self._time = steadyTime(reactor)
        self._callHistory = callHistory
        self._request = request
        self._look = look
        self._sent = 0.0
        self._timer: IDelayedCall | None = None
        self._full = False
        request.notifyFinish().addBoth(self._gone)
        # A browser that does not read gets nothing more until it does.
        request.registerProducer(self, True)
        callHistory.watchers.add(self._changed)
        self._send()

    def _gone(self, _: object) -> None:
        self._callHistory.watchers.discard(self._changed)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False

    def stopProducing(self) -> None:
        """It is gone: notifyFinish says so too."""

    def _changed(self) -> None:
        # Each looks at all accounts: of thousands something changes all the time.
        soonest = min(_LATEST, _SOONEST + _MORE * len(self._callHistory.accounts))
        self._schedule(max(0.0, self._sent + soonest - self._time.seconds()))

    def _schedule(self, delay: float) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self._time.callLater(delay, self._send)
        elif self._timer.getTime() > self._time.seconds() + delay:
            self._timer.reset(delay)

    def _send(self) -> None:
        self._sent = self._time.seconds()
        if not self._full:
            text = json.dumps(self._look(), separators=(",", ":"), allow_nan=False)
            self._request.write(f"data: {text}\n\n".encode())
        self._timer = None
        self._schedule(_LATEST)


class _Cluster(ForThisMachine):
    """The members of the cluster, and a page of its accounts, for a script."""

    isLeaf = True

    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self._overview = overview

    def render_GET(self, request: Request) -> int:
        looking: Deferred[Any] = self._overview(
            _argument(request, b"words"), _number(request, b"page")
        )
        looking.addCallbacks(self._seen, self._failed)
        looking.addCallback(self._finish, request)
        return NOT_DONE_YET

    @staticmethod
    def _seen(found: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, found

    @staticmethod
    def _failed(failure: Failure) -> tuple[int, dict[str, Any]]:
        failure.trap(IrisError)
        error: Any = failure.value
        return 503, {"message": error.message}

    @staticmethod
    def _finish(answer: tuple[int, dict[str, Any]], request: Request) -> None:
        if not request._disconnected:
            status, value = answer
            request.setResponseCode(status)
            request.setHeader("content-type", "application/json")
            request.write(json.dumps(value, allow_nan=False).encode() + b"\n")
            request.finish()


def _argument(request: Request, name: bytes) -> str:
    value: bytes = request.args.get(name, [b""])[0]
    return value.decode("utf-8", "replace")


def _number(request: Request, name: bytes) -> int:
    text = _argument(request, name)
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


class _RejectNothing(ForThisMachine):
    """POST: the answer to who may only read."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        return _answer(request, 403, "you may read, and not reject: ask for that right")


def _answer(request: Request, status: int, words: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json")
    return json.dumps({"message": words}, allow_nan=False).encode() + b"\n"


class _Reject(ForThisMachine):
    """POST: reject a call, with the token that stands in the page."""

    isLeaf = True
    _log = Logger()

    def __init__(self, callHistory: CallHistory, fleet: IrisFleet, token: str) -> None:
        super().__init__()
        self._callHistory = callHistory
        self._fleet = fleet
        self._token = token

    def render_POST(self, request: Request) -> Any:
        origin = headerOf(request, "origin")
        host = headerOf(request, "host")
        token = headerOf(request, "x-console-token").encode("utf-8", "surrogateescape")
        if origin and urlsplit(origin).netloc != host:
            return _answer(request, 403, "this request comes from another page")
        if not hmac.compare_digest(token, self._token.encode()):
            return _answer(request, 403, "the page is not from this process: load it again")
        body = request.content.read(_LONGEST_BODY) if request.content is not None else b""
        try:
            value = decodeJson(body.decode("utf-8"))
        except ValueError:
            value = None
        id = value.get("id") if isinstance(value, dict) else None
        entry = self._callHistory.calls.get(id) if isinstance(id, int) else None
        service = None if entry is None else self._fleet.accounts.get(entry.account)
        if entry is None or service is None:
            return _answer(request, 404, "there is no such call any more")
        call = entry
        # Who asked is known where there was a guard: it has looked at the same header.
        who = request.getUser().decode("utf-8", "replace") or "somebody"
        self._log.info("{who} rejects a call to {account}", who=who, account=call.account)
        call.state = "rejecting"
        self._callHistory.changed()
        rejecting: Deferred[None] = service.connection.rejectSession(call.info)

        def rejected(_: None) -> None:
            call.state = "rejected"
            self._finish(request, 200, "rejected")

        def failed(failure: Failure) -> None:
            error = failure.value
            words = error.message if isinstance(error, IrisError) else type(error).__name__
            call.state = f"not rejected: {words}"
            self._finish(request, 409 if isinstance(error, IncorrectParameters) else 502, words)

        rejecting.addCallbacks(rejected, failed)
        return NOT_DONE_YET

    def _finish(self, request: Request, status: int, words: str) -> None:
        self._callHistory.changed()
        if not request._disconnected:
            request.write(_answer(request, status, words))
            request.finish()


def consoleRoot(
    reactor: Any,
    callHistory: CallHistory,
    fleet: IrisFleet,
    access: Access | None = None,
    overview: Overview | None = None,
) -> Resource:
    """
    The console.

    @param callHistory: what it shows.
    @param fleet: with whose connections it rejects.
    @param access: who may look, and who may reject; C{None} for everybody.
    @param overview: gives what the page of the cluster shows, if there is one, of the accounts
        that have some words in their names, and of those a page.
    """
    learnFullName()
    token = secrets.token_urlsafe(24)
    rejecting = _Reject(callHistory, fleet, token)
    everything = _root(reactor, callHistory, rejecting, token, overview)
    if access is None:
        return everything
    reading = _root(reactor, callHistory, _RejectNothing(), "", overview)
    return Entrance(access.guard(lambda o: everything if o.mayReject else reading))


def _root(
    reactor: Any,
    callHistory: CallHistory,
    rejecting: Resource,
    token: str,
    overview: Overview | None,
) -> Resource:
    """
    @param token: of the page; empty on the one of who may only read.
    """
    link = "" if overview is None else _LINK
    root = _Page(
        "index.html", lambda text: text.replace("@TOKEN@", token).replace("@CLUSTER@", link)
    )
    for name in ("console.js", "console.css", "icon.svg"):
        root.putChild(name.encode(), _File(name))
    if overview is not None:
        root.putChild(b"cluster", _File("cluster.html"))
        root.putChild(b"cluster.js", _File("cluster.js"))
        root.putChild(b"cluster.json", _Cluster(overview))
    root.putChild(b"events", _Events(reactor, callHistory))
    root.putChild(b"reject", rejecting)
    return root
