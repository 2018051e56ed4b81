"""
A RabbitMQ of the tests' own: its node, cookie, epmd, folder and ports are nobody else's.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pika
import trustme
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from .prosody import freePort

__all__ = ["SKIP", "RabbitMq", "rabbitMq"]

# Those on the path are Debian's wrappers, which change to a user of their own.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_SERVER = shutil.which("rabbitmq-server", path=str(_PROGRAMS))
_EPMD = shutil.which("epmd")
SKIP = None if _SERVER and _EPMD else "RabbitMQ is missing: apt-get install rabbitmq-server"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what was started in a session of its own, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class RabbitMq:
    """
    One that runs, until Python ends: starting it takes ten seconds.

    @ivar port: for AMQP.
    @ivar tls: the same by TLS; C{caFile} vouches for its certificate, and for those that it
        takes, which C{ca} issues.
    """

    def __init__(self) -> None:
        self._home = home = Path(tempfile.mkdtemp(prefix="iris-rabbitmq-"))
        self.port, self.tls, distribution, names = (freePort() for _ in range(4))
        self.ca = ca = trustme.CA()
        issued = ca.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(str(home / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(home / "server.crt"))
        self.caFile = str(home / "ca.pem")
        ca.cert_pem.write_to_path(self.caFile)
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls}\n"
            f"ssl_options.cacertfile = {self.caFile}\n"
            f"ssl_options.certfile = {home}/server.crt\n"
            f"ssl_options.keyfile = {home}/server.key\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = false\n"
            "disk_free_limit.absolute = 1MB\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            # Of the cookie.
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"iris-{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
            ),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._output = home / "output"
        self._log = self._output.open("wb")
        # Otherwise the server would start one that outlives it.
        self._epmd = self._spawn(str(_EPMD), "-address", "127.0.0.1", "-port", str(names))
        atexit.register(self._remove)
        self.start()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        # Not by the reactor, which has to be clean after each test.
        return subprocess.Popen(
            command,
            env=self._environment,
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def start(self) -> None:
        """Start it; L{ready} waits for it."""
        self._said = self._output.stat().st_size
        self._server = self._spawn(str(_SERVER))

    def kill(self) -> None:
        """As if the machine had lost its power."""
        _end(self._server)

    async def stop(self) -> None:
        """As a service manager would."""
        os.killpg(self._server.pid, signal.SIGTERM)
        while self._server.poll() is None:
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        self.kill()

    async def ready(self) -> None:
        """Wait until it listens."""
        while b"Server startup complete" not in self._output.read_bytes()[self._said :]:
            if self._server.poll() is not None:
                raise AssertionError(self._output.read_text()[self._said :])
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]

    async def control(self, *arguments: str) -> str:
        """Run rabbitmqctl, which must succeed; gives its output."""
        return await self._run("rabbitmqctl", *arguments)

    async def management(self) -> int:
        """Let its plugin for rabbitmqadmin run, on loopback; gives the port."""
        port = freePort()
        where = f'[{{ip, "127.0.0.1"}}, {{port, {port}}}]'
        await self.control(
            "eval", f"application:set_env(rabbitmq_management, tcp_config, {where})."
        )
        await self._run("rabbitmq-plugins", "enable", "rabbitmq_management")
        return port

    async def _run(self, program: str, *arguments: str) -> str:
        out, err, status = await getProcessOutputAndValue(
            str(_PROGRAMS / program),
            arguments,
            env=self._environment,
            path=str(self._home),
            reactor=reactor,
        )
        if status:
            raise AssertionError(f"{program} {arguments[0]}: {(out + err).decode()}")
        return out.decode()

    def channel(self) -> Any:
        """pika's own blocking one, as guest; its C{connection} has to be closed."""
        parameters = pika.ConnectionParameters("127.0.0.1", self.port)
        return pika.BlockingConnection(parameters).channel()

    def drain(self, queue: str) -> list[Any]:
        """Take all messages of a queue: method, properties and body of each."""
        channel = self.channel()
        found = []
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                channel.connection.close()
                return found
            found.append((method, properties, body))

    def _remove(self) -> None:
        _end(self._server)
        _end(self._epmd)
        self._log.close()
        shutil.rmtree(self._home, ignore_errors=True)


@lru_cache
def rabbitMq() -> RabbitMq:
    """The one of all tests."""
    return RabbitMq()
