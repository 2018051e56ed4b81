"""
What the commands of C{twist iris-cluster} do: each in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import psycopg

from ..daemon.accounts import Account, readAccounts
from ..errors import IncorrectParameters
from ..net.addresses import RoutingId
from ..net.secret_files import readSecretFile, readToken
from . import accounts, membership, schema
from .key_file import Keys
from .overview import accountLines, accountsOf, statusLines, statusOf
from .sink_names import rotateNames
from .values import ClusterAccount

__all__ = ["COMMANDS"]

_Command = Callable[[psycopg.Connection, Callable[[], Keys], Any], Iterable[str]]


def _read(account: Account, copies: int) -> ClusterAccount:
    """
    An account with the secrets that its files hold.

    @raise IncorrectParameters: naming what is missing, or cannot be read.
    """
    if account.routingId is None:
        raise IncorrectParameters(f"the account {account.name} needs a routing-id in a cluster")
    token = None if account.tokenFile is None else readToken(account.tokenFile)
    password = None
    if account.passwordFile is not None:
        password = readSecretFile("the password", account.passwordFile)
    return ClusterAccount(account.routingId, token, account.email, password, account.sinks, copies)


def _migrate(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    if schema.migrate(connection, keys):
        return [f"The tables are of version {schema.VERSION} now."]
    return [f"The tables are of version {schema.VERSION} already."]


def _import(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    found = readAccounts(chosen["FILE"])
    some = [_read(account, chosen["copies"] or 1) for account in found]
    new, old = accounts.add(connection, keys(), some)
    return [f"{new} account(s) added, {old} replaced"]


def _add(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    routingId = chosen["ROUTING-ID"]
    RoutingId.parse(routingId)
    if (chosen["token-file"] is None) == (chosen["email"] is None):
        raise IncorrectParameters("an account needs either --token-file, or --email")
    if (chosen["email"] is None) != (chosen["password-file"] is None):
        raise IncorrectParameters("--email and --password-file need each other")
    if accountsOf(connection, [routingId]):
        raise IncorrectParameters(f"{routingId} is there already: change it with set")
    one = Account(
        routingId,
        chosen["token-file"],
        tuple(chosen["sinks"]) if chosen["sinks"] else None,
        chosen["email"],
        chosen["password-file"],
    )
    accounts.add(connection, keys(), [_read(one, chosen["copies"] or 1)])
    return [f"{routingId} was added"]


def _set(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    account = accounts.find(connection, keys(), chosen["ROUTING-ID"])
    if account is None:
        raise IncorrectParameters(f"there is no account {chosen['ROUTING-ID']}")
    changed: dict[str, Any] = {}
    if chosen["copies"] is not None:
        changed["copies"] = chosen["copies"]
    if chosen["sinks"]:
        changed["sinks"] = tuple(chosen["sinks"])
    if chosen["all-sinks"]:
        changed["sinks"] = None
    if chosen["token-file"] is not None:
        changed |= {"token": readToken(chosen["token-file"]), "email": None, "password": None}
    if chosen["email"] is not None:
        changed |= {"email": chosen["email"], "token": None}
    if chosen["password-file"] is not None:
        changed["password"] = readSecretFile("the password", chosen["password-file"])
    if not changed:
        raise IncorrectParameters("nothing is to be changed: see --help")
    account = attrs.evolve(account, **changed)
    if (account.email is None) != (account.password is None):
        raise IncorrectParameters("--email and --password-file need each other")
    accounts.change(connection, keys(), account)
    return [f"{account.routingId} was changed"]


def _remove(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    there = {one["routing-id"].lower() for one in accountsOf(connection, chosen["accounts"])}
    for routingId in chosen["accounts"]:
        if routingId.lower() not in there:
            raise IncorrectParameters(f"there is no account {routingId}")
    return [f"{accounts.remove(connection, chosen['accounts'])} account(s) removed"]


def _list(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    found = accountsOf(connection, chosen["accounts"])
    return [json.dumps(found, indent=2)] if chosen["json"] else accountLines(found)


def _status(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    status = statusOf(connection)
    return [json.dumps(status, indent=2)] if chosen["json"] else statusLines(status)


def _drain(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    name, draining = chosen["MEMBER"], not chosen["off"]
    if not membership.drain(connection, name, draining):
        raise IncorrectParameters(f"there is no member {name!r}")
    words = "hands everything over, and takes nothing" if draining else "takes places again"
    return [f"{name} {words}"]


def _forget(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    name = chosen["MEMBER"]
    left = membership.forget(connection, name)
    if left is None:
        raise IncorrectParameters(f"there is no member {name!r}")
    if left > 0:
        raise IncorrectParameters(
            f"the member {name!r} lives: its lease lasts for {left:.0f} seconds more; stop it first"
        )
    return [f"{name} was forgotten"]


def _rotate(connection: psycopg.Connection, keys: Callable[[], Keys], chosen: Any) -> list[str]:
    found = keys()
    rotateNames(connection, found)
    return [f"The secrets of {accounts.rotate(connection, found)} account(s) have the newest key."]


COMMANDS: dict[str, _Command] = {
    "migrate": _migrate,
    "import": _import,
    "add": _add,
    "set": _set,
    "remove": _remove,
    "list": _list,
    "status": _status,
    "drain": _drain,
    "forget": _forget,
    "rotate": _rotate,
}
