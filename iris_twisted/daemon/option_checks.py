"""
Whether options go together: checks over several of them, with the words that lead an
operator to the one that is wrong.
"""

from __future__ import annotations

from typing import Any

from ..connection.settings import Settings
from ..discovery.event_manager_address import EventManagerAddress
from ..errors import IncorrectParameters
from ..login.notification_manager import TOPICS
from ..net.addresses import RoutingId
from ..net.proxies import Proxies
from .accounts import Account, accountsOf, readAccounts
from .option_table import OPTIONS, Option

__all__ = [
    "Values",
    "accountsFor",
    "checkCluster",
    "checkLogin",
    "checkOperators",
    "checkServices",
    "checkTopics",
    "settingsFor",
]

_SERVICES = ("auth-manager", "identity-manager", "notification-manager")
_CLUSTER = ("member", "capacity", "zone", "cluster-key-file", "drain-timeout")
# What one account has, when there is only one.
_ONE = ("routing-id", "token-file", "email", "password-file")


class Values:
    """The values found, and where each came from."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
        self.origins: dict[str, str] = {}

    def put(self, option: Option, where: str, value: Any, *, text: bool) -> None:
        """
        Another value for an option.

        @param where: it came from.
        @param text: whether it is text, or has a type already.
        @raise IncorrectParameters: when it cannot be.
        """
        try:
            self.values[option.name] = option.ofText(value) if text else option.check(value)
        except IncorrectParameters as e:
            raise IncorrectParameters(f"{where} {e.message}") from None
        self.origins[option.name] = where

    def where(self, name: str) -> str:
        """What to call an option in an error."""
        return self.origins.get(name, f"--{name}")


def checkServices(found: Values, content: dict[str, Any], insecure: bool) -> None:
    """
    Whether there is an event manager, and its URL and the others' are some.

    @raise IncorrectParameters: naming the one that is none, or needs one.
    """
    for name in ("event-manager", *_SERVICES):
        if found.values[name] is not None:
            EventManagerAddress.parse(found.values[name], insecure, found.where(name))
    if found.values["event-manager"] is None:
        _needEventManager(found, content)


def checkTopics(found: Values, topics: tuple[str, ...]) -> None:
    """
    @raise IncorrectParameters: naming the one that is none.
    """
    for topic in topics:
        if topic not in TOPICS:
            raise IncorrectParameters(
                f"{found.where('topics')} must be of {', '.join(TOPICS)}, and {topic!r} is not"
            )


def checkOperators(found: Values) -> None:
    """
    @raise IncorrectParameters: when some are named, and nobody is to be asked.
    """
    if found.values["operators"] is not None and found.values["open-to-all"]:
        raise IncorrectParameters(
            f"{found.where('operators')} and {found.where('open-to-all')} exclude each other"
        )


def checkCluster(found: Values, content: dict[str, Any]) -> None:
    """
    @raise IncorrectParameters: naming what a cluster needs, or leaves no room for.
    """
    values, where = found.values, found.where
    if values["cluster"] is None:
        for name in _CLUSTER:
            if name in found.origins:
                raise IncorrectParameters(f"{where(name)} needs --cluster")
        return
    for name in ("event-manager", "cluster-key-file"):
        if values[name] is None:
            raise IncorrectParameters(f"{where('cluster')} needs --{name}")
    for name in ("accounts", "spool", *_ONE):
        if values[name] is not None:
            raise IncorrectParameters(
                f"{where('cluster')} and {where(name)} exclude each other: accounts and calls "
                "are in the database"
            )
    if "account" in content:
        raise IncorrectParameters(f"{where('cluster')} and [[account]] exclude each other")


def _check(where: str, parse: Any, *args: Any) -> Any:
    try:
        return parse(*args)
    except IncorrectParameters as e:
        raise IncorrectParameters(f"{where}: {e.message}") from None


def settingsFor(found: Values) -> Settings:
    """
    What the connections share.

    @raise IncorrectParameters: naming the option that is wrong.
    """
    values, where = found.values, found.where
    proxy: str | Proxies
    if values["proxy"] is None:
        proxy = Proxies.ofEnvironment()
    else:
        proxy = _check(where("proxy"), Proxies, values["proxy"])
    senders = list(values["trusted-sender"])
    # By themselves first, so that the mistake is told of this option: of the others only the file
    # of certificates can be wrong still.
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


def _needEventManager(found: Values, content: dict[str, Any]) -> None:
    """Without an event manager there is the demonstration, and these make no sense."""
    for name in ("token-file", "ca-file", "accounts", "email", *_SERVICES):
        if found.values[name] is not None:
            raise IncorrectParameters(f"{found.where(name)} needs --event-manager")
    if "account" in content:
        raise IncorrectParameters("[[account]] needs event-manager")


def accountsFor(
    found: Values, content: dict[str, Any], path: str | None, token: str | None
) -> list[Account]:
    """
    The accounts that the options name, or the files: none in a cluster, and for the demonstration.

    @param content: of the configuration file.
    @param path: of that file, if there is one.
    @param token: of the environment or stdin, if there is one.
    @raise IncorrectParameters: naming what is missing, wrong, or named twice.
    """
    values, where = found.values, found.where
    if values["cluster"] is not None:
        return []
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
    return accountsOf(content, path, tuple(option.name for option in OPTIONS))


def _one(found: Values, token: str | None) -> Account | None:
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


def checkLogin(found: Values, accounts: list[Account]) -> None:
    """
    Whether there is all that accounts without a token or a routing id need besides.

    @raise IncorrectParameters: naming the option that is missing.
    """
    values, where = found.values, found.where
    byEmail = any(account.email is not None for account in accounts)
    if byEmail and values["auth-manager"] is None:
        raise IncorrectParameters("email needs auth-manager: where to log in")
    if values["auth-manager"] is not None:
        if values["app-key"] is None:
            raise IncorrectParameters(f"{where('auth-manager')} needs --app-key")
        if byEmail and values["app-secret-file"] is None:
            raise IncorrectParameters(f"{where('auth-manager')} needs --app-secret-file")
    for account in accounts:
        if account.routingId is None and values["identity-manager"] is None:
            raise IncorrectParameters(
                f"the account {account.name} needs a routing-id, or --identity-manager"
            )
