"""
The C{[[account]]} tables of TOML files.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from typing import Any

from ..errors import IncorrectParameters
from ..net.addresses import RoutingId

__all__ = ["accountTables", "checkKeys", "checkRoutingId", "readToml"]


def readToml(path: str) -> dict[str, Any]:
    """
    @raise IncorrectParameters: naming the file, and where it is wrong.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as e:
        raise IncorrectParameters(f"{path} cannot be read: {e.strerror}") from None
    except ValueError as e:
        # tomllib's words name line and column, and quote at most one character.
        raise IncorrectParameters(f"{path} cannot be read: {e}") from None


def checkKeys(where: str, table: Collection[str], known: Collection[str]) -> None:
    """
    @raise IncorrectParameters: for a key that is not known, naming one like it.
    """
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]}?" if close else f": there are {', '.join(known)}"
            raise IncorrectParameters(f"{where}: {key!r} is no key{hint}")


def checkRoutingId(where: str, routingId: str, seen: set[str]) -> None:
    """
    @param seen: those before, to which it is added.
    @raise IncorrectParameters: when it is none, or there already.
    """
    try:
        bare = RoutingId.parse(routingId).bare
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{where}: {e.message}") from None
    if bare in seen:
        raise IncorrectParameters(f"{where}: {routingId} is there already")
    seen.add(bare)


def accountTables(
    content: dict[str, Any], path: str, others: Collection[str] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """
    @param content: of the file.
    @param others: the keys that there may be besides.
    @return: each table, with the words that say where it stands.
    @raise IncorrectParameters: when there are none, or other keys.
    """
    tables = content.get("account")
    if not isinstance(tables, list) or not tables:
        raise IncorrectParameters(f"{path} must hold [[account]] tables")
    checkKeys(path, content, ("account", *others))
    found = []
    for number, table in enumerate(tables, 1):
        where = f"{path}, account {number}"
        if not isinstance(table, dict):
            raise IncorrectParameters(f"{where} must be a table")
        found.append((where, table))
    return found
