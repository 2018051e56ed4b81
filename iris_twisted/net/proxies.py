"""
HTTP proxies: which one, if any, is between here and a host.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

import attrs

from ..errors import IncorrectParameters
from .loopback import isLoopback

__all__ = ["Proxies", "Proxy"]


@attrs.frozen
class Proxy:
    """
    A proxy that opens tunnels (RFC 9110 section 9.3.6).

    @ivar secure: whether it is spoken to by TLS.
    @ivar authorization: the C{Proxy-Authorization} to send, or C{None}; a secret.
    """

    host: str
    port: int
    secure: bool = False
    authorization: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: Any) -> Proxy:
        """
        @param url: C{http://[user:password@]host[:port]}, or C{https://}; without a
            scheme it is http.
        @raise IncorrectParameters: without repeating the URL, which may hold a password.
        """
        if not isinstance(url, str):
            raise IncorrectParameters(f"proxy must be text, not {type(url).__name__}")
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise IncorrectParameters("proxy is no URL") from None
        if parts.scheme not in ("http", "https"):
            raise IncorrectParameters(
                f"proxy must be an http:// or https:// URL, and not {parts.scheme}://"
            )
        if not host or not host.isprintable() or " " in host:
            raise IncorrectParameters("proxy names no host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise IncorrectParameters("proxy must end after host and port")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        secure = parts.scheme == "https"
        return cls(host, port or (443 if secure else 3128), secure, authorization)

    @property
    def name(self) -> str:
        """C{scheme://host:port}: what may be shown of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class Proxies:
    """
    Chooses. A host on loopback is reached by a proxy only if that is on loopback too.

    @param one: the URL of a proxy for all hosts; C{None} for none.
    @raise IncorrectParameters: naming what is wrong with it.
    """

    def __init__(self, one: str | None = None) -> None:
        self._one = None if one is None else Proxy.parse(one)
        self._environment: dict[str, str] = {}

    @classmethod
    def ofEnvironment(cls) -> Proxies:
        """
        As C{http_proxy}, C{https_proxy}, C{all_proxy} and C{no_proxy} say, in capitals too.

        @raise IncorrectParameters: naming the variable that is unusable.
        """
        chosen = cls()
        chosen._environment = known = getproxies_environment()
        for scheme in ("http", "https", "all"):
            if scheme in known:
                try:
                    Proxy.parse(known[scheme])
                except IncorrectParameters as e:
                    raise IncorrectParameters(
                        f"the environment variable {scheme}_proxy: {e.message}"
                    ) from None
        return chosen

    def choose(self, host: str, secure: bool) -> Proxy | None:
        """
        @param secure: whether TLS shall be spoken with the host.
        @return: the proxy on the way there, or C{None}.
        """
        proxy, known = self._one, self._environment
        if known and not proxy_bypass_environment(host, known):
            url = known.get("https" if secure else "http") or known.get("all")
            proxy = Proxy.parse(url) if url else None
        if proxy is not None and isLoopback(host) and not isLoopback(proxy.host):
            return None
        return proxy
