"""
Callbacks written down: as plain words, or as JSON lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .connection import IrisListener
from .sinks.record import timestamp
from .values import withoutPath

if TYPE_CHECKING:
    from .connection import IrisRtcConnection

__all__ = ["JsonReport", "TextReport", "callerNumber", "printable"]


def printable(value: object) -> str:
    """Text that a terminal can be shown: what a stranger sent may hold escape sequences."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class JsonReport(IrisListener):
    """
    One JSON object per line and callback: C{time} (RFC 3339), C{callback}, C{args}.

    @param write: takes a line; it may raise, and then a notification is not acknowledged.
    @param seconds: tells the epoch seconds.
    @param account: whose callbacks they are, as C{account} in each line; C{None} where
        there is only one.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        seconds: Callable[[], float],
        account: str | None = None,
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._account = account

    def _line(self, callback: str, *args: object) -> None:
        line: dict[str, Any] = {
            "time": timestamp(self._seconds()),
            "callback": callback,
            "args": args,
        }
        if self._account is not None:
            line["account"] = self._account
        self._write(json.dumps(line))

    def onConnected(self) -> None:
        self._line("onConnected")

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self._line("onConnectionError", errorCode, errorMessage)

    def onDisconnected(self) -> None:
        self._line("onDisconnected")

    def onReconnecting(self) -> None:
        self._line("onReconnecting")

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        self._line("onNotification", notificationInfo)

    def onEvent(self, event: dict[str, Any]) -> None:
        self._line("onEvent", event)

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        self._line("onTokenAboutToExpire", secondsLeft)


def callerNumber(info: dict[str, Any]) -> str | None:
    """The number that a notification's userdata shows, if it has one."""
    userdata = info.get("userdata")
    if not isinstance(userdata, dict):
        return None
    for part, names in (("data", ("cname", "cid")), ("notification", ("srcTN",))):
        section = userdata.get(part)
        if isinstance(section, dict):
            for name in names:
                if isinstance(section.get(name), str) and section[name]:
                    return str(section[name])
    return None


def _topic(info: dict[str, Any]) -> str:
    userdata = info.get("userdata")
    section = userdata.get("notification") if isinstance(userdata, dict) else None
    topic = section.get("type") if isinstance(section, dict) else None
    return f" ({topic})" if isinstance(topic, str) and topic else ""


class TextReport(IrisListener):
    """
    A line of plain words per callback.

    @param write: takes a line.
    @ivar connection: the connection reported on, once there is one.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.connection: IrisRtcConnection | None = None

    def say(self, words: str) -> None:
        """A line of our own."""
        self._write(printable(words))

    def waiting(self, seconds: float) -> None:
        """The first attempt failed, and another one will be made."""
        self.say(f"Waiting:       {seconds:.1f} seconds before the next attempt")

    def onConnected(self) -> None:
        connection = self.connection
        info = connection.serverInfo if connection is not None else None
        if info is not None:
            turn = info.turnCredentials
            servers = f" and {len(turn.iceServers)} TURN server(s)" if turn else ""
            server = withoutPath(info.websocketServer)
            self.say(f"Discovery:     found the websocket server {server}{servers}")
        self.say(f"Connected:     as {connection.jid if connection is not None else 'unknown'}")

    def onConnectionError(self, errorCode: int, errorMessage: str) -> None:
        self.say(f"Error {errorCode}:    {errorMessage}")

    def onNotification(self, notificationInfo: dict[str, Any]) -> None:
        info = notificationInfo
        sender, room = info.get("routingid", "somebody"), info.get("roomid", "no room")
        number = callerNumber(info)
        who = f"{number}, from {sender}," if number else f"{sender}"
        kind = info.get("type")
        if kind == "notify":
            self.say(f"Call:          {who} calls for room {room}{_topic(info)}")
        elif kind == "cancel":
            self.say(f"Call ended:    {who} no longer calls for room {room}")
        else:
            self.say(f"Notification:  {kind} by {who} for room {room}{_topic(info)}")

    def onEvent(self, event: dict[str, Any]) -> None:
        state, details = event["state"], event["details"]
        if state == "SDK_WebSocketServerDisconnected":
            self.say(f"Disconnected:  {details['message']}")
        elif state == "SDK_WebSocketServerReconnecting":
            self.say(
                f"Reconnecting:  attempt {details['attempt']} in {details['delay']:.1f} seconds"
            )
        elif state == "SDK_CallRejected":
            self.say(f"Rejected:      the call for room {details.get('roomid')}")

    def onTokenAboutToExpire(self, secondsLeft: float) -> None:
        if secondsLeft > 0:
            self.say(f"Token:         expires in {secondsLeft:.0f} seconds; a new one is needed")
        else:
            self.say("Token:         has expired; a new one is needed")
