"""
Applications of connections, as odd as they may be: what each does in its callbacks, where its
Deferreds fire, and as its token provider, is said from outside, by a state machine or by a
random number.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from iris_twisted import IrisFleet
from iris_twisted.connection.state import ConnectionState
from iris_twisted.interfaces import IRetryPolicy

from .doubles import MemoryTransport
from .invariants import WatchedConnection, WatchedFleet, WatchedService

__all__ = ["CALLS", "KINDS", "PLACES", "POLICIES", "PROVIDERS", "Account", "Application", "Own"]

CALLBACKS = (
    "onConnected",
    "onConnectionError",
    "onDisconnected",
    "onReconnecting",
    "onNotification",
    "onEvent",
    "onTokenAboutToExpire",
)
DEFERREDS = ("connect()", "close()", "rejectSession()", "stopService()", "ended")
# Where the API may be called.
PLACES = (*CALLBACKS, *DEFERREDS, "the provider", "the next turn")
CALLS = ("begin", "end", "again", "reject", "updateToken", "ask", "cancel")
# What a callback may do.
KINDS = ("returns", "raises", "hangs", "closes and raises", "is a coroutine that raises")
PROVIDERS = (
    "good",
    "bad",
    "bad in turn",
    "short",
    "nonsense",
    "raises",
    "hangs",
    "closes",
    "closes and waits",
)
POLICIES = ("a second", "ends", "raises", "text", "no number")
PAYLOAD = {"roomid": "r", "traceid": "t", "rtcserver": "xmpp.example.test"}


class Own(Exception):
    """The application's own mistake."""


