"""
The alerting rules and the dashboard, by Prometheus itself, which scrapes a running daemon.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import treq
import yaml
from twisted.internet import reactor
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import deferLater

from ..network import RID, NetworkCase
from ..processes import Program, startTwist
from ..test_documentation import DOCS
from .prosody import freePort

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
FILES = DOCS / "monitoring"
# What a quiet daemon has nothing of: an empty answer is right.
QUIET = {"dead", "forbidden"}


class Rules(NetworkCase):
    """By promtool."""

    skip = None if PROMTOOL else "promtool is missing: apt-get install prometheus"

    def promtool(self, *arguments: str) -> None:
        ran = subprocess.run(
            [str(PROMTOOL), *arguments], capture_output=True, text=True, cwd=FILES, timeout=60
        )
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_check(self) -> None:
        """The rules are rules."""
        self.promtool("check", "rules", "iris-alerts.yml")

    def test_fire(self) -> None:
        """They fire when they should, and not before, and say what the page says."""
        self.promtool("test", "rules", "iris-alerts.test.yml")

    def test_page(self) -> None:
        """Each alert is on the page, with its severity, and names a chapter of the runbook, or the log."""
        page = (DOCS / "production" / "monitoring.md").read_text(encoding="utf-8")
        runbook = (DOCS / "production" / "runbook.md").read_text(encoding="utf-8").lower()
        rules = yaml.safe_load((FILES / "iris-alerts.yml").read_text())["groups"][0]["rules"]
        shown = dict(re.findall(r"^\| `(Iris\w+)` \| .+ \| (\w+) \|$", page, re.M))
        self.assertEqual(shown, {rule["alert"]: rule["labels"]["severity"] for rule in rules})
        for rule in rules:
            named = re.search(r"See the runbook: ([^.,]+)", rule["annotations"]["description"])
            if named is not None:
                self.assertRegex(runbook, rf"\n## {re.escape(named[1].lower())}")


class Scraped(NetworkCase):
    """By a Prometheus that scrapes a daemon."""

    timeout = 120
    skip = None if PROMETHEUS else "prometheus is missing: apt-get install prometheus"

    async def prometheus(self, target: str) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(FILES / "iris-alerts.yml")],
            "scrape_configs": [{"job_name": "iris", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        address = f"127.0.0.1:{freePort()}"
        self.url = f"http://{address}/api/v1"
        self.server = Program()
        arguments = [
            str(PROMETHEUS),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        reactor.spawnProcess(self.server, str(PROMETHEUS), arguments, env={})  # type: ignore[attr-defined]
        self.addCleanup(self.server.signal, "KILL")

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """What it answers; it must be no error."""
        while True:
            try:
                answer = await treq.get(
                    f"{self.url}/query", params={"query": expression}, persistent=False
                )
            except ConnectionRefusedError:
                self.assertFalse(self.server.ended.called, self.server.stderr)
                continue
            found = json.loads(await answer.text())
            self.assertEqual(found["status"], "success", f"{expression}: {found}")
            result: list[dict[str, Any]] = found["data"]["result"]
            return result

    async def until_(self, expression: str) -> None:
        """Wait until something comes of it."""
        while not await self.query(expression):
            await deferLater(reactor, 0.2)

    def targets(self) -> list[str]:
        """The dashboard's queries, with its variables filled in as Grafana does."""
        board = json.loads((FILES / "iris-dashboard.json").read_text())
        return [
            target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s")
            for panel in board["panels"]
            for target in panel["targets"]
        ]

    async def test_queries(self) -> None:
        """Each query of the dashboard gives something; each alert's is one; none fires."""
        sandbox = await self.sandbox()
        metrics = f"127.0.0.1:{freePort()}"
        options = ("--metrics", f"tcp:{metrics.partition(':')[2]}:interface=127.0.0.1")
        connect = ("--event-manager", sandbox.url, "--routing-id", RID)
        program = startTwist(
            self, "iris", *connect, *options, "--sink", "file:" + str(Path(self.mktemp()).absolute()),
            "--spool", str(Path(self.mktemp()).absolute()), env={"IRIS_TOKEN": sandbox.token(RID)},
        )  # fmt: skip
        await program.until("Connected:")
        await self.prometheus(metrics)
        await self.until_('iris_connections{state="connected"} == 1')
        call = sandbox.placeCall(RID)
        await self.until(lambda: call.state == "acknowledged")
        await self.until_("rate(iris_acknowledgement_seconds_count[10s]) > 0")
        await self.until_("rate(iris_ping_round_trip_seconds_count[10s]) > 0")
        self.assertGreater(len(self.targets()), 20)
        for expression in self.targets():
            if QUIET & set(re.findall(r"\w+", expression)):
                await self.query(expression)
            else:
                # A busy machine may have missed a scrape.
                await self.until_(expression)
        rules = yaml.safe_load((FILES / "iris-alerts.yml").read_text())["groups"][0]["rules"]
        for rule in rules:
            # Without its threshold it has a value; where nothing happened, nothing.
            await self.query(rule["expr"])
            bare = re.sub(r"\s[<>=]+ [\d.]+$", "", rule["expr"].strip())
            self.assertNotEqual(bare, rule["expr"].strip())
            await self.query(bare)
        self.assertEqual(await self.query('ALERTS{alertstate="firing"}'), [])
