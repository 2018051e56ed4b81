"""
C{twist iris-operator}: who may look at a daemon, and who may reject calls there.
"""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any
from unicodedata import normalize

import attrs
from twisted.application.service import IService, Service
from twisted.python.usage import UsageError

from ..command_line.options import PlainOptions, SubcommandOptions
from ..errors import IncorrectParameters
from .file import Operator, Right, changeOperators, checkName, readOperators, rightsOf
from .hashes import checkPassword, hashOf

__all__ = ["Options", "makeService"]

_VARIABLE = "IRIS_OPERATORS"


class _List(SubcommandOptions):
    """Everybody."""


class _Named(SubcommandOptions):
    """
    @cvar wanted: what stands after the command.
    @cvar least: how much of it there must be.
    """

    wanted: tuple[str, ...] = ("name",)
    least = 1
    synopsis = "NAME"

    def parseArgs(self, *words: str) -> None:
        if not self.least <= len(words) <= len(self.wanted):
            raise UsageError(f"after the command must stand {self.synopsis}, and nothing else")
        for key, word in zip(self.wanted, words, strict=False):
            self[key] = normalize("NFC", word)


class _Add(_Named):
    wanted = ("name", "rights")
    synopsis = "NAME [RIGHTS]"


class _Rights(_Add):
    least = 2
    synopsis = "NAME RIGHTS"


class Options(PlainOptions):
    """The options of C{twist iris-operator}."""

    command = "twist iris-operator"
    before = "--operators FILE"
    synopsis = (
        "--operators FILE "
        "[list | add NAME [RIGHTS] | passwd NAME | rights NAME RIGHTS | remove NAME]"
    )
    longdesc = (
        "Operators may look at the console and the metrics of twist iris, and reject calls "
        "where they have that right: RIGHTS is read, or read,reject. A password is asked for at "
        "the terminal, or read from stdin. A running twist iris reads the file again on SIGHUP."
    )
    metavars = {"operators": "FILE"}
    optParameters = [
        ["operators", None, None, f"The file that twist iris --operators names, or {_VARIABLE}."]
    ]
    subCommands = [
        ["list", None, _List, "List operators and their rights (the default)."],
        ["add", None, _Add, "Add an operator, who may read or what RIGHTS say; makes the file."],
        ["passwd", None, _Named, "Change an operator's password."],
        ["rights", None, _Rights, "Change what an operator may do."],
        ["remove", None, _Named, "Remove an operator."],
    ]

    def postOptions(self) -> None:
        path = self["operators"] or os.environ.get(_VARIABLE)
        if not path:
            raise UsageError("--operators is missing: the file that twist iris --operators names")
        command = self.subCommand or "list"
        try:
            if command == "list":
                lines = [f"{o.name}  {o.shownRights}" for o in readOperators(path).values()]
            else:
                lines = [self._change(path, command, getattr(self, "subOptions", {}))]
        except IncorrectParameters as e:
            raise UsageError(e.message) from None
        print("\n".join(lines or ["There is no operator."]))
        sys.stdout.flush()
        raise SystemExit(0)

    def _change(self, path: str, command: str, chosen: Any) -> str:
        name = chosen["name"]
        if command == "add":
            return self._add(path, name, chosen.get("rights", Right.READ.value))
        if command == "remove":
            changeOperators(path, lambda operators: _take(operators, name))
            return f"{name} was removed"
        # Before somebody types a password in vain.
        _find(readOperators(path), name)
        if command == "passwd":
            changed: dict[str, Any] = {"hash": _askedHash(name)}
            words = f"{name} has another password"
        else:
            changed = {"rights": _rights(chosen["rights"])}
            words = f"{name} may {chosen['rights']} now"

        def change(operators: dict[str, Operator]) -> None:
            operators[name] = attrs.evolve(_find(operators, name), **changed)

        changeOperators(path, change)
        return words

    def _add(self, path: str, name: str, rights: str) -> str:
        try:
            checkName(name)
        except IncorrectParameters as e:
            raise IncorrectParameters(f"{name!r}: an operator {e.message}") from None
        allowed = _rights(rights)
        if os.path.exists(path):
            _isNew(readOperators(path), name)
        operator = Operator(name, allowed, _askedHash(name))

        def change(operators: dict[str, Operator]) -> None:
            _isNew(operators, name)
            operators[name] = operator

        changeOperators(path, change, make=True)
        return f"{name} was added, and may {operator.shownRights}"


def _rights(text: str) -> frozenset[Right]:
    try:
        return rightsOf(text)
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{text!r}: an operator {e.message}") from None


def _find(operators: dict[str, Operator], name: str) -> Operator:
    if name not in operators:
        raise IncorrectParameters(f"there is no operator {name!r}")
    return operators[name]


def _take(operators: dict[str, Operator], name: str) -> None:
    del operators[_find(operators, name).name]


def _isNew(operators: dict[str, Operator], name: str) -> None:
    if name in operators:
        raise IncorrectParameters(
            f"{name} is an operator already: passwd changes the password, rights the rights"
        )


def _askedHash(name: str) -> str:
    """
    Ask for a password.

    @raise IncorrectParameters: when there is none, or it can be nobody's.
    """
    try:
        if sys.stdin.isatty():
            password = getpass.getpass(f"Password of {name}: ")
            checkPassword(password)
            if getpass.getpass("The same again: ") != password:
                raise IncorrectParameters("the two passwords differ; nothing was changed")
        else:
            password = sys.stdin.readline().rstrip("\r\n")
    except (EOFError, KeyboardInterrupt):
        raise IncorrectParameters("no password was given; nothing was changed") from None
    except UnicodeDecodeError:
        raise IncorrectParameters("the password on stdin must be text in UTF-8") from None
    checkPassword(password)
    return hashOf(password)


def makeService(options: Options) -> IService:
    """
    Never called: the options do it all, and end the program.
    """
    return Service()
