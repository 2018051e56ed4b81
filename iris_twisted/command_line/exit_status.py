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
from twisted.internet.error import ReactorNotRunning

from ..errors import IncorrectParameters, IrisError, NotSupported, TokenRefused

__all__ = ["ExitStatus", "statusFor", "stopWith"]

ExitStatus = statuses.ExitStatus


def statusFor(error: IrisError) -> int:
    """
    The status of sysexits.h that says what kind of error ended the program: C{EX_UNAVAILABLE} for
    all but those named here.
    """
    for kind, status in (
        (TokenRefused, ExitStatus.EX_NOPERM),
        (IncorrectParameters, ExitStatus.EX_USAGE),
        (NotSupported, ExitStatus.EX_PROTOCOL),
    ):
        if isinstance(error, kind):
            return int(status)
    return int(ExitStatus.EX_UNAVAILABLE)


def stopWith(reactor: Any, status: int) -> None:
    """
    Stop the reactor, and end the process with a status when all services stopped. Where it is
    stopping already, only the status counts; of several, the first.
    """

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            # It may be closed, its disk be full, or nobody read there any more.
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(status)

    def stop() -> None:
        with suppress(ReactorNotRunning):
            reactor.stop()

    reactor.addSystemEventTrigger("after", "shutdown", leave)
    reactor.callWhenRunning(stop)
