"""
The sites of a daemon, and who is let in there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twisted.logger import Logger
from twisted.web.resource import Resource

from ..errors import IncorrectParameters
from ..net.loopback import isLoopback
from .configuration import Configuration
from .operator_site import OperatorSite, isEncrypted

__all__ = ["OperatorSites"]


class OperatorSites:
    """
    @ivar sites: those that were served.
    @ivar access: who is let in; C{None} for everybody, and before L{readOperators}.
    """

    _log = Logger()

    def __init__(self, reactor: Any, configuration: Configuration) -> None:
        self.sites: list[OperatorSite] = []
        self.access: Any = None
        self._reactor = reactor
        self._configuration = configuration

    def readOperators(self) -> None:
        """
        Know who is to be let in, when a file says that.

        @raise IncorrectParameters: naming the file, the line and what is wrong there.
        """
        path = self._configuration["operators"]
        if path is not None:
            # Only now: argon2 takes a while, and not everybody wants it.
            from ..operators import Access

            self.access = Access(self._reactor, path)

    def guarded(self, resource: Resource) -> Resource:
        """The same, for operators only when there are some."""
        if self.access is None:
            return resource
        guard: Resource = self.access.guard(lambda operator: resource)
        return guard

    async def serve(self, name: str, root: Resource) -> str:
        """
        @param name: of the option that says where.
        @return: the URL, as far as the address has one.
        @raise IncorrectParameters: when that cannot be.
        """
        endpoint = self._configuration[name]
        asked = self.access is not None or self._configuration["open-to-all"]
        site = OperatorSite(self._reactor, endpoint, root, None if asked else f"--{name}")
        self.sites.append(site)
        url = await site.listen()
        if not isLoopback(urlsplit(url).hostname or "localhost"):
            if self.access is None:
                self._log.warn(
                    "whoever can reach {url} sees all of it (--open-to-all), and can reject "
                    "calls where it is the console: let a proxy ask who may",
                    url=url,
                )
            elif not isEncrypted(endpoint):
                self._log.warn(
                    "passwords to {url} can be read on their way: let it listen on ssl:, or on "
                    "loopback behind a proxy that speaks TLS",
                    url=url,
                )
        return url

    def reload(self) -> None:
        """Read the operators again; what is wrong with them is logged, and changes nothing."""
        if self.access is None:
            return
        try:
            changed = self.access.reload()
        except IncorrectParameters as e:
            self._log.error("{reason}; the operators stay as they were", reason=e.message)
            return
        if changed:
            # What streams to who may no longer look ends; the others come again by themselves.
            for site in self.sites:
                site.closeConnections()

    async def stop(self) -> None:
        """Close every port and connection."""
        for site in self.sites:
            await site.stop()
