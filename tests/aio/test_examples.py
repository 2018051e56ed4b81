"""
The examples for asyncio, FastAPI, Flask and Django, run as their users would, against the sandbox.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SkipTest

import iris_twisted

from ..interop.prosody import freePort
from ..network import RID, NetworkCase
from ..processes import Program
from ..test_documentation import Shell
from ..test_packaging import ROOT

EXAMPLES = ROOT / "examples"
# In the place of the global reactor: Twisted may import it, and nobody may use it.
POISONED = """
import runpy, sys, types
import twisted.internet

class Poison(types.ModuleType):
    def __getattr__(self, name):
        raise AssertionError(f"the global reactor's {name} was used")

twisted.internet.reactor = sys.modules["twisted.internet.reactor"] = Poison("reactor")
sys.argv[:1] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class AsyncioExamples(NetworkCase):
    """Real processes, real sockets."""

    timeout = 120

    def start(self, *command: str, **variables: str) -> Program:
        program = Shell()
        package = str(Path(iris_twisted.__file__).parent.parent)
        environment = {
            **os.environ,
            "IRIS_TOKEN": "any",
            "PYTHONPATH": package,
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }
        arguments = [sys.executable, *command]
        reactor.spawnProcess(program, sys.executable, arguments, env=environment)  # type: ignore[attr-defined]
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        return program

    def needs(self, *modules: str) -> None:
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise SkipTest(f"{module} is missing: pip install {module}")

    async def test_asyncio(self) -> None:
        """It shows calls, rejects the anonymous, and Ctrl-C leaves nothing; no global reactor is used."""
        sandbox = await self.sandbox()
        script = str(EXAMPLES / "asyncio_calls.py")
        program = self.start("-c", POISONED, script, sandbox.url, RID)
        await program.until(f"connected as {RID}/")
        kept = sandbox.placeCall(RID, room="tea", sender="bob@example.com")
        rejected = sandbox.placeCall(RID, room="offer", caller="anonymous")
        await program.until("rejected offer")
        self.assertIn("notify tea from bob@example.com, +12155550100", program.stdout)
        await self.until(lambda: kept.state == "acknowledged")
        self.assertEqual(rejected.state, "rejected")
        self.assertEqual(await program.signal("INT"), 130)
        self.assertEqual(sandbox.sessions, [])
        self.assertNotIn("Traceback", program.stdout)

    async def test_asyncioRefused(self) -> None:
        """Without a platform it says why, and ends with 1; without arguments what it wants."""
        script = str(EXAMPLES / "asyncio_calls.py")
        program = self.start(script, "http://127.0.0.1:1", RID)
        self.assertEqual(await program.ended, 1)
        self.assertIn("error -106: the event manager", program.stdout)
        program = self.start(script)
        self.assertEqual(await program.ended, 1)
        self.assertIn("python asyncio_calls.py EVENT-MANAGER ROUTING-ID", program.stdout)

    async def test_fastapi(self) -> None:
        """Under uvicorn: calls are shown while they ring, and rejected; health follows the platform."""
        self.needs("fastapi", "uvicorn")
        loop = "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"
        command = ("uvicorn", "--app-dir", str(EXAMPLES), "--loop", loop, "fastapi_calls:app")
        await self.shown("-m", *command, "--port")
        await self.health()

    async def test_flask(self) -> None:
        """In threads: the same."""
        self.needs("flask")
        await self.shown("-m", "flask", "--app", str(EXAMPLES / "flask_calls.py"), "run", "--port")
        self.assertEqual(await self.program.signal("INT"), 0)
        self.assertEqual(self.platform.sessions, [], "it was closed in an orderly way")

    async def test_django(self) -> None:
        """In Django's threads: the same."""
        self.needs("django")
        await self.shown(str(EXAMPLES / "django_calls.py"))
        self.assertEqual(await self.program.signal("INT"), 0)
        self.assertEqual(self.platform.sessions, [], "it was closed in an orderly way")

    async def shown(self, *command: str) -> None:
        self.platform = sandbox = await self.sandbox()
        port = freePort()
        self.url = f"http://127.0.0.1:{port}"
        self.program = self.start(
            *command, str(port), IRIS_EVENT_MANAGER=sandbox.url, IRIS_ROUTING_ID=RID
        )
        await self.until(lambda: sandbox.sessions or self.program.ended.called)
        first, second, _ = (
            sandbox.placeCall(RID, room=room, sender="bob@example.com", caller="+1555")
            for room in ("one", "two", "three")
        )
        await self.until(lambda: second.state == "acknowledged")
        while [call["room"] for call in await self.ask("GET", "/calls")] != ["one", "two", "three"]:
            pass
        (shown, *_) = await self.ask("GET", "/calls")
        self.assertEqual(shown, {"room": "one", "caller": "bob@example.com", "number": "+1555"})
        self.assertEqual(await self.ask("POST", "/calls/two/reject"), {"rejected": "two"})
        self.assertEqual(second.state, "rejected")
        await self.ask("POST", "/calls/two/reject", status=404)
        sandbox.cancelCall(first.id)
        while len(await self.ask("GET", "/calls")) > 1:
            pass
        sandbox.platform.calls.clear()
        refused = await self.ask("POST", "/calls/three/reject", status=502)
        self.assertIn("item-not-found", json.dumps(refused))

    async def health(self) -> None:
        self.assertEqual(await self.ask("GET", "/health"), {"connection": "connected"})
        self.platform.answerDiscovery(500, b"<html>")
        self.platform.drop()
        await self.until(lambda: not self.platform.sessions)
        while (await treq.get(f"{self.url}/health", persistent=False)).code != 503:
            pass
        self.platform.platform.answer = None
        while (await treq.get(f"{self.url}/health", persistent=False)).code != 200:
            pass
        status = await self.program.signal("INT")
        self.assertIn(status, (0, 130, -2), self.program.stdout)
        self.assertIn("Application shutdown complete", self.program.stdout)
        await self.until(lambda: not self.platform.sessions)

    async def ask(self, method: str, path: str, status: int = 200) -> Any:
        """Ask the application, once it listens."""
        while True:
            try:
                answer = await treq.request(method, self.url + path, persistent=False)
            except ConnectionRefusedError:
                if self.program.ended.called:
                    raise AssertionError(self.program.stdout) from None
                continue
            text = await answer.text()
            self.assertEqual(answer.code, status, text)
            return json.loads(text) if text.startswith(("{", "[")) else text
