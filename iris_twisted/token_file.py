"""
An iris token in a file, read again when the file changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from .addresses import checkToken
from .errors import IncorrectParameters

__all__ = ["TokenFile", "readToken"]

_LONGEST = 64 * 1024


def readToken(path: str) -> str:
    """
    The token in a file, without the white space around it.

    @raise IncorrectParameters: naming the file and what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise IncorrectParameters(f"the token file {path!r} cannot be read: {reason}") from None
    if len(content) > _LONGEST:
        raise IncorrectParameters(f"the token file {path!r} is too large to hold a token")
    return checkToken(f"the token in {path!r}", content.decode("utf-8", "replace").strip())


class TokenFile(Service):
    """
    Watches a token file.

    @param changed: called with each new token.
    @param interval: seconds between looks.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, path: str, changed: Callable[[str], None], interval: float = 2.0
    ) -> None:
        self._path = path
        self._changed = changed
        self._interval = interval
        self._seen: object = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def startService(self) -> None:
        super().startService()
        self._seen = self._signature()
        self._looking.start(self._interval, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    def _signature(self) -> object:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _look(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            token = readToken(self._path)
        except IncorrectParameters as e:
            self._log.warn("{reason}; the old token stays", reason=e.message)
        else:
            self._changed(token)
