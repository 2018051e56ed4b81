"""
A PostgreSQL of one's own, for demonstrations: in a folder of its own, on a unix socket and no
TCP. It ends with its process, however that ends.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import time
from contextlib import suppress

from ..errors import DatabaseFailed, IncorrectParameters
from .conninfo import connect

__all__ = ["PrivatePostgreSQL", "dyingWithUs"]

# Seconds for a start, which a busy machine may need.
_PATIENCE = 30.0
_OPTIONS = ("--auth=trust", "--username=iris", "--encoding=UTF8", "--locale=C", "--no-sync")


def dyingWithUs(signal: str = "TERM", user: str | None = None) -> list[str]:
    """
    What to put before a command, so that it gets a signal when this process is killed.

    @param user: whom it shall run as; C{None} for the same.
    """
    if not shutil.which("setpriv"):
        return []
    # The signal is forgotten when a process changes its user after it asked for it.
    another = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    return ["setpriv", *another, f"--pdeathsig={signal}"]


def _binaries() -> str:
    """Where its programs are; Debian has them on nobody's path."""
    folders = glob.glob("/usr/lib/postgresql/*/bin")
    for folder in sorted(folders, key=lambda path: int(path.split("/")[4].partition(".")[0])):
        if os.path.exists(f"{folder}/initdb"):
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise IncorrectParameters(
            "PostgreSQL is not installed: apt-get install postgresql, or whatever your system "
            "calls it"
        )
    return os.path.dirname(found)


class PrivatePostgreSQL:
    """
    All methods wait: to be called in a thread, or where that harms nobody.

    @param folder: there already, empty; its path is short, as a socket's must be.
    @raise IncorrectParameters: when PostgreSQL is not installed.
    @ivar conninfo: where it is.
    """

    def __init__(self, folder: str) -> None:
        self._binaries = _binaries()
        self._folder = folder
        self._data = os.path.join(folder, "data")
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        self.conninfo = f"host={folder} user=iris dbname=postgres"

    def start(self) -> None:
        """
        @raise IncorrectParameters: with what it says when it does not start.
        """
        if os.geteuid() == 0:
            # It refuses root.
            try:
                entry = pwd.getpwnam("postgres")
            except KeyError:
                raise IncorrectParameters(
                    "PostgreSQL refuses to be run by root, and there is no user postgres"
                ) from None
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._user = "postgres"
        initdb = [os.path.join(self._binaries, "initdb"), *_OPTIONS, "-D", self._data]
        done = subprocess.run(initdb, capture_output=True, text=True, cwd="/", user=self._user)
        if done.returncode:
            words = " ".join(done.stderr.split())
            raise IncorrectParameters(f"PostgreSQL's initdb failed: {words}")
        before = dyingWithUs("INT", self._user)
        command = [
            *before,
            os.path.join(self._binaries, "postgres"),
            *("-D", self._data, "-k", self._folder, "-c", "listen_addresses="),
        ]
        with open(os.path.join(self._folder, "postgresql.log"), "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=None if before else self._user,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connect(self.conninfo, "start").close()
                return
            except DatabaseFailed as e:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise IncorrectParameters(
                        f"PostgreSQL does not start: {e.message}; see {log.name}"
                    ) from None
            # It says nowhere but in its log when it is ready.
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and remove its folder."""
        if self._process is not None:
            # Its fast end: whoever is connected is cut off.
            with suppress(ProcessLookupError):
                self._process.send_signal(2)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
