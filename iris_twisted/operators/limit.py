"""
How often an address may fail to log in.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["FailureLimit", "networkOf"]


def networkOf(address: Any) -> str:
    """
    What counts as one address: one of IPv4; a /64 of IPv6, which is what a single customer
    has at least (RFC 6177); everybody who comes by a unix socket.

    @param address: an C{IAddress}.
    """
    host = getattr(address, "host", None)
    try:
        found = ipaddress.ip_address(host or "")
    except ValueError:
        return "unix"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{ipaddress.IPv6Address(found.packed[:8] + bytes(8))}/64"
    return str(found)


@attrs.define
class _Failures:
    """
    @ivar count: how many, less those that are forgiven.
    @ivar at: when that was true.
    """

    count: float
    at: float


class FailureLimit:
    """
    Each address may fail so often at once, and once more in each interval. Success forgives
    nothing: who has an account could otherwise try those of others without an end.

    @param seconds: the time, steadily counted.
    @param atOnce: how many failures are allowed in a row.
    @param interval: seconds in which one is forgiven.
    @param addresses: how many are remembered at most; of more, those whose last failure is
        longest ago are forgotten.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        atOnce: int = 10,
        interval: float = 30.0,
        addresses: int = 10_000,
    ) -> None:
        self._seconds = seconds
        self._atOnce = atOnce
        self._interval = interval
        self._most = addresses
        # The one that failed last is the last.
        self._known: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._known)

    def wait(self, network: str) -> float:
        """Seconds until this one may try again; 0.0 when it may now."""
        known = self._known.get(network)
        if known is None:
            return 0.0
        return max(0.0, (self._left(known) - self._atOnce + 1) * self._interval)

    def failed(self, network: str) -> bool:
        """
        Count a failure.

        @return: whether it was the last that was allowed.
        """
        now = self._seconds()
        self._forget(now)
        known = self._known.pop(network, None)
        count = 1.0 if known is None else self._left(known) + 1
        self._known[network] = _Failures(count, now)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return self.wait(network) > 0

    def _left(self, known: _Failures) -> float:
        return max(0.0, known.count - (self._seconds() - known.at) / self._interval)

    def _forget(self, now: float) -> None:
        """Those of whom all is forgiven."""
        # Nobody has more failures than are allowed at once, and one for each verification
        # that was under way.
        oldest = now - self._interval * (self._atOnce + 2)
        while self._known and next(iter(self._known.values())).at < oldest:
            self._known.popitem(last=False)
