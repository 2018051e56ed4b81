"""
What operators and their programs look at over HTTP: health, readiness, metrics.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.web.resource import Resource
from twisted.web.server import Request

from ..errors import IncorrectParameters
from ..net.http.serving import Connections, QuietSite
from ..net.loopback import isLoopback

__all__ = ["Health", "OperatorSite", "checkEndpoint", "isEncrypted"]


def isEncrypted(text: str) -> bool:
    """Whether an endpoint speaks TLS."""
    return text.partition(":")[0] in ("ssl", "tls")


def _refuse(name: str, text: str) -> IncorrectParameters:
    return IncorrectParameters(
        f"{name} on {text} can be reached from other machines, and needs --operators FILE "
        f"(twist iris-operator makes it), or --open-to-all where a proxy asks who may"
    )


def checkEndpoint(text: str, reactor: Any = None, onlyHere: str | None = None) -> Any:
    """
    @param text: an endpoint, as Twisted writes it.
    @param onlyHere: what listens there, when other machines must not reach it. An endpoint
        that does not say where it listens is told only when it does.
    @raise IncorrectParameters: when it is none, or other machines can reach it.
    """
    if text.startswith("unix:") and ":mode=" not in text:
        # Twisted's default lets everybody in.
        text += ":mode=600"
    try:
        endpoint = serverFromString(reactor, text)
    except Exception as e:
        # Plugins parse it, and raise what they like.
        raise IncorrectParameters(
            f"{text!r} is no endpoint such as tcp:9100:interface=127.0.0.1: {e}"
        ) from None
    interface = getattr(endpoint, "_interface", None)
    if onlyHere is not None and interface is not None and not isLoopback(interface):
        raise _refuse(onlyHere, text)
    return endpoint


class Health(Resource):
    """
    Answers 200 or 503, with facts in JSON.

    @param look: gives whether it is well, and the facts.
    """

    isLeaf = True

    def __init__(self, look: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
        super().__init__()
        self._look = look

    def render_GET(self, request: Request) -> bytes:
        well, facts = self._look()
        request.setResponseCode(200 if well else 503)
        request.setHeader("content-type", "application/json")
        request.setHeader("cache-control", "no-store")
        return json.dumps({"ok": well, **facts}, allow_nan=False).encode() + b"\n"


class OperatorSite:
    """
    One site for operators, on its endpoint.

    @param endpoint: where to listen, as Twisted writes it.
    @param root: what to show.
    @param onlyHere: the option that it is called by, when other machines must not reach it.
    """

    def __init__(
        self, reactor: Any, endpoint: str, root: Resource, onlyHere: str | None = None
    ) -> None:
        self._endpoint = endpoint
        self._onlyHere = onlyHere
        self._listener = checkEndpoint(endpoint, reactor)
        self._connections = Connections(QuietSite(root, reactor=reactor))
        self._port: Any = None

    async def listen(self) -> str:
        """
        @return: the URL, with a slash at its end; where the address has none, a Unix socket for
            one, the endpoint and a space, so that a path behind it stands apart.
        @raise IncorrectParameters: when nothing can listen there, or other machines can reach it
            that must not.
        """
        try:
            self._port = await self._listener.listen(self._connections)
        except (CannotListenError, OSError) as e:
            reason = e.socketError if isinstance(e, CannotListenError) else e
            raise IncorrectParameters(
                f"cannot listen on {self._endpoint}: {reason}; is another program using it?"
            ) from None
        address = self._port.getHost()
        host = getattr(address, "host", None)
        here = isinstance(address, UNIXAddress) or (host is not None and isLoopback(host))
        if self._onlyHere is not None and not here:
            # In the turn in which it began to listen: nobody was let in yet.
            await self.stop()
            raise _refuse(self._onlyHere, self._endpoint)
        if host is None:
            return f"{self._endpoint} "
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if isEncrypted(self._endpoint) else "http"
        return f"{scheme}://{shown}:{address.port}/"

    def closeConnections(self) -> None:
        """Cut every connection; the port stays open, so that whoever still may connects again."""
        self._connections.abortAll()

    async def stop(self) -> None:
        """Close the port and every connection."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._connections.abortAll()
