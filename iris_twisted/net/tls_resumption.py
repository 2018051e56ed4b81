"""
TLS sessions that go on where an earlier connection to the same host is (RFC 8446 section
2.2): without another certificate to send, to verify and to keep.

A certificate was verified, for the same host and the same trust root, when the session
began; what began otherwise is never offered.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from weakref import WeakKeyDictionary, ref

from OpenSSL import SSL

__all__ = ["resume"]

# Hosts remembered per context.
_HOSTS = 64
# Connections of a host that are asked for their sessions.
_RECENT = 8
# How often the oldest of them is asked: its ticket may be too old, or of a server that was
# started anew, and then each handshake is a full one.
_USES = 256


class _Host:
    """The sessions with one host, under one trust root."""

    def __init__(self) -> None:
        self._recent: deque[ref[SSL.Connection]] = deque()
        self._session: SSL.Session | None = None
        self._uses = 0

    def session(self) -> SSL.Session | None:
        """What to offer, if anything."""
        while self._recent:
            connection = self._recent[0]()
            if connection is None or self._uses >= _USES:
                self._recent.popleft()
                self._uses = 0
                continue
            # Before the peer has finished, nothing is verified.
            if connection.get_peer_finished() is not None:
                self._uses += 1
                self._session = connection.get_session() or self._session
            break
        return self._session

    def began(self, connection: SSL.Connection) -> None:
        """Another connection, which may have a session later."""
        if len(self._recent) < _RECENT:
            self._recent.append(ref(connection))


_hosts: WeakKeyDictionary[SSL.Context, OrderedDict[str, _Host]] = WeakKeyDictionary()


def resume(context: SSL.Context, host: str, connection: SSL.Connection) -> None:
    """
    Let a new connection go on with an earlier session, if there is one and the server
    agrees; otherwise it begins a session of its own.
    """
    hosts = _hosts.setdefault(context, OrderedDict())
    known = hosts.get(host)
    if known is None:
        known = hosts[host] = _Host()
        if len(hosts) > _HOSTS:
            hosts.popitem(last=False)
    session = known.session()
    if session is not None:
        connection.set_session(session)
    known.began(connection)
