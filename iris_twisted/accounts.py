"""
Files of accounts: TOML, or CSV where that says enough.
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Iterator, Sequence

import attrs

from .addresses import RoutingId
from .errors import IncorrectParameters

__all__ = ["Account", "accountTables", "readAccounts"]

_COLUMNS = ("routing-id", "token-file")


@attrs.frozen
class Account:
    """
    Who to connect as, and the path of the file with the iris token.
    """

    routingId: str
    tokenFile: str


def readAccounts(path: str) -> list[Account]:
    """
    @param path: a file that ends with C{.toml} and has C{[[account]]} tables with
        C{routing-id} and C{token-file}; or CSV with these two columns. A token file
        that is not absolute is beside it.
    @raise IncorrectParameters: naming the file, the place and what is wrong there.
    """
    tables = accountTables if path.endswith(".toml") else _rows
    folder = os.path.dirname(path)
    return [
        Account(routingId, os.path.join(folder, tokenFile))
        for routingId, tokenFile in tables(path, _COLUMNS)
    ]


def accountTables(path: str, keys: Sequence[str]) -> Iterator[list[str]]:
    """
    The C{[[account]]} tables of a TOML file.

    @param keys: what each must have, with a text of at least one character; the first is
        a routing id, which must be different everywhere.
    @return: the values of each table, in the order of the keys.
    @raise IncorrectParameters: naming the file, the number of the account and what is
        wrong with it; no value but its routing id.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except (OSError, ValueError) as e:
        # tomllib's words name line and column, and quote at most one character.
        raise IncorrectParameters(f"{path} cannot be read: {e}") from None
    tables = content.get("account")
    if set(content) != {"account"} or not isinstance(tables, list) or not tables:
        raise IncorrectParameters(f"{path} must hold [[account]] tables, and nothing else")
    seen: set[str] = set()
    for number, table in enumerate(tables, 1):
        where = f"{path}, account {number}"
        if not isinstance(table, dict) or set(table) != set(keys):
            raise IncorrectParameters(f"{where} must have {', '.join(keys)}, and nothing else")
        for key in keys:
            if not isinstance(table[key], str) or not table[key]:
                raise IncorrectParameters(f"{where}: {key} must be text")
        _check(where, table[keys[0]], seen)
        yield [table[key] for key in keys]


def _rows(path: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The rows of a CSV file, without a header if it has one."""
    seen: set[str] = set()
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, skipinitialspace=True, strict=True))
    except (OSError, ValueError, csv.Error) as e:
        raise IncorrectParameters(f"{path} cannot be read: {e}") from None
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and tuple(row) == tuple(columns)):
            continue
        where = f"{path}, row {number}"
        if len(row) != len(columns) or not all(row):
            raise IncorrectParameters(f"{where} must have {' and '.join(columns)}")
        _check(where, row[0], seen)
        yield row
    if not seen:
        raise IncorrectParameters(f"{path} holds no account")


def _check(where: str, routingId: str, seen: set[str]) -> None:
    try:
        bare = RoutingId.parse(routingId).bare
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{where}: {e.message}") from None
    if bare in seen:
        raise IncorrectParameters(f"{where}: {routingId} is there already")
    seen.add(bare)
