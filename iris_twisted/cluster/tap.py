"""
C{twist iris-cluster}: the accounts and the members of a cluster.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import Any

import psycopg
from twisted.application.service import IService, Service
from twisted.python.usage import UsageError

from ..command_line.exit_status import statusFor
from ..command_line.options import PlainOptions, SubcommandOptions
from ..errors import DatabaseFailed, IncorrectParameters
from . import schema
from .commands import COMMANDS
from .conninfo import checkConninfo, connect
from .failures import failureOf
from .key_file import Keys, addKey

__all__ = ["Options", "makeService"]

_JSON = [["json", None, "Write JSON, for programs."]]


class _One(SubcommandOptions):
    """
    One word after the command.

    @cvar what: it is.
    """

    what = ""

    def parseArgs(self, *words: str) -> None:
        if len(words) != 1:
            raise UsageError(f"after the command must stand {self.what}, and nothing else")
        (self[self.what],) = words


class _Plain(SubcommandOptions):
    """Nothing but the command."""


class _Status(SubcommandOptions):
    optFlags = _JSON


class _Several(SubcommandOptions):
    """Accounts, at least so many."""

    least = 0
    synopsis = "[ROUTING-ID ...]"

    def parseArgs(self, *accounts: str) -> None:
        if len(accounts) < self.least:
            raise UsageError("after the command must stand a routing id, or several")
        self["accounts"] = accounts


class _List(_Several):
    optFlags = _JSON


class _Remove(_Several):
    least = 1
    synopsis = "ROUTING-ID ..."


class _Copies(SubcommandOptions):
    """How many connections an account has."""

    metavars = {"copies": "N"}
    optParameters: list[list[Any]] = [
        ["copies", None, None, "How many members keep a connection for it: 1 to 9."]
    ]

    def postOptions(self) -> None:
        text = self["copies"]
        if text is not None:
            if text not in tuple("123456789"):
                raise UsageError(f"--copies must be a number from 1 to 9, not {text!r}")
            self["copies"] = int(text)


class _Import(_Copies, _One):
    what = "FILE"
    synopsis = "[options] FILE"


class _Account(_Copies, _One):
    """One account, and what it has."""

    what = "ROUTING-ID"
    synopsis = "[options] ROUTING-ID"
    metavars = {
        **_Copies.metavars,
        "token-file": "FILE",
        "email": "ADDRESS",
        "password-file": "FILE",
        "sink": "SINK",
    }
    optParameters = [
        *_Copies.optParameters,
        ["token-file", "t", None, "A file with its iris token."],
        ["email", None, None, "Who to log in as, at the auth manager."],
        ["password-file", None, None, "A file with the password for that."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["sinks"] = []

    def opt_sink(self, sink: str) -> None:
        """Where its calls go, instead of where all go; may be repeated."""
        self["sinks"].append(sink)

    opt_s = opt_sink


class _Set(_Account):
    optFlags = [["all-sinks", None, "Its calls go where all go."]]


class _Member(_One):
    what = "MEMBER"
    synopsis = "MEMBER"


class _Drain(_Member):
    optFlags = [["off", None, "It may take places again."]]


class Options(PlainOptions):
    """The options of C{twist iris-cluster}."""

    command = "twist iris-cluster"
    before = "--cluster CONNINFO"
    metavars = {"cluster": "CONNINFO", "cluster-key-file": "FILE"}
    synopsis = "--cluster CONNINFO [--cluster-key-file FILE] COMMAND"
    longdesc = (
        "Several twist iris, the members of a cluster, share the accounts in a PostgreSQL "
        "database. Members learn at once what is changed here."
    )
    optParameters = [
        ["cluster", None, None, "The database, as libpq writes it: host=HOST dbname=NAME; or "
         "IRIS_CLUSTER."],
        ["cluster-key-file", None, None, "The file with the keys that encrypt the accounts' "
         "secrets; or IRIS_CLUSTER_KEY_FILE."],
    ]  # fmt: skip
    subCommands = [
        ["status", None, _Status, "Show the members and what they have (the default)."],
        ["list", None, _List, "Show accounts, and who keeps them."],
        ["add", None, _Account, "Add an account."],
        ["import", None, _Import, "Add or replace the accounts of a TOML or CSV file."],
        ["set", None, _Set, "Change an account."],
        ["remove", None, _Remove, "Remove accounts."],
        ["drain", None, _Drain, "Let a member hand everything over to the others."],
        ["forget", None, _Member, "Remove a dead member from the list."],
        ["migrate", None, _Plain, "Make the tables, or bring them to this program's version."],
        ["key", None, _Plain, "Make the key file, or put a newer key into it."],
        ["rotate", None, _Plain, "Encrypt all secrets with the newest key."],
    ]

    def postOptions(self) -> None:
        command = self.subCommand or "status"
        chosen: Any = getattr(self, "subOptions", None)
        if chosen is None:
            chosen = {"json": False}
        try:
            lines = self._key() if command == "key" else self._run(command, chosen)
        except IncorrectParameters as e:
            raise UsageError(e.message) from None
        except DatabaseFailed as e:
            print(f"{self.command}: {e.message}", file=sys.stderr)
            raise SystemExit(statusFor(e)) from None
        print("\n".join(lines))
        sys.stdout.flush()
        raise SystemExit(0)

    def _value(self, name: str, what: str) -> str:
        variable = "IRIS_" + name.upper().replace("-", "_")
        value = self[name] or os.environ.get(variable)
        if not value:
            raise UsageError(f"--{name} is missing: {what} (or {variable})")
        return str(value)

    def _keyFile(self) -> str:
        return self._value("cluster-key-file", "the file with the keys")

    def _key(self) -> list[str]:
        path = self._keyFile()
        count = addKey(path)
        if count == 1:
            return [f"{path} holds a key: every member needs this file."]
        return [
            f"{path} holds {count} keys: when every member has this file, run "
            "twist iris-cluster rotate"
        ]

    def _run(self, command: str, chosen: Any) -> list[str]:
        conninfo = self._value("cluster", "the database, as libpq writes it")
        try:
            checkConninfo(conninfo)
        except IncorrectParameters as e:
            raise UsageError(f"--cluster {e.message}") from None
        keys: Callable[[], Keys] = cache(lambda: Keys(self._keyFile()))
        with closing(connect(conninfo, "iris-twisted command")) as connection:
            try:
                with connection.transaction():
                    if command != "migrate":
                        schema.checkSchema(connection)
                    return list(COMMANDS[command](connection, keys, chosen))
            except psycopg.Error as e:
                raise failureOf(e) from None


def makeService(options: Options) -> IService:
    """
    Never called: the options do it all, and end the program.
    """
    return Service()
