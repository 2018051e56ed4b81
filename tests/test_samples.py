"""
The output that pages show is what the programs say.
"""

from __future__ import annotations

import json
import re
import shlex

from iris_twisted.cluster.overview import statusLines

from .interop.prosody import freePort
from .network import RID, NetworkCase
from .processes import startTwist
from .samples import differing, sample, shape
from .test_documentation import DOCS, PAGES, fences
from .test_packaging import ROOT

# Each block of output, by its page and the first words of it: who compares it.
COMPARED = {
    ("README.md", "No event manager was named"): "Samples.test_demonstration",
    ("README.md", "All accounts are connected"): "cluster.test_demo",
    ("docs/how-to/cluster.md", "Starting a PostgreSQL"): "cluster.test_demo",
    ("docs/how-to/cluster.md", "MEMBER"): "Samples.test_clusterStatus",
    ("docs/how-to/terminal.md", "ok "): "Samples.test_onlineCheck",
    ("docs/how-to/test-your-application.md", "tea  rings"): "Samples.test_call",
    ("docs/production/logs.md", "2026-"): "Samples.test_logs",
    ("docs/production/logs.md", '{"time"'): "Samples.test_logs",
}
# Blocks that are no output of ours.
OTHERS = {
    ("README.md", "5 connection"): "a drawing",
    ("docs/how-to/brokers.md", "# /etc/iris-twisted/kafka.conf"): "a file: sinks.test_kafka",
    ("docs/how-to/coming-from-iris-js-sdk.md", "// before"): "JavaScript",
    ("docs/how-to/console.md", "twist iris --console ssl:"): "a part of a command",
    ("docs/how-to/sink-plugin.md", "from irc_sink import"): "a plugin's module",
    ("docs/production/index.md", "   "): "a drawing",
    ("examples/iris-twisted-mqtt/README.md", "listener 8883"): "a file: interop.test_mosquitto",
}


class Samples(NetworkCase):
    """Each by the program."""

    timeout = 60

    async def test_demonstration(self) -> None:
        """What the README shows of the first command."""
        program = startTwist(self, "iris")
        await self.until(lambda: program.stdout.count("Call:") > 1 or program.ended.called)
        self.assertEqual(
            differing(sample("README.md", "No event manager"), program.stdout), [], program.stdout
        )

    async def test_onlineCheck(self) -> None:
        """The page about the terminal shows a websocket server that is not there."""
        sandbox = await self.sandbox()
        nobody = {"websocket_server": f"127.0.0.1:{freePort()}", "websocket_server_token": "WT"}
        nobody["websocket_server_token_expiry_time"] = "4102444800"
        sandbox.answerDiscovery(200, json.dumps(nobody).encode())
        options = ("--event-manager", sandbox.url, "--routing-id", RID, "--check=online")
        program = startTwist(self, "iris", *options, env={"IRIS_TOKEN": "any"})
        self.assertEqual(await program.ended, 69, program.stderr)
        shown = sample("docs/how-to/terminal.md", "ok ")
        self.assertEqual(differing(shown, program.stdout), [], program.stdout)

    async def test_call(self) -> None:
        """The command of the page about tests says what stands below it."""
        sandbox = await self.sandbox()
        connection = self.connection()
        await connection.connect(sandbox.token(RID), RID, sandbox.url)
        (command,) = fences(DOCS / "how-to" / "test-your-application.md", "sh")
        twist, name, *arguments = shlex.split(command)
        self.assertEqual(twist, "twist")
        program = startTwist(self, name, "--sandbox", sandbox.url, *arguments)
        self.assertEqual(await program.ended, 0, program.stderr)
        shown = sample("docs/how-to/test-your-application.md", "tea  rings")
        self.assertEqual(program.stdout.splitlines(), shown)

    async def test_logs(self) -> None:
        """The lines of the page about logs, as text and as JSON."""
        sandbox = await self.sandbox()
        sandbox.answerDiscovery(500, b"<html>")
        options = ("iris", "--event-manager", sandbox.url, "--routing-id", RID)
        for first, form in (("2026-", "text"), ('{"time"', "json")):
            (shown,) = sample("docs/production/logs.md", first)
            twist = ("--log-level", "info", "--log-format", form)
            program = startTwist(self, *twist, *options, env={"IRIS_TOKEN": "any"})
            await self.until(lambda p=program: "trying again" in p.stderr or p.ended.called)  # type: ignore[misc]
            await program.signal("KILL")
            said = [shape(line) for line in program.stderr.splitlines()]
            self.assertIn(shape(shown), said)

    def test_clusterStatus(self) -> None:
        """The table of the page about clusters is what its numbers give."""
        shown = sample("docs/how-to/cluster.md", "MEMBER")
        rows = [re.split(r" {2,}", line) for line in shown[1:-1]]
        members = []
        for name, state, places, share, connected, capacity, zone, renewed, host in rows:
            member = {"name": name, "state": state, "zone": zone, "host": host.split()[0]}
            member["renewed"] = float(renewed.split()[0])
            member["process"] = int(host.split("(")[1].rstrip(")"))
            numbers = {"places": places, "share": share, "connected": connected}
            member |= {k: int(v) for k, v in {**numbers, "capacity": capacity}.items()}
            members.append(member)
        status = {"members": members, "accounts": 1000, "places": 2000, "waiting": 0, "moving": 0}
        self.assertEqual(statusLines({**status, "shortage": 0}), shown)
        self.assertEqual(sum(member["places"] for member in members), status["places"])

    def test_all(self) -> None:
        """Every block of output is compared with the program's, here, there or in the tutorial's test."""
        found = set()
        pages = [*PAGES, ROOT / "README.md", *(ROOT / "examples").rglob("*.md")]
        for page in pages:
            name = str(page.relative_to(ROOT))
            if name == "docs/tutorial.md":
                continue  # test_documentation.Tutorial
            for block in fences(page, "text"):
                known = [
                    (p, first)
                    for p, first in {**COMPARED, **OTHERS}
                    if p == name and block.startswith(first)
                ]
                self.assertEqual(len(known), 1, f"{name}: {block}")
                found.update(known)
        self.assertEqual(found, {*COMPARED, *OTHERS})