@implementer(IRetryPolicy)
class Policy:
    """
    A retry policy that may be a mistake itself.

    @param seconds: its wait where it is none.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.kind = "a second"

    def delay(self, attempt: int) -> Any:
        if self.kind == "raises":
            raise Own("the retry policy")
        if self.kind == "ends":
            return self.seconds if attempt < 3 else None
        return {"text": "1", "no number": float("nan")}.get(self.kind, self.seconds)


class Application:
    """
    @param makeToken: makes an iris token good for so many seconds.
    @param later: calls in a later turn.
    @ivar plans: where it will call what of the API, once each.
    @ivar kinds: what its callbacks do.
    @ivar provider: how its token provider is.
    @ivar life: seconds that its own tokens live; C{None} for those that do not say.
    @ivar peer: the newest transport of its connection, if that is a double; or C{None}.
    @ivar provided: whether it has a token provider.
    @ivar hanging: Deferreds of callbacks and of the provider that did not fire yet.
    """

    def __init__(
        self,
        routingId: str,
        url: str,
        makeToken: Callable[[str, float], str],
        later: Callable[..., Any],
    ) -> None:
        self.routingId = routingId
        self.plans: list[tuple[str, str]] = []
        self.kinds: dict[str, str] = {}
        self.provider = "good"
        self.provided = True
        self.life: float | None = None
        self.hanging: list[Deferred[Any]] = []
        self.peer: Callable[[], MemoryTransport | None] = lambda: None
        self._url = url
        self._makeToken = makeToken
        self._later = later
        self._numbers = count()

    def owns(self, watched: WatchedConnection) -> Application:
        """This is its connection."""
        self.watched = watched
        watched.react = self.happened
        watched.peerIsPolite = self._peerIsPolite
        return self

    @property
    def isUnderWay(self) -> bool:
        """Whether its connection is wanted up, and is not."""
        watched = self.watched
        if isinstance(watched, WatchedService) and watched.isWanted:
            return watched.connection.state is not ConnectionState.CONNECTED
        settled = (ConnectionState.CONNECTED, ConnectionState.DISCONNECTED)
        return watched.connection.state not in settled

    # What it does

    def do(self, call: str) -> None:
        """Call the API."""
        if call == "begin":
            self.begin()
        elif call == "end":
            self.end()
        elif call == "again":
            self.end()
            self.begin()
        elif call == "reject":
            self.watched.reject(PAYLOAD)
        elif call == "updateToken":
            self.watched.updateToken(self.newToken())
        elif call == "ask":
            self.watched.updateToken()
        elif self.watched.owed:
            self.watched.cancel(self.watched.owed[-1])

    def begin(self) -> None:
        """Connect, or start the service."""
        if not isinstance(self.watched, WatchedService):
            self.watched.connect(self.newToken(), self.routingId, self._url)
        elif not self.watched.service.running:
            self.watched.service.startService()

    def end(self) -> None:
        """Close, or stop the service."""
        if isinstance(self.watched, WatchedService):
            self.watched.service.stopService()
        else:
            self.watched.close()

    def newToken(self) -> str:
        """A token of its own."""
        if self.life is None:
            return f"token-{next(self._numbers)}"
        return self._makeToken(self.routingId, self.life)

    def behave(self) -> None:
        """From now on be no trouble."""
        self.plans.clear()
        self.kinds.clear()
        self.provider = "good"
        self.life = 90_000.0

    def _peerIsPolite(self) -> bool:
        peer = self.peer()
        return peer is not None and peer.open and peer.polite

    # What happens to it

    def happened(self, place: str, args: tuple[Any, ...]) -> Any:
        """A callback, or a Deferred that fires."""
        peer = self.peer()
        # Not where it is only quoted: who gives up later names the last error, amid another attempt.
        words = str(args[0]["details"].get("message")) if place == "onEvent" else ""
        silence = words.startswith("the server was silent for")
        if silence and peer is not None:
            self.watched.lostForSilence(pinged=any(b"urn:xmpp:ping" in m for m in peer.sent))
        self._planned(place)
        kind = self.kinds.get(place, "returns") if place in CALLBACKS else "returns"
        if kind == "hangs":
            return self._hang()
        if kind == "is a coroutine that raises":
            return self._failing(place)
        if kind != "returns":
            if kind == "closes and raises":
                self.end()
            raise Own(place)
        return None

    def provide(self) -> Any:
        """The token provider."""
        watched, kind = self.watched, self.provider
        watched.asked()
        self._planned("the provider")
        if kind == "raises":
            raise Own("no token")
        if kind == "closes":
            self.end()
            raise Own("logged out")
        if kind == "closes and waits":
            return self._loggingOut()
        if kind == "hangs":
            watched.provides(None)
            return self._hang()
        if kind == "nonsense":
            return 5
        life = {"good": 90_000.0, "short": 20.0}.get(kind)
        if life is not None:
            token = self._makeToken(self.routingId, life)
        else:
            token = f"bad-{next(self._numbers) % 2}" if kind == "bad in turn" else "bad"
        watched.provides(token, life)
        return token

    def _planned(self, place: str) -> None:
        for plan in self.plans:
            if plan[0] == place:
                self.plans.remove(plan)
                self.do(plan[1])
                following = next((p for p in self.plans if p[0] == "the next turn"), None)
                if following is not None:
                    self.plans.remove(following)
                    self._later(0, self.do, following[1])
                return

    def _hang(self) -> Deferred[Any]:
        self.hanging.append(Deferred())
        return self.hanging[-1]

    async def _failing(self, place: str) -> None:
        raise Own(place)

    async def _loggingOut(self) -> None:
        self.end()
        raise Own("logged out")

    def endHanging(self, *, good: bool) -> None:
        """Let what hangs longest be done."""
        if self.hanging:
            hanging = self.hanging.pop(0)
            if hanging.called:
                return
            token = self._makeToken(self.routingId, 90_000.0)
            self.watched.given(token)
            if good:
                hanging.callback(token)
            else:
                hanging.errback(Own("failed late"))


class Account(Application):
    """The application of one account of a fleet: it ends by leaving the fleet."""

    fleet: WatchedFleet

    def joins(self, fleet: WatchedFleet, **options: Any) -> Account:
        """It is an account of this fleet from now on."""
        self.fleet, self._options = fleet, options
        self.begin()
        return self

    def begin(self) -> None:
        fleet: IrisFleet = self.fleet.fleet
        if self.routingId in fleet.accounts:
            return
        watched = WatchedService(self.routingId, self.fleet.now, self.fleet.slack)
        self.owns(watched)
        service = fleet.add(
            self.routingId,
            self.newToken(),
            listener=watched,
            tokenProvider=self.provide,
            **self._options,
        )
        watched.watchService(service, fleet._settings)
        self.fleet.added(self.routingId, watched)
        if service.running:
            # Its turn came at once.
            watched.starts()

    def end(self) -> None:
        if self.routingId in self.fleet.fleet.accounts:
            self.fleet.removed(self.routingId)
            self.fleet.fleet.remove(self.routingId)
