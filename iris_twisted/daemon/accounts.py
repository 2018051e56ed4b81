"""
Who to connect as: accounts, and the files they stand in.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection
from typing import Any

import attrs

from ..errors import IncorrectParameters
from ..fleet.account_tables import accountTables, checkKeys, checkRoutingId, readToml

__all__ = ["KEYS", "Account", "accountOf", "accountsOf", "readAccounts"]

# Of a CSV file; and the keys of a table in TOML.
_COLUMNS = ("routing-id", "token-file")
KEYS = ("routing-id", "token-file", "sink", "email", "password-file")


@attrs.frozen
class Account:
    """
    One account; its paths are absolute.

    @ivar routingId: who to connect as; C{None} to ask the identity manager.
    @ivar tokenFile: of the iris token, watched; C{None} with a C{token}, or a login.
    @ivar sinks: where its calls go; C{None} for where all go.
    @ivar email: whom to log in as, at the auth manager.
    @ivar passwordFile: of the password for that.
    @ivar token: the iris token itself, from the environment, stdin or a cluster.
    @ivar password: the password itself, of a cluster.
    """

    routingId: str | None = None
    tokenFile: str | None = None
    sinks: tuple[str, ...] | None = None
    email: str | None = None
    passwordFile: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What it is called in words and logs."""
        return self.routingId or self.email or "unnamed"


def accountOf(where: str, table: dict[str, Any], folder: str) -> Account:
    """
    The account of a C{[[account]]} table.

    @param where: the table stands, for errors.
    @param folder: in which paths that are not absolute begin.
    @raise IncorrectParameters: naming the key and what is wrong with it.
    """

    def beside(path: str | None) -> str | None:
        return None if path is None else os.path.join(folder, path)

    checkKeys(where, table, KEYS)
    sinks = table.get("sink")
    if isinstance(sinks, str):
        sinks = [sinks]
    if sinks is not None and not (
        isinstance(sinks, list) and all(isinstance(s, str) for s in sinks)
    ):
        raise IncorrectParameters(f"{where}: sink must be text, or a list of it")
    texts: dict[str, str | None] = {}
    for key in KEYS:
        value = table.get(key)
        if key != "sink" and value is not None and (not isinstance(value, str) or not value):
            raise IncorrectParameters(f"{where}: {key} must be text")
        texts[key] = value
    if (texts["email"] is None) != (texts["password-file"] is None):
        raise IncorrectParameters(f"{where}: email and password-file need each other")
    if (texts["email"] is None) == (texts["token-file"] is None):
        raise IncorrectParameters(f"{where} must have either token-file, or email")
    return Account(
        texts["routing-id"],
        beside(texts["token-file"]),
        None if sinks is None else tuple(sinks),
        texts["email"],
        beside(texts["password-file"]),
    )


def accountsOf(content: dict[str, Any], path: str, others: Collection[str] = ()) -> list[Account]:
    """
    The accounts of a TOML file.

    @param path: of the file; paths that are not absolute begin beside it.
    @param others: the keys that there may be besides.
    @raise IncorrectParameters: naming the file, the number of the account and what is
        wrong with it.
    """
    seen: set[str] = set()
    accounts = []
    folder = os.path.dirname(os.path.abspath(path))
    for where, table in accountTables(content, path, others):
        account = accountOf(where, table, folder)
        if account.routingId is not None:
            checkRoutingId(where, account.routingId, seen)
        elif account.email is None:
            raise IncorrectParameters(f"{where}: routing-id is missing")
        elif account.email in seen:
            raise IncorrectParameters(f"{where}: {account.email} is there already")
        else:
            seen.add(account.email)
        accounts.append(account)
    return accounts


def readAccounts(path: str) -> list[Account]:
    """
    @param path: a file that ends with C{.toml} and has C{[[account]]} tables; or CSV with
        the columns C{routing-id} and C{token-file}. A path in it that is not absolute
        begins beside it.
    @raise IncorrectParameters: naming the file, the place and what is wrong there.
    """
    if path.endswith(".toml"):
        return accountsOf(readToml(path), path)
    return _rows(path)


def _rows(path: str) -> list[Account]:
    """
    The accounts of a CSV file, whose first row may be a header.

    @raise IncorrectParameters: see L{readAccounts}.
    """
    seen: set[str] = set()
    accounts = []
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, skipinitialspace=True, strict=True))
    except OSError as e:
        raise IncorrectParameters(f"{path} cannot be read: {e.strerror}") from None
    except (ValueError, csv.Error) as e:
        reason = "it is no text in UTF-8" if isinstance(e, UnicodeError) else e
        raise IncorrectParameters(f"{path} cannot be read: {reason}") from None
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and tuple(row) == _COLUMNS):
            continue
        where = f"{path}, row {number}"
        if len(row) != len(_COLUMNS) or not all(row):
            raise IncorrectParameters(f"{where} must have {' and '.join(_COLUMNS)}")
        checkRoutingId(where, row[0], seen)
        accounts.append(Account(row[0], os.path.join(folder, row[1])))
    if not accounts:
        raise IncorrectParameters(f"{path} holds no account")
    return accounts
