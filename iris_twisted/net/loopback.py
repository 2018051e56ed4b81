"""
Which hosts are this machine.
"""

from __future__ import annotations

import ipaddress

__all__ = ["isLoopback"]


def isLoopback(host: str) -> bool:
    """Whether a host name or address literal cannot leave this machine (RFC 6761 6.3)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
