"""
Whom the console answers at all: who asked for this machine, and for no other's name.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from twisted.web.resource import Resource
from twisted.web.server import Request

from ..net.http.serving import headerOf

__all__ = ["Entrance", "ForThisMachine", "isOurs", "learnFullName"]

# No other host is needed for anything, and nobody may frame or guess.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


# What this machine is called in full, once it is known.
_fullNames: set[str] = set()


def learnFullName() -> threading.Thread:
    """
    Find out what this machine is called in full, for L{isOurs}. That may ask DNS, and take as
    long as DNS does: so in a thread, which keeps no process from ending.
    """
    learning = threading.Thread(
        target=lambda: _fullNames.add(socket.getfqdn().lower()), name="iris-full-name", daemon=True
    )
    learning.start()
    return learning


def isOurs(host: str) -> bool:
    """
    Whether a C{Host} names this machine by an address, or by its own name: any other may be a
    stranger's, whose DNS says that it is here. It asks nobody; see L{learnFullName}.
    """
    name = (urlsplit(f"//{host}").hostname or "").lower()
    if name in ("localhost", socket.gethostname().lower()) or name in _fullNames:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _isForUs(request: Request) -> bool:
    """Whether it asks for this machine; its answer gets the headers of all answers."""
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    try:
        return isOurs(headerOf(request, "host"))
    except ValueError:
        return False


def _turnAway(request: Request) -> bytes:
    request.setResponseCode(403)
    return b"Ask for this machine by its address or name.\n"


class ForThisMachine(Resource):
    """Answers only who asked for this machine."""

    def render(self, request: Request) -> Any:
        return super().render(request) if _isForUs(request) else _turnAway(request)


class Entrance(Resource):
    """
    Before the guard: whoever was led here under another name shall not even be asked for a
    password, which their browser would give to that name again.
    """

    def __init__(self, guard: Resource) -> None:
        super().__init__()
        self._guard = guard

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        if not _isForUs(request):
            return _Away()
        return self._guard.getChildWithDefault(path, request)


class _Away(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return _turnAway(request)
