"""
Callbacks as text and as JSON lines.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.command_line.terminal import printable
from iris_twisted.daemon.json_report import JsonReport
from iris_twisted.daemon.text_report import TextReport
from iris_twisted.errors import NotTaken


class Reports(SynchronousTestCase):
    """Callbacks written down."""

    CALL = {
        "type": "notify",
        "roomid": "room-1",
        "routingid": "caller@example.test",
        "userdata": {"data": {"cname": "+1"}, "notification": {"type": "pstn"}},
    }

    def test_json(self) -> None:
        """One object per line and callback, with the time of RFC 3339."""
        lines: list[str] = []
        report = JsonReport(lines.append, lambda: 1700000000.0)
        report.onConnected()
        report.onConnectionError(-106, "no")
        report.onDisconnected()
        report.onReconnecting()
        report.onNotification({"userdata": "\ud800\n"})
        report.onEvent({})
        report.onTokenAboutToExpire(5.0)
        parsed = [json.loads(line) for line in lines]
        self.assertFalse([line for line in lines if "\n" in line or not line.isascii()])
        self.assertEqual(
            parsed[0], {"time": "2023-11-14T22:13:20.000Z", "callback": "onConnected", "args": []}
        )
        self.assertEqual(parsed[1]["args"], [-106, "no"])
        self.assertEqual(len(parsed), 7)

    def test_notWritten(self) -> None:
        """A notification whose own line cannot be written is told to have failed by that."""

        def full(line: str) -> None:
            raise NotTaken("full")

        lines: list[str] = []
        for report in (
            JsonReport(lines.append, float, writeCall=full),
            TextReport(lines.append, float, writeCall=full),
        ):
            for kind in ("notify", "cancel", "chat"):
                self.assertRaises(NotTaken, report.onNotification, {**self.CALL, "type": kind})
            report.onConnectionError(-106, "no")
        self.assertEqual(len(lines), 2)

    def test_text(self) -> None:
        """Plain words: who calls from where for which room, and everything else."""
        lines: list[str] = []
        report = TextReport(lines.append, float)
        report.onConnected()
        report.onNotification(self.CALL)
        report.onNotification({**self.CALL, "type": "cancel", "userdata": "x"})
        report.onNotification({"type": "chat", "userdata": {"data": 5}})
        report.onNotification({**self.CALL, "userdata": {"notification": {"srcTN": "+2"}}})
        for state, details in (
            ("SDK_WebSocketServerDisconnected", {"message": "lost"}),
            ("SDK_WebSocketServerReconnecting", {"attempt": 2, "delay": 1.25}),
            ("SDK_CallRejected", {"roomid": "room-1"}),
            ("SDK_Else", {}),
        ):
            report.onEvent({"type": "connection", "state": state, "details": details})
        report.onConnectionError(-106, "no luck")
        report.onTokenAboutToExpire(12.0)
        report.onTokenAboutToExpire(0.0)
        report.waiting(2.0)
        text = "\n".join(lines)
        for words in (
            "as unknown",
            "+1, from caller@example.test, calls for room room-1 (pstn)",
            "caller@example.test no longer calls for room room-1",
            "chat by somebody for room no room",
            "+2, from",
            "lost",
            "attempt 2 in 1.2 seconds",
            "the call for room room-1",
            "-106",
            "expires in 12 seconds",
            "has expired",
            "2.0 seconds before",
        ):
            self.assertIn(words, text)

    def test_terminal(self) -> None:
        """No escape sequence of a stranger reaches the terminal."""
        lines: list[str] = []
        TextReport(lines.append, float).onNotification({**self.CALL, "roomid": "\x1b[2J\u202e é"})
        self.assertIn(r"\x1b[2J\u202e é", lines[0])
        self.assertEqual(printable("plain"), "plain")
