"""
What an operator asked for: options, environment and file in one, in this order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..account_tables import checkKeys, readToml
from ..addresses import EventManagerAddress, RoutingId
from ..errors import IncorrectParameters
from ..login.notification_manager import TOPICS
from ..proxies import Proxies
from ..settings import Settings
from ..values import withoutPath
from .accounts import Account, accountsOf, readAccounts
from .option_table import OPTIONS, Option

__all__ = ["Configuration", "shownSink"]

_SERVICES = ("auth-manager", "identity-manager", "notification-manager")
_BY_NAME = {option.name: option for option in OPTIONS}
# What one account has, when there is only one.
_ONE = ("routing-id", "token-file", "email", "password-file")


def shownSink(spec: str) -> str:
    """A sink's specification without what may be secret in it."""
    name, colon, argument = spec.partition(":")
    if "://" not in argument:
        return spec
    shown = withoutPath(argument)
    return f"{name}{colon}{shown}{'/...' if len(shown) < len(argument) else ''}"


class _Values:
    """The values found, and where each came from."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
        self.origins: dict[str, str] = {}

    def put(self, option: Option, where: str, value: Any, *, text: bool) -> None:
        try:
            self.values[option.name] = option.ofText(value) if text else option.check(value)
        except IncorrectParameters as e:
            raise IncorrectParameters(f"{where} {e.message}") from None
        self.origins[option.name] = where

    def where(self, name: str) -> str:
        """What to call an option in an error."""
        return self.origins.get(name, f"--{name}")


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
        found = _Values()
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
        cls, found: _Values, content: dict[str, Any], path: str | None, token: str | None
    ) -> Configuration:
        values, where = found.values, found.where
        if values["event-manager"] is None:
            _needEventManager(found, content)
        settings = _settings(found)
        if values["event-manager"] is not None:
            _check(where("event-manager"), EventManagerAddress.parse, values["event-manager"],
                   settings.insecure)  # fmt: skip
        for name in _SERVICES:
            if values[name] is not None:
                _check(where(name), EventManagerAddress.parse, values[name], settings.insecure)
        accounts = _accounts(found, content, path, token)
        many = "account" in content or values["accounts"] is not None
        configuration = cls(values, found.origins, tuple(accounts), settings, many)
        _checkLogin(found, configuration)
        for topic in configuration.topics:
            if topic not in TOPICS:
                raise IncorrectParameters(
                    f"{where('topics')} must be of {', '.join(TOPICS)}, and {topic!r} is not"
                )
        return configuration

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


def _check(where: str, parse: Any, *args: Any) -> Any:
    try:
        return parse(*args)
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{where}: {e.message}") from None


def _settings(found: _Values) -> Settings:
    """What the connections share; each mistake under the name of its option."""
    values, where = found.values, found.where
    proxy: str | Proxies
    if values["proxy"] is None:
        proxy = Proxies.ofEnvironment()
    else:
        proxy = _check(where("proxy"), Proxies, values["proxy"])
    senders = list(values["trusted-sender"])
    _check(where("trusted-sender"), lambda: Settings(trustedSenders=senders))
    return _check(  # type: ignore[no-any-return]
        where("ca-file"),
        lambda: Settings(
            dialect=values["dialect"],
            anonymous=values["anonymous"],
            insecure=values["insecure"],
            trustRoot=values["ca-file"],
            trustedSenders=senders,
            proxy=proxy,
        ),
    )


def _needEventManager(found: _Values, content: dict[str, Any]) -> None:
    """Without an event manager there is the demonstration, and these make no sense."""
    for name in ("token-file", "ca-file", "accounts", "email", *_SERVICES):
        if found.values[name] is not None:
            raise IncorrectParameters(f"{found.where(name)} needs --event-manager")
    if "account" in content:
        raise IncorrectParameters("[[account]] needs event-manager")


def _accounts(
    found: _Values, content: dict[str, Any], path: str | None, token: str | None
) -> list[Account]:
    values, where = found.values, found.where
    many = []
    if values["accounts"] is not None:
        many.append(where("accounts"))
    if "account" in content:
        many.append(f"{path}: [[account]]")
    if not many:
        one = _one(found, token)
        return [] if one is None else [one]
    others = [where(name) for name in _ONE if values[name] is not None]
    if len(many) + len(others) > 1:
        raise IncorrectParameters(f"{(others or many)[0]} and {many[-1]} exclude each other")
    if values["accounts"] is not None:
        return _check(where("accounts"), readAccounts, values["accounts"])  # type: ignore[no-any-return]
    assert path is not None
    return accountsOf(content, path, tuple(_BY_NAME))


def _one(found: _Values, token: str | None) -> Account | None:
    """The account that the options themselves name."""
    values, where = found.values, found.where
    routingId = values["routing-id"]
    if routingId is not None:
        _check(where("routing-id"), RoutingId.parse, routingId)
    if values["event-manager"] is None:
        return None
    if (values["email"] is None) != (values["password-file"] is None):
        raise IncorrectParameters("--email and --password-file need each other")
    login = values["auth-manager"] is not None
    if login and (values["token-file"] is not None or token is not None):
        raise IncorrectParameters(f"{where('auth-manager')} and a token exclude each other")
    if values["email"] is not None and not login:
        raise IncorrectParameters(f"{where('email')} needs --auth-manager")
    if login and values["email"] is None and not values["anonymous"]:
        raise IncorrectParameters("--email is missing: who to log in as; or --anonymous")
    if routingId is None and not (login and values["identity-manager"]):
        raise IncorrectParameters("--routing-id is missing: who to connect as, user@domain")
    file = values["token-file"]
    if not login and file in (None, "-") and token is None:
        raise IncorrectParameters(
            "--token-file is missing, and the environment variable IRIS_TOKEN too"
        )
    return Account(
        routingId,
        file if token is None else None,
        None,
        values["email"],
        values["password-file"],
        token,
    )


def _checkLogin(found: _Values, configuration: Configuration) -> None:
    """What a login needs besides."""
    values, where = found.values, found.where
    byEmail = any(account.email is not None for account in configuration.accounts)
    if byEmail and values["auth-manager"] is None:
        raise IncorrectParameters("email needs auth-manager: where to log in")
    if values["auth-manager"] is not None:
        if values["app-key"] is None:
            raise IncorrectParameters(f"{where('auth-manager')} needs --app-key")
        if byEmail and values["app-secret-file"] is None:
            raise IncorrectParameters(f"{where('auth-manager')} needs --app-secret-file")
    for account in configuration.accounts:
        if account.routingId is None and values["identity-manager"] is None:
            raise IncorrectParameters(
                f"the account {account.name} needs a routing-id, or --identity-manager"
            )
