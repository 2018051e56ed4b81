"""
A Prosody of the test's own, on free loopback ports, gone when the test is.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from iris_twisted.discovery.server_info import ServerInfo
from iris_twisted.interfaces import IEventManager

from ..network import NetworkCase
from ..processes import Program

__all__ = ["PASSWORD", "Fixed", "ProsodyCase"]

HERE = Path(__file__).resolve().parent
PROSODY = shutil.which("prosody")
PASSWORD = "secret-of-alice-CANARY"


def freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@implementer(IEventManager)
class Fixed:
    """Discovery that always names the same server."""

    def __init__(self, server: str) -> None:
        self._info = ServerInfo(server, PASSWORD, "1")

    def discover(self, *_: str) -> Deferred[ServerInfo]:
        return succeed(self._info)


class ProsodyCase(NetworkCase):
    """
    @ivar http: the port for websockets; C{c2s}: for XMPP over TCP; C{tls}: for XMPP over
        direct TLS, whose certificate C{caFile} vouches for.
    """

    timeout = 120
    skip = None if PROSODY else "Prosody is missing: apt-get install prosody"

    async def prosody(self, *hosts: str) -> None:
        """With the configuration of these tests, and two users on each host."""
        data = self._data()
        self.tls = freePort()
        ca = trustme.CA()
        issued = ca.issue_cert("127.0.0.1", "sha1.test")
        issued.private_key_pem.write_to_path(str(data / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        self.caFile = str(data / "ca.pem")
        ca.cert_pem.write_to_path(self.caFile)
        config = (HERE / "prosody.cfg.lua").read_text()
        for word, value in (
            ("DATA", data),
            ("HTTP", self.http),
            ("C2S", self.c2s),
            ("TLS", self.tls),
            ("MODULES", HERE.parent.parent / "docs" / "prosody"),
        ):
            config = config.replace(f"@{word}@", str(value))
        self.config = data / "prosody.cfg.lua"
        self.config.write_text(config)
        self.env: dict[str, str] = {}
        self._register(*(f"{user}@{host}" for host in hosts for user in ("alice", "bob")))
        await self.startProsody()

    async def selfHosted(self, *users: str) -> None:
        """With the configuration that the documentation tells people to use."""
        self.config = HERE.parent.parent / "docs" / "prosody" / "prosody.cfg.lua"
        self.env = {
            "IRIS_DATA": str(self._data()),
            "IRIS_HTTP_PORT": str(self.http),
            "IRIS_XMPP_PORT": str(self.c2s),
            # As a shell would have it.
            "PWD": str(HERE.parent.parent),
            "IRIS_AS_ROOT": "yes",
        }
        self._register(*users)
        await self.startProsody()

    def _data(self) -> Path:
        data = Path(self.mktemp()).absolute()
        data.mkdir(parents=True)
        self.http, self.c2s = freePort(), freePort()
        return data

    def _register(self, *users: str) -> None:
        for user in users:
            local, _, host = user.partition("@")
            command = ["prosodyctl", "--root", "--config", str(self.config), "register"]
            subprocess.run(
                [*command, local, host, PASSWORD],
                check=True,
                capture_output=True,
                env={"PATH": "/usr/bin:/bin", **self.env},
            )

    async def startProsody(self) -> None:
        """Start it, again or for the first time; it listens then."""
        self.server = Program()
        arguments = [str(PROSODY), "--root", "-F", "--config", str(self.config)]
        reactor.spawnProcess(  # type: ignore[attr-defined]
            self.server, str(PROSODY), arguments, env={"PATH": "/usr/bin:/bin", **self.env}
        )
        self.addCleanup(self._stopProsody)
        await self.server.until("Activated service 'https' on no ports")

    def _stopProsody(self) -> Deferred[int] | None:
        return None if self.server.ended.called else self.server.signal("KILL")

    async def sender(self, jid: str) -> Program:
        """An XMPP client that is not ours, logged in as this bare or full JID."""
        program = Program()
        script = str(HERE / "slixmpp_sender.py")
        arguments = [sys.executable, script, str(self.c2s), jid, PASSWORD]
        reactor.spawnProcess(program, sys.executable, arguments, env=None)  # type: ignore[attr-defined]
        self.addCleanup(lambda: None if program.ended.called else program.signal("KILL"))
        await program.until("up")
        return program

    @staticmethod
    def ring(
        sender: Program,
        to: str | None,
        first: int = 0,
        count: int = 1,
        pause: float = 0.0,
        room: str = "-",
        server: str = "-",
    ) -> None:
        """Let the sender place calls, numbered from C{first}."""
        sender.transport.write(f"ring {to} {first} {count} {pause} {room} {server}\n".encode())
