"""
Ending the process with a status of our own. C{twist} has no way to say one: it
ends with 0, or with the signal that stopped it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from twisted.application.runner import _exit as statuses

from ..errors import ConnectionFailed, IncorrectParameters, IrisError, NotSupported, TokenRefused

__all__ = ["ExitStatus", "statusFor", "stopWith"]

ExitStatus = statuses.ExitStatus


def statusFor(error: IrisError) -> int:
    """The status of sysexits.h that says what kind of error ended the program."""
    for kind, status in (
        (TokenRefused, ExitStatus.EX_NOPERM),
        (IncorrectParameters, ExitStatus.EX_USAGE),
        (NotSupported, ExitStatus.EX_PROTOCOL),
        (ConnectionFailed, ExitStatus.EX_UNAVAILABLE),
    ):
        if isinstance(error, kind):
            return int(status)
    return int(ExitStatus.EX_UNAVAILABLE)


def stopWith(reactor: Any, status: int) -> None:
    """
    Stop the reactor, and end the process with a status when all services stopped.
    """

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            # It may be closed, or its disk be full.
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(status)

    reactor.addSystemEventTrigger("after", "shutdown", leave)
    reactor.callWhenRunning(reactor.stop)
