"""
The interface of certificates.
"""

from __future__ import annotations

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import Interface

__all__ = ["ITlsTrust"]


class ITlsTrust(Interface):
    """Which certificates are trusted; shared by discovery and transports."""

    def forHost(host: str) -> IOpenSSLClientConnectionCreator:
        """
        Called for each TLS connection to be opened.

        @return: what verifies the certificate chain and the name C{host}.
        """
