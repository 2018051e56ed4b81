"""
PgBouncer before a PostgreSQL of the tests, on a unix socket; gone with its test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

__all__ = ["MISSING", "PgBouncer"]

MISSING = None if shutil.which("pgbouncer") else "PgBouncer is missing: apt-get install pgbouncer"
# Seconds for a start, which a busy machine may need.
_PATIENCE = 30.0
# Part of the name of its socket, which is in a folder of its own.
_PORT = 6432
_CONFIGURATION = """
[databases]
* = host={server}
[pgbouncer]
unix_socket_dir = {folder}
listen_addr =
listen_port = {port}
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 30
logfile = {folder}/log
"""


class PgBouncer:
    """
    It refuses root, so root runs it as the user C{postgres}.

    @param server: the folder of the server's socket.
    @param mode: when a client's server is given to another client: after its C{session}, or
        each C{transaction}.
    """

    def __init__(self, server: Path, mode: str) -> None:
        # Its path must be short, and open to another user.
        self._folder = Path(tempfile.mkdtemp(prefix="iris-pgb-"))
        words = {"server": server, "folder": self._folder, "port": _PORT, "mode": mode}
        (self._folder / "ini").write_text(_CONFIGURATION.format(**words))
        (self._folder / "users").write_text('"iris" ""\n')
        before = ["setpriv", "--pdeathsig=TERM"]
        if os.geteuid() == 0:
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")
            before += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self._process = subprocess.Popen(
            [*before, "pgbouncer", "-q", str(self._folder / "ini")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        self._awaitStart()

    def _awaitStart(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
                return
            except psycopg.OperationalError as e:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = self._folder / "log"
                    words = log.read_text() if log.exists() else ""
                    raise AssertionError(f"PgBouncer does not start: {e}\n{words}") from None
                # It says nowhere but in its log when it is ready.
                time.sleep(0.02)

    def conninfo(self, database: str) -> str:
        """What libpq needs to reach a database through it."""
        return f"host={self._folder} port={_PORT} user=iris dbname={database}"

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
