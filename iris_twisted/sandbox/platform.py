"""
What the sandbox knows: who is connected, which calls there are, and what shall
go wrong. No I/O: sessions are told through the methods of L{UserSession}.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import attrs

from ..errors import IncorrectParameters
from ..net.jwt import expiryOf
from ..rtc.namespaces import IRIS
from ..xmpp.elements import CLIENT, Element, escape
from .directory import Directory
from .records import (
    DROPS,
    HANG_STEPS,
    TURN,
    Answer,
    Call,
    ManagedSession,
    SandboxError,
    UserSession,
    notification,
)

__all__ = ["Platform"]

_CALLS_KEPT = 1000


def _bare(jid: str) -> str:
    return jid.lower().partition("/")[0]


@attrs.define
class Platform:
    """
    @ivar now: tells the epoch seconds.
    @ivar dialects: which the RTC server speaks.
    @ivar mechanisms: which SASL mechanisms it offers.
    @ivar streamManagement: whether it offers XEP-0198.
    @ivar resumptionPatience: seconds for which it keeps a session whose socket was lost.
    @ivar location: where it wants sessions to be resumed, C{host} or C{host:port}.
    @ivar sessions: who is connected and bound, by id.
    @ivar managed: the sessions that can be resumed, by the id for that.
    @ivar detached: those of them whose socket was lost, and since when.
    @ivar directory: who may log in, and what they want to be notified of.
    @ivar hanging: the steps at which it falls silent.
    @ivar answer: what discovery answers, if not the truth.
    """

    now: Callable[[], float]
    dialects: tuple[str, ...] = ("stream", "framed")
    mechanisms: tuple[str, ...] = ("NOAUTH", "PLAIN")
    hanging: set[str] = attrs.field(factory=set)
    answer: Answer | None = None
    streamManagement: bool = True
    resumptionPatience: float = 300.0
    location: str | None = None
    sessions: dict[str, UserSession] = attrs.field(factory=dict)
    managed: dict[str, tuple[UserSession, ManagedSession]] = attrs.field(factory=dict)
    detached: dict[str, tuple[UserSession, float]] = attrs.field(factory=dict)
    calls: dict[str, Call] = attrs.field(factory=dict)
    refusedTokens: set[str] = attrs.field(factory=set)
    directory: Directory = attrs.field(init=False)
    _users: dict[str, dict[str, UserSession]] = attrs.field(factory=dict)
    _purged: float = -1.0
    _websocketTokens: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.directory = Directory(self.now)

    # Tokens

    def token(self, routingId: str, lifetime: float = 3600.0, age: float | None = None) -> str:
        """An iris token that discovery accepts for so many seconds, and that is so many old."""
        return self.directory.token(routingId, lifetime, age)

    def accepts(self, token: str) -> bool:
        """Whether discovery believes an iris token."""
        expiry = expiryOf(token)
        return token not in self.refusedTokens and (expiry is None or expiry > self.now())

    def websocketToken(self, routingId: str) -> str:
        """A fresh token for the websocket of one user."""
        token = secrets.token_urlsafe(24)
        self._websocketTokens[token] = routingId.lower()
        while len(self._websocketTokens) > 10_000:
            del self._websocketTokens[next(iter(self._websocketTokens))]
        return token

    def discover(self, routingId: str, token: str, host: str | None) -> dict[str, Any] | None:
        """
        @param host: by which the client knows this platform.
        @return: what discovery answers (protocol.md section 1); C{None} when the
            token is refused.
        """
        if not self.accepts(token):
            return None
        return {
            "websocket_server": host,
            "websocket_server_token": self.websocketToken(routingId),
            "websocket_server_token_expiry_time": str(int(self.now()) + 3600),
            "turn_credentials": json.dumps(TURN),
        }

    def admits(self, routingId: str, token: str) -> bool:
        """Whether a websocket token is that user's."""
        return self._websocketTokens.get(token) == routingId.lower()

    # Trouble

    def hang(self, step: str) -> None:
        """From now on, fall silent at that step."""
        if step not in HANG_STEPS:
            raise SandboxError(f"step must be one of {', '.join(HANG_STEPS)}, not {step!r}")
        self.hanging.add(step)

    def drop(self, sessionId: str, how: str = "abort") -> None:
        """End a session: cut it, close it politely, or ask it to leave."""
        session = self.sessions.get(sessionId)
        if session is None:
            raise SandboxError(f"there is no session {sessionId!r}")
        if how == "abort":
            session.abort()
        elif how == "close":
            session.goAway()
        elif how == "disconnect":
            session.deliver(notification(session.jid, {"type": "disconnect"}, None))
        else:
            raise SandboxError(f"how must be one of {', '.join(DROPS)}, not {how!r}")

    # Sessions that outlive their sockets

    def left(self, user: UserSession, waits: bool) -> None:
        """A socket was lost; does its session wait to be resumed?"""
        bound = self.sessions.pop(user.id, None) is not None
        if bound and waits:
            self.detached[user.id] = user, self.now()
        elif bound:
            self._forget(user)

    def takeOver(self, previd: str) -> tuple[UserSession | None, ManagedSession | None]:
        """The session to resume, if it is still kept; it is nobody's then."""
        self._purge()
        user, session = self.managed.pop(previd, (None, None))
        if user is not None:
            self.sessions.pop(user.id, None)
            self.detached.pop(user.id, None)
            self._forget(user)
        return user, session

    def arrived(self, user: UserSession) -> None:
        """A session is bound, or resumed."""
        self.sessions[user.id] = user
        self._users.setdefault(_bare(user.jid), {})[user.id] = user

    def _forget(self, user: UserSession) -> None:
        known = self._users.get(_bare(user.jid), {})
        known.pop(user.id, None)
        if not known:
            self._users.pop(_bare(user.jid), None)

    def _purge(self) -> None:
        now = self.now()
        # Thousands may come back at once, and none of them needs it to the second.
        if 0 <= now - self._purged < 1.0:
            return
        self._purged = now
        deadline = now - self.resumptionPatience
        gone = {id for id, (_, since) in self.detached.items() if since < deadline}
        for id in gone:
            user, _ = self.detached.pop(id)
            self._forget(user)
        for previd, (user, _) in list(self.managed.items()):
            if user.id not in self.sessions and user.id not in self.detached:
                del self.managed[previd]

    # Calls

    def placeCall(
        self,
        to: str,
        *,
        sender: str | None = None,
        caller: str = "+12155550100",
        room: str | None = None,
        kind: str = "notify",
        topic: str = "pstn",
    ) -> Call:
        """
        Ring a user, on each of its sessions.

        @param to: the routing id.
        @param sender: the routing id of who calls.
        @param caller: the number that is shown.
        @param kind: the C{type} of the notification.
        """
        domain = to.rpartition("@")[2]
        if not domain or domain == to:
            raise SandboxError(f"to must be a routing id like user@domain, not {to!r}")
        id = secrets.token_hex(4)
        userdata = {
            "data": {"cname": caller, "cid": caller},
            "notification": {"type": topic, "topic": f"{domain}/{topic}", "srcTN": caller},
        }
        info = {
            "type": kind,
            "action": "",
            "roomid": room or f"room-{id}",
            "routingid": sender or f"caller@{domain}",
            "rtcserver": f"xmpp.{domain}",
            "traceid": f"trace-{id}",
            "roomtoken": secrets.token_hex(8),
            "roomtokenexpirytime": str(int(self.now()) + 3600),
            "userdata": json.dumps(userdata),
        }
        for name, value in info.items():
            try:
                escape(name, value)
            except IncorrectParameters as e:
                raise SandboxError(e.message) from None
        call = Call(id, to, "missed", info)
        self.calls[id] = call
        while len(self.calls) > _CALLS_KEPT:
            del self.calls[next(iter(self.calls))]
        if self.directory.wants(to, topic):
            self._ring(call)
        return call

    def cancelCall(self, id: str) -> Call:
        """Tell the user that the caller hung up."""
        call = self.calls.get(id)
        if call is None:
            raise SandboxError(f"there is no call {id!r}")
        call.info = {**call.info, "type": "cancel"}
        self._ring(call)
        call.state = "cancelled"
        return call

    def tellAgain(self, id: str) -> Call:
        """Tell the user of it once more, as a platform may after a loss: it is the same call."""
        call = self.calls.get(id)
        if call is None:
            raise SandboxError(f"there is no call {id!r}")
        if call.state == "acknowledged":
            call.state = "missed"
        self._ring(call)
        return call

    def _ring(self, call: Call) -> None:
        for session in self.sessionsOf(call.to):
            if call.state == "missed":
                call.state = "ringing"
            session.deliver(notification(session.jid, call.info, call.id))

    # Routing

    def sessionsOf(self, jid: str) -> list[UserSession]:
        """The sessions that a full JID, or a bare one, names; those to be resumed too."""
        self._purge()
        known = self._users.get(_bare(jid), {})
        wanted = jid.lower()
        return [s for s in known.values() if "/" not in wanted or s.jid.lower() == wanted]

    def route(self, sender: UserSession, iq: Element) -> str | None:
        """
        Act on an IQ that a client sent to somebody.

        @return: the error condition to answer with, C{""} for a result, C{None}
            for no answer of ours.
        """
        to = iq.attributes["to"]
        stanza = Element("iq", CLIENT, {**iq.attributes, "from": sender.jid}, iq.children, iq.text)
        request = iq.get("type") in ("get", "set")
        host = to.partition("/")[0].rpartition("@")[2]
        if not request and host.startswith("notify."):
            self._answered(iq)
            return None
        data = iq.child("data", IRIS)
        if request and data is not None:
            return self._callControl(to, data)
        for session in self.sessionsOf(to)[:1]:
            session.deliver(stanza)
            return None
        return "service-unavailable" if request else None

    def _answered(self, iq: Element) -> None:
        call = self.calls.get((iq.get("id") or "").removeprefix("call-"))
        if call is not None and call.state == "ringing" and iq.get("type") == "result":
            call.state = "acknowledged"

    def _callControl(self, to: str, data: Element) -> str:
        if data.get("action") != "reject":
            return ""  # Statistics.
        room = to.partition("@")[0]
        for call in self.calls.values():
            if call.info["roomid"] == room:
                call.state = "rejected"
                return ""
        return "item-not-found"
