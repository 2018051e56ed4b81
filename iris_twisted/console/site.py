"""
The console over HTTP: the page, what it shows as server-sent events (the EventSource of
the HTML standard), and what can be done there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..errors import IncorrectParameters, IrisError
from ..fleet.fleet import IrisFleet
from .asking import Asked, argumentOf, numberOf
from .call_history import CallHistory
from .changing import Change, NoChange, answer
from .entrance import Entrance, ForThisMachine, learnFullName
from .live_views import LiveViews
from .outbox_view import LetterChange, OutboxView

if TYPE_CHECKING:
    from ..operators import Access
    from ..outbox.outbox import Outbox

__all__ = ["consoleRoot"]

Overview = Callable[[str, int], Deferred[dict[str, Any]]]

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FILES = (
    "shared.js",
    "connection.js",
    "calls.js",
    "console.js",
    "account.js",
    "console.css",
    "icon.svg",
)
_PAGE = 25
_CLUSTER_LINK = '<a href="cluster">All members of the cluster</a>'
_OUTBOX_LINK = '<a href="outbox">Outbox and dead letters</a>'


def _membersAsked(request: Request) -> tuple[str, int]:
    return argumentOf(request, b"words"), numberOf(request, b"page")


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

    def __init__(self, callHistory: CallHistory, liveViews: LiveViews) -> None:
        super().__init__()
        self._callHistory = callHistory
        self._liveViews = liveViews

    def render_GET(self, request: Request) -> Any:
        account = argumentOf(request, b"account")
        page = numberOf(request, b"page")
        words, state = argumentOf(request, b"words"), argumentOf(request, b"state")
        request.setHeader("content-type", "text/event-stream")
        history = self._callHistory
        if account:
            self._liveViews.watch(request, account, lambda: history.ofAccount(account))
        else:
            self._liveViews.watch(
                request,
                (words.lower(), state, page),
                lambda: history.snapshot(words, state, page, _PAGE),
            )
        return NOT_DONE_YET


class _Reject(Change):
    """POST: reject a call."""

    _log = Logger()

    def __init__(self, callHistory: CallHistory, fleet: IrisFleet, token: str) -> None:
        super().__init__(token)
        self._callHistory = callHistory
        self._fleet = fleet

    def change(self, request: Request, value: dict[str, Any], who: str) -> Any:
        id = value.get("id")
        entry = self._callHistory.calls.get(id) if isinstance(id, int) else None
        service = None if entry is None else self._fleet.accounts.get(entry.account)
        if entry is None or service is None:
            return answer(request, 404, "there is no such call any more")
        call = entry
        self._log.info("{who} rejects a call to {account}", who=who, account=call.account)
        call.state = "rejecting"
        self._callHistory.changed()
        rejecting: Deferred[None] = service.connection.rejectSession(call.info)

        def rejected(_: None) -> None:
            call.state = "rejected"
            self._callHistory.changed()
            self.finish(request, 200, "rejected")

        def failed(failure: Failure) -> None:
            error = failure.value
            words = error.message if isinstance(error, IrisError) else type(error).__name__
            call.state = f"not rejected: {words}"
            self._callHistory.changed()
            self.finish(request, 409 if isinstance(error, IncorrectParameters) else 502, words)

        rejecting.addCallbacks(rejected, failed)
        return NOT_DONE_YET


def consoleRoot(
    reactor: Any,
    callHistory: CallHistory,
    fleet: IrisFleet,
    access: Access | None = None,
    overview: Overview | None = None,
    outbox: Callable[[], Outbox | None] | None = None,
) -> Resource:
    """
    The console.

    @param callHistory: what it shows.
    @param fleet: with whose connections it rejects.
    @param access: who may look, and who may reject; C{None} for everybody.
    @param overview: gives what the page of the cluster shows, if there is one, of the accounts
        that have some words in their names, and of those a page.
    @param outbox: gives the outbox, if there is one, once it is open.
    """
    learnFullName()
    token = secrets.token_urlsafe(24)
    view = None if outbox is None else OutboxView(reactor, outbox)
    changes: dict[str, Resource] = {"reject": _Reject(callHistory, fleet, token)}
    if view is not None:
        changes["retry"] = LetterChange(view, False, token)
        changes["purge"] = LetterChange(view, True, token)
    # Those who may only read share the looks of the others.
    events = _Events(callHistory, LiveViews(reactor, callHistory.watchers))
    members = None if overview is None else Asked(reactor, _membersAsked, overview)
    everything = _root(events, changes, token, members, view)
    if access is None:
        return everything
    none: dict[str, Resource] = {verb: NoChange(verb) for verb in changes}
    reading = _root(events, none, "", members, view)
    return Entrance(access.guard(lambda o: everything if o.mayReject else reading))


def _root(
    events: _Events,
    changes: dict[str, Resource],
    token: str,
    members: Asked | None,
    view: OutboxView | None,
) -> Resource:
    """
    @param changes: by their paths.
    @param token: of the pages; empty on those of who may only read.
    @param members: what the page of the cluster asks, if there is one.
    """
    toCluster = f" {_CLUSTER_LINK}" if members is not None else ""
    toOutbox = f" {_OUTBOX_LINK}" if view is not None else ""
    more = toCluster + toOutbox
    places = {
        "@TOKEN@": token,
        "@LINKS@": f"\n  <nav>{more.strip()}</nav>" if more else "",
        "@MORE@": more,
        "@CLUSTER@": toCluster,
        "@OUTBOX@": toOutbox,
    }

    def fill(text: str) -> str:
        for place, words in places.items():
            text = text.replace(place, words)
        return text

    root = _Page("index.html", fill)
    for name in _FILES:
        root.putChild(name.encode(), _File(name))
    root.putChild(b"account", _File("account.html", fill))
    if members is not None:
        root.putChild(b"cluster", _File("cluster.html", fill))
        root.putChild(b"cluster.js", _File("cluster.js"))
        root.putChild(b"cluster.json", members)
    if view is not None:
        root.putChild(b"outbox", _File("outbox.html", fill))
        root.putChild(b"outbox.js", _File("outbox.js"))
        root.putChild(b"outbox.json", view.asked)
    root.putChild(b"events", events)
    for verb, change in changes.items():
        root.putChild(verb.encode(), change)
    return root
