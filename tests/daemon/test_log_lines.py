"""
Logs as JSON.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.log_lines import jsonLines

from ..network import RID, NetworkCase
from ..processes import startTwist


class Lines(SynchronousTestCase):
    """One object per event."""

    def line(self, **event: Any) -> dict[str, Any]:
        out = StringIO()
        jsonLines(out)({"log_time": 0.0, **event})
        text = out.getvalue()
        self.assertTrue(text.endswith("}\n"))
        self.assertEqual(text.count("\n"), 1)
        line: dict[str, Any] = json.loads(text)
        return line

    def test_message(self) -> None:
        """The message is as people read it, in one line."""
        line = self.line(
            log_level=LogLevel.warn, log_namespace="a.b", log_format="{what}: é\n2", what="x"
        )
        self.assertEqual(
            line,
            {
                "time": "1970-01-01T00:00:00.000Z",
                "level": "warn",
                "logger": "a.b",
                "message": "x: é\n2",
            },
        )
        self.assertEqual(self.line()["level"], "info")

    def test_failure(self) -> None:
        """What failed by a bug has its kind and its traceback apart."""
        events: list[Any] = []
        try:
            raise ZeroDivisionError("mine")
        except ZeroDivisionError:
            Logger("a", observer=events.append).failure("a bug", Failure())
        line = self.line(**events[0])
        self.assertEqual((line["level"], line["message"]), ("critical", "a bug"))
        self.assertEqual(line["error"], "ZeroDivisionError")
        self.assertIn("mine", line["traceback"])


class Command(NetworkCase):
    """C{twist --log-format json iris}."""

    async def test_json(self) -> None:
        """Everything on stderr is such a line; the other format is as before."""
        for arguments, isJson in (((), False), (("--log-format=json",), True)):
            program = startTwist(
                self,
                *arguments,
                "--log-level=info",
                "iris",
                "--event-manager=http://127.0.0.1:1",
                f"--routing-id={RID}",
                env={"IRIS_TOKEN": "canary"},
            )
            await self.until(lambda p=program: "trying again in" in p.stderr)  # type: ignore[misc]
            await program.signal("INT")
            if isJson:
                lines = [json.loads(line) for line in program.stderr.splitlines()]
                self.assertIn(
                    "iris_twisted.fleet.service.IrisRtcService", {x["logger"] for x in lines}
                )
            else:
                self.assertIn("IrisRtcService#info] trying again", program.stderr)
            self.assertNotIn("canary", program.stderr)
