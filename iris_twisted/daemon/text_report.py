"""
Callbacks written down as plain words: what an operator wants to see, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..command_line.terminal import printable
from ..connection.connection import IrisListener, IrisRtcConnection
from ..net.addresses import withoutPath
from ..rtc.caller_number import callerNumber

__all__ = ["TextReport", "duration"]

# Of many attempts in a row, these have a line.
_TOLD = frozenset({1, 2, 3, 5, 10, 20, 50})
# Seconds after which a call that nobody ended is taken to be over.
_RINGS = 60.0
# Calls that ring at a time, whose ages are known.
_REMEMBERED = 100


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _topic(info: dict[str, Any]) -> str:
    userdata = info.get("userdata")
    section = userdata.get("notification") if isinstance(userdata, dict) else None
    topic = section.get("type") if isinstance(section, dict) else None
    return f" ({topic})" if isinstance(topic, str) and topic else ""


def _who(info: dict[str, Any]) -> str:
    sender, number = info.get("routingid", "somebody"), callerNumber(info)
    return f"{number}, from {sender}," if number else f"{sender}"


class TextReport(IrisListener):
    """
    A line of plain words for what matters.

    @param write: takes a line.
    @param seconds: counts, for durations.
    @param account: whose callbacks they are, at the beginning of each line; C{None} where
        there is only one.
    @param verbose: everything has a line.
    @param date: tells the epoch seconds; C{None} where C{seconds} does.
    @param writeCall: takes the line of a notification instead, and may raise: then that is not
        acknowledged.
    @ivar connection: the connection reported on, once there is one.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        seconds: Callable[[], float],
        account: str | None = None,
        verbose: bool = False,
        date: Callable[[], float] | None = None,
        writeCall: Callable[[str], None] | None = None,
    ) -> None:
        self._write = write
        self._writeCall = writeCall or write
        self._seconds = seconds
        self._date = date or seconds
        self._prefix = "" if account is None else f"{account}  "
        self._verbose = verbose
        # Of many connections, one that comes up is no news.
        self._brief = account is not None and not verbose
        self.connection: IrisRtcConnection | None = None
        self._since = seconds()
        self._wasUp = False
        self._next: tuple[int, float] | None = None
        self._ringing: dict[str, tuple[float, str]] = {}

    def say(self, words: str) -> None:
        """A line of our own."""
        self._write(printable(self._prefix + words))

    def _sayCall(self, words: str) -> None:
        self._writeCall(printable(self._prefix + words))

    def asking(self, url: str, routingId: str) -> None:
        """Discovery begins."""
        if not self._brief:
            self.say(f"Discovery:     asking {url} for a server for {routingId}")

    def waiting(self, seconds: float) -> None:
        """The first attempt failed, and another one will be made."""
        self.say(f"Waiting:       {seconds:.1f} seconds before the next attempt")

    # Right now

    @property
    def status(self) -> str:
        """What the connection is doing, in a line."""
        state = "connecting" if self.connection is None else self.connection.state.value
        words = f"{state} for {duration(self._seconds() - self._since)}"
        if state == "connected" and self.connection is not None:
            trip = self.connection.pingRoundTrip
            return words if trip is None else f"{words}, ping {1000 * trip:.1f} ms"
        if self._next is not None:
            attempt, due = self._next
            words += f", attempt {attempt} in {duration(due - self._seconds())}"
        return words

    @property
    def ringing(self) -> list[str]:
        """A line for each call that rings, the oldest first."""
        if not self._ringing:
            return []
        now = self._seconds()
        self._ringing = {
            room: (began, words)
            for room, (began, words) in self._ringing.items()
            if now - began < _RINGS
        }
        return [
            printable(f"{self._prefix}rings for {duration(now - began)}: {words}")
            for began, words in self._ringing.values()
        ]

    # IIrisListener

    def onConnected(self) -> None:
        now = self._seconds()
        connection = self.connection
        info = connection.serverInfo if connection is not None else None
        first, self._wasUp = not self._wasUp, True
        if info is not None and not self._brief and (first or self._verbose):
            turn = info.turnCredentials
            servers = f" and {len(turn.iceServers)} TURN server(s)" if turn else ""
            server = withoutPath(info.websocketServer)
            self.say(f"Discovery:     found the websocket server {server}{servers}")
        jid = connection.jid if connection is not None else "unknown"
        if first and not self._brief:
            self.say(f"Connected:     as {jid}")
        elif not first:
            self.say(f"Connected:     again, after {duration(now - self._since)}, as {jid}")
        self._since, self._next = now, None

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self.say(f"Error {errorCode}:    {errorMessage}")

    def onDisconnected(self) -> None:
        self._since = self._seconds()

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        info = notificationInfo
        room, kind, who = info.get("roomid", "no room"), info.get("type"), _who(info)
        trace = f" [{info.get('traceid')}]" if self._verbose and info.get("traceid") else ""
        if kind == "notify":
            words = f"{who} calls for room {room}{_topic(info)}"
            self._sayCall(f"Call:          {words}{trace}")
            self._ringing[str(room)] = self._seconds(), words
            if len(self._ringing) > _REMEMBERED:
                del self._ringing[next(iter(self._ringing))]
        elif kind == "cancel":
            began, _ = self._ringing.pop(str(room), (None, ""))
            age = "" if began is None else f", after {duration(self._seconds() - began)}"
            self._sayCall(f"Call ended:    {who} no longer calls for room {room}{age}{trace}")
        else:
            self._sayCall(f"Notification:  {kind} by {who} for room {room}{_topic(info)}{trace}")

    def onEvent(self, event: dict[str, Any]) -> None:
        state, details = event["state"], event["details"]
        if state == "SDK_WebSocketServerDisconnected":
            self.say(f"Disconnected:  {details['message']}")
        elif state == "SDK_WebSocketServerReconnecting":
            attempt, delay = details["attempt"], details["delay"]
            self._next = attempt, self._seconds() + delay
            if self._verbose or attempt in _TOLD or attempt % 100 == 0:
                self.say(f"Reconnecting:  attempt {attempt} in {delay:.1f} seconds")
        elif state == "SDK_CallRejected":
            self._ringing.pop(str(details.get("roomid")), None)
            self.say(f"Rejected:      the call for room {details.get('roomid')}")
        elif state == "SDK_SessionNotResumed" and self._verbose:
            lost = self._date() - details["lostSince"]
            self.say(f"Not resumed:   calls of the last {duration(lost)} may be lost")

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        if secondsLeft > 0:
            self.say(f"Token:         expires in {secondsLeft:.0f} seconds; a new one is needed")
        else:
            self.say("Token:         has expired; a new one is needed")
