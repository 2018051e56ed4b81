"""
Whose private IQs count (security.md, "Forged notifications"): any XMPP user can
send one to our full JID.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.words.protocols.jabber.jid import JID

from ..errors import IncorrectParameters
from ..net.addresses import RoutingId
from ..xmpp.jids import parseJid

__all__ = ["TrustedSenders"]

# Whoever sends notifications sends many; strangers must not fill the memory.
_REMEMBERED = 64
_LONGEST_REMEMBERED = 256


def _bare(sender: JID) -> str:
    text: str = sender.userhost()
    return text


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


class TrustedSenders:
    """
    The judgement on a stanza's C{from}.

    @param server: the host name of the websocket server.
    @param trusted: bare JIDs and domains (with their subdomains) to trust besides
        our account, our domain, the server, and the subdomains of those.
    """

    def __init__(self, routingId: RoutingId, server: str, trusted: Iterable[str] = ()) -> None:
        own = parseJid(routingId.text)
        self._own = _bare(own) if own is not None else routingId.bare
        self._servers = (routingId.domain.lower(), server.lower())
        domains, accounts = [*self._servers], [self._own]
        self._judged: dict[str, bool] = {}
        for entry in trusted:
            jid = parseJid(entry) if isinstance(entry, str) else None
            if jid is None or jid.resource is not None:
                raise IncorrectParameters(
                    f"trustedSenders holds bare JIDs and domains, and {entry!r} is neither"
                )
            (accounts if jid.user else domains).append(_bare(jid))
        self._domains, self._accounts = tuple(domains), tuple(accounts)

    def trusts(self, sender: str | None) -> bool:
        """Whether a notification from there is to be believed."""
        if sender is None:
            return True
        known = self._judged.get(sender)
        if known is None:
            known = self._isTrusted(sender)
            if len(sender) <= _LONGEST_REMEMBERED:
                if len(self._judged) >= _REMEMBERED:
                    self._judged.clear()
                self._judged[sender] = known
        return known

    def _isTrusted(self, sender: str) -> bool:
        jid = parseJid(sender)
        if jid is None:
            return False
        if jid.user is not None:
            return _bare(jid) in self._accounts
        return any(_within(jid.host, domain) for domain in self._domains)

    def isServer(self, sender: str | None) -> bool:
        """Whether it is the server itself that speaks."""
        if sender is None:
            return True
        jid = parseJid(sender)
        return jid is not None and jid.user is None and jid.host in self._servers
