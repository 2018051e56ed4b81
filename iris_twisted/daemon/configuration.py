"""
What an operator asked for: options, environment and file in one, in this order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..connection.settings import Settings
from ..fleet.account_tables import checkKeys, readToml
from ..sinks.registry import shownSink
from .accounts import Account
from .option_checks import (
    Values,
    accountsFor,
    checkCluster,
    checkLogin,
    checkOperators,
    checkServices,
    checkTopics,
    settingsFor,
)
from .option_table import OPTIONS

__all__ = ["Configuration"]

_BY_NAME = {option.name: option for option in OPTIONS}
# What SIGHUP changes.
_OF_ACCOUNTS = ("accounts", "routing-id", "token-file", "email", "password-file")


@attrs.frozen
class Configuration:
    """
    All of it, checked.

    @ivar values: by the options' names.
    @ivar origins: where those came from that are no defaults.
    @ivar accounts: who to connect as; none for the demonstration.
    @ivar settings: what the connections share.
    @ivar many: whether there may be several accounts, even if there is one now.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    accounts: tuple[Account, ...]
    settings: Settings
    many: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def sinks(self) -> tuple[str, ...]:
        """All sinks, each once: the common ones and those of accounts."""
        found = dict.fromkeys(self.values["sink"])
        for account in self.accounts:
            found.update(dict.fromkeys(account.sinks or ()))
        return tuple(found)

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe for."""
        return tuple(part.strip() for part in self.values["topics"].split(",") if part.strip())

    @property
    def output(self) -> str:
        """How callbacks are written down."""
        if self.values["output"] is not None:
            return str(self.values["output"])
        return "none" if "stdout" in self.sinks else "text"

    @classmethod
    def read(
        cls,
        given: Mapping[str, Any],
        environment: Mapping[str, str],
        path: str | None,
        token: str | None = None,
    ) -> Configuration:
        """
        @param given: of the command line: text, or a list of it, by the options' names.
        @param environment: of which C{IRIS_...} counts.
        @param path: of the configuration file, if there is one.
        @param token: of the environment or stdin.
        @raise IncorrectParameters: naming what is wrong, and where it came from.
        """
        found = Values()
        content: dict[str, Any] = {}
        if path is not None:
            content = readToml(path)
            checkKeys(path, content, [*_BY_NAME, "account"])
            folder = os.path.dirname(os.path.abspath(path))
            for name, value in content.items():
                if name != "account":
                    option = _BY_NAME[name]
                    found.put(option, f"{path}: {name}", value, text=False)
                    if option.kind == "path" and value != "-":
                        found.values[name] = os.path.join(folder, value)
        for option in OPTIONS:
            if option.variable in environment:
                where = f"the environment variable {option.variable}"
                found.put(option, where, environment[option.variable], text=True)
        for name, value in given.items():
            option = _BY_NAME[name]
            if option.kind == "list":
                found.put(option, f"--{name}", list(value), text=False)
            else:
                found.put(option, f"--{name}", value, text=option.kind != "flag")
        return cls._checked(found, content, path, token)

    @classmethod
    def _checked(
        cls, found: Values, content: dict[str, Any], path: str | None, token: str | None
    ) -> Configuration:
        values = found.values
        checkCluster(found, content)
        checkServices(found, content, values["insecure"])
        settings = settingsFor(found)
        accounts = accountsFor(found, content, path, token)
        checkLogin(found, accounts)
        many = "account" in content or any(values[n] is not None for n in ("accounts", "cluster"))
        configuration = cls(values, found.origins, tuple(accounts), settings, many)
        checkTopics(found, configuration.topics)
        checkOperators(found)
        return configuration

    def changesSince(self, before: Configuration) -> list[str]:
        """The names of the options that are others now, but for those of the accounts."""
        return [
            name
            for name, value in self.values.items()
            if value != before[name] and name not in _OF_ACCOUNTS
        ]

    def lines(self) -> Iterable[str]:
        """The effective configuration as TOML, with where it came from, and without secrets."""
        for option in OPTIONS:
            value = self.values[option.name]
            if value is None or value == ():
                continue
            if option.name == "sink":
                value = [shownSink(spec) for spec in value]
            elif option.name == "proxy":
                scheme, separator, rest = value.rpartition("://")
                _, at, host = rest.rpartition("@")
                value = f"{scheme}{separator}{'...@' if at else ''}{host}"
            origin = self.origins.get(option.name, "the default")
            yield f"{option.name} = {_toml(value)}  # {origin}"
        for account in self.accounts:
            yield ""
            yield "[[account]]"
            for key, value in (
                ("routing-id", account.routingId),
                ("token-file", account.tokenFile),
                ("email", account.email),
                ("password-file", account.passwordFile),
            ):
                if value is not None:
                    yield f"{key} = {_toml(value)}"
            if account.token is not None:
                yield "# with a token from the environment or stdin"
            if account.sinks is not None:
                yield f"sink = {_toml([shownSink(spec) for spec in account.sinks])}"


def _toml(value: Any) -> str:
    # What JSON and TOML write alike: text, numbers, booleans, lists of text.
    return json.dumps(list(value) if isinstance(value, tuple) else value)
