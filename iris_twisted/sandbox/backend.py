"""
An event manager in front of a real XMPP server: who may have which password of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import attrs

from ..connection.websocket_address import websocketDestination
from ..discovery.server_info import ServerInfo
from ..errors import IncorrectParameters, IrisError
from ..fleet.account_tables import accountTables, checkKeys, checkRoutingId, readToml
from ..net.addresses import checkToken
from ..transport.registry import TransportRegistry
from .records import SandboxError

__all__ = ["Account", "Backend", "readAccounts"]

_KEYS = ("routing-id", "token", "password")


@attrs.frozen
class Account:
    """
    A user of the XMPP server.

    @ivar token: the iris token that discovery accepts for it.
    @ivar password: what the XMPP server wants to hear.
    """

    token: str = attrs.field(repr=False)
    password: str = attrs.field(repr=False)


class Backend:
    """
    @param url: where the XMPP server is: C{ws://host:port/path}, or another URL that a
        transport serves.
    @param accounts: by routing id.
    @raise SandboxError: when the URL is unusable.
    """

    def __init__(self, url: str, accounts: Mapping[str, Account]) -> None:
        try:
            info = ServerInfo(url, "token", "1")
            schemes = TransportRegistry().schemes
            websocketDestination(url, info, "user@localhost", schemes, secure=False, insecure=True)
        except IrisError as e:
            words = e.message.removeprefix("the event manager's ")
            raise SandboxError(f"the backend cannot be used: {words}") from None
        self._url = url
        self._accounts = {routingId.lower(): account for routingId, account in accounts.items()}

    def discover(self, routingId: str, token: str, host: str | None) -> dict[str, Any] | None:
        """See C{Platform.discover}."""
        account = self._accounts.get(routingId.lower())
        given = token.encode("utf-8", "surrogateescape")
        if account is None or not hmac.compare_digest(account.token.encode(), given):
            return None
        return {
            "websocket_server": self._url,
            "websocket_server_token": account.password,
            # A password does not expire; the client puts it into paths, if anything.
            "websocket_server_token_expiry_time": "0",
        }


def readAccounts(path: str) -> dict[str, Account]:
    """
    @param path: a TOML file of C{[[account]]} tables with C{routing-id}, C{token} and
        C{password}.
    @raise IncorrectParameters: naming the file and what is wrong with it, no secret.
    """
    accounts: dict[str, Account] = {}
    seen: set[str] = set()
    for where, table in accountTables(readToml(path), path):
        checkKeys(where, table, _KEYS)
        for key in _KEYS:
            if not isinstance(table.get(key), str) or not table[key]:
                raise IncorrectParameters(f"{where}: {key} must be text")
        checkRoutingId(where, table["routing-id"], seen)
        token = checkToken(f"{where}: token", table["token"])
        accounts[table["routing-id"].lower()] = Account(token, table["password"])
    return accounts
