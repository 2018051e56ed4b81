"""
The programs of a benchmark: the firehose and the clients, each a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Broker", "Clients", "Firehose", "Program"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Seconds for an end, which a broker may need.
_PATIENCE = 30.0


class Program:
    """A process that is told lines and answers lines; it is gone at the end of C{with}."""

    def __init__(self, command: list[str], errors: bool = False, folder: Path = ROOT) -> None:
        """
        @param errors: whether it answers on stderr.
        """
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=null if errors else pipe,
            stderr=pipe if errors else null,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._lines: Any = self._process.stderr if errors else self._process.stdout

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def tell(self, *words: object) -> None:
        """Give it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """
        Its next line.

        @raise RuntimeError: when it ended instead.
        """
        text: str = self._lines.readline()
        if not text:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return text.strip()

    def value(self) -> Any:
        """The JSON of its next line that is some; others may be warnings."""
        while (line := self.line())[:1] not in ("{", "["):
            pass
        return json.loads(line)


class Firehose(Program):
    """
    @ivar url: its event manager; C{caFile}: with TLS; C{tcp}: the port for XMPP over TCP.
    """

    def __init__(self, tls: bool = False) -> None:
        super().__init__([sys.executable, "-m", "benchmarks.firehose", *(["--tls"] * tls)])
        about = self.value()
        self.url, self.caFile, self.tcp = about["url"], about["caFile"], about["tcp"]


class Broker(Program):
    """
    What calls are kept in or given to; it is gone at the end of C{with}, all of it.

    @ivar where: it is, as sinks and stores are told.
    @ivar missing: why there is none, or C{None}.
    """

    def __init__(self, name: str) -> None:
        super().__init__([sys.executable, "-m", "benchmarks.broker", name])
        about = self.value()
        self.where: str = about.get("where", "")
        self.missing: str | None = about.get("missing")

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *about: object) -> None:
        # It has children, which it ends itself.
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_PATIENCE)
        super().__exit__(*about)


class Clients:
    """
    The clients to compare with.

    @ivar missing: which are left out, and why.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._node: Path | None = self._modules()
        if not self._has("slixmpp"):
            self.missing["slixmpp"] = "pip install slixmpp"

    @staticmethod
    def _has(module: str) -> bool:
        return (
            subprocess.run(
                [sys.executable, "-c", f"import {module}"], capture_output=True
            ).returncode
            == 0
        )

    def _modules(self) -> Path | None:
        """The folder with the packages from npm and our scripts."""
        if not (shutil.which("node") and shutil.which("npm")):
            for name in ("@xmpp/client", "iris-js-sdk"):
                self.missing[name] = "Node is missing"
            return None
        folder = Path(tempfile.gettempdir()) / f"iris-twisted-benchmarks-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for script in (
            *(HERE / "clients").glob("*.js*"),
            ROOT / "tests" / "interop" / "javascript" / "driver.js",
        ):
            shutil.copy(script, folder)
        if not (folder / "node_modules" / "iris-js-sdk").exists():
            install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--silent"]
            subprocess.run(install, cwd=folder, check=True)
        return folder

    def start(self, name: str, firehose: Firehose, count: int) -> Program:
        """
        @param name: C{raw Autobahn}, C{@xmpp/client}, C{iris-js-sdk}, C{slixmpp}, or
            C{iris-twisted} with C{, } and C{framed}, C{no XEP-0198}, C{without TRICK}.
        """
        url = firehose.url
        if name in ("@xmpp/client", "iris-js-sdk"):
            assert self._node is not None
            script = "xmpp_client.js" if name == "@xmpp/client" else "iris_js_sdk.js"
            return Program(["node", script, url, str(count)], errors=True, folder=self._node)
        module, *options = name.split(", ")
        arguments: list[str] = []
        if module == "iris-twisted":
            settings = {"streamManagement": "no XEP-0198" not in options}
            settings |= {"dialect": "framed"} if "framed" in options else {}
            tricks = [o.removeprefix("without ") for o in options if o.startswith("without ")]
            arguments = [json.dumps(settings), *tricks]
        elif module == "slixmpp":
            url = f"tcp://127.0.0.1:{firehose.tcp}"
        modules = {
            "raw Autobahn": "raw_autobahn",
            "iris-twisted": "ours",
            "slixmpp": "slixmpp_client",
        }
        python = [sys.executable, "-m", f"benchmarks.clients.{modules[module]}"]
        return Program([*python, url, str(count), *arguments])
