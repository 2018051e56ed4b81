"""
Iris tokens in files, read again when the files change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..errors import IncorrectParameters
from ..net.secret_files import readToken
from ..net.steady_time import steadyTime

__all__ = ["TokenFiles"]


class TokenFiles(Service):
    """
    Watches token files, all of them by one timer.

    @param interval: seconds between looks.
    """

    _log = Logger()

    def __init__(self, reactor: Any, interval: float = 2.0) -> None:
        self._interval = interval
        self._files: dict[str, tuple[list[Callable[[str], None]], object]] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = steadyTime(reactor)

    def current(self, path: str, old: str) -> tuple[str, object]:
        """
        What stands in a file now, to be watched from there.

        @param old: what stood there.
        @return: the token, C{old} where there is none that can be used; and for L{watch},
            what was seen.
        """
        seen = self._signature(path)
        try:
            return readToken(path), seen
        except IncorrectParameters as e:
            self._log.warn("{reason}; the old token stays", reason=e.message)
            return old, seen

    def watch(
        self, path: str, changed: Callable[[str], None], seen: object = None
    ) -> Callable[[], None]:
        """
        @param changed: called with each new token of this file, like all others that were
            given for it.
        @param seen: from where on, see L{current}; C{None} for from now on.
        @return: ends that.
        """
        known, seen = self._files.get(path, ([], seen or self._signature(path)))
        self._files[path] = [*known, changed], seen

        def unwatch() -> None:
            watchers, seen = self._files.pop(path)
            if watchers != [changed]:
                self._files[path] = [w for w in watchers if w is not changed], seen

        return unwatch

    def startService(self) -> None:
        super().startService()
        self._looking.start(self._interval, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    @staticmethod
    def _signature(path: str) -> object:
        try:
            status = os.stat(path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _look(self) -> None:
        for path, (watchers, seen) in list(self._files.items()):
            signature = self._signature(path)
            if signature == seen:
                continue
            self._files[path] = watchers, signature
            try:
                token = readToken(path)
            except IncorrectParameters as e:
                self._log.warn("{reason}; the old token stays", reason=e.message)
                continue
            for changed in watchers:
                # One that fails, or ends another, is nothing to the others.
                if changed not in self._files.get(path, ([], None))[0]:
                    continue
                try:
                    changed(token)
                except Exception:
                    self._log.failure("a new token in {path!r} was not taken", path=path)
