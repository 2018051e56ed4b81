"""
What a daemon needs from a cluster that gives it its accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from ..connection.interfaces import IIrisListener
from ..fleet.service import IrisRtcService
from ..outbox.outbox import Outbox
from .accounts import Account

__all__ = ["IAccountSet", "ICluster"]


class IAccountSet(Interface):
    """The accounts that a daemon keeps connections for."""

    def add(account: Account, token: str | None) -> None:
        """
        Keep a connection for one more account.

        @param token: C{None} for one that logs in.
        """

    def remove(account: Account) -> Deferred[Any]:
        """
        Close the connection of an account, if it is there.

        @return: fires when nothing is left of it.
        """

    def serviceOf(routingId: str) -> IrisRtcService | None:
        """The connection of an account, if it has one by now."""


class ICluster(Interface):
    """Shares the accounts of this daemon with those on other machines."""

    accounts: int = Attribute("How many accounts this daemon has right now.")

    def prepare() -> Deferred[bool]:
        """
        Called first.

        @return: fires when the database is there, or with C{False} when the program ends.
        """

    def giveUp() -> None:
        """Called when the program is to end: C{prepare} waits no longer."""

    def store(forgetAfter: float) -> Any:
        """
        Called before anything is connected, when there are sinks.

        @param forgetAfter: seconds for which the key of a call is remembered.
        @return: where the calls are kept, for an outbox.
        """

    def begin(accountSet: IAccountSet, outbox: Outbox) -> None:
        """Called when connections may be made: accounts come and go from now on."""

    def drain() -> Deferred[None]:
        """Called when the program is to end: fires when others have the accounts, or in time."""

    def stop() -> Deferred[None]:
        """Called after that, while the outbox is still open: fires when no account is left."""

    def leave() -> Deferred[None]:
        """Called last, when the outbox is closed: fires when nothing is left open."""

    def listener(account: Account) -> IIrisListener:
        """Called for each account that is to be connected: hears its callbacks too."""

    def offer(routingId: str, notification: dict[str, Any], specs: Sequence[str]) -> Deferred[None]:
        """Called for each call, with its account's sinks; fires when it may be acknowledged."""

    def ended(account: Account) -> None:
        """Called when an account's connection was given up."""

    def facts() -> tuple[bool, dict[str, Any]]:
        """Called for C{/readyz}: whether all is well, and numbers for a probe."""

    def metrics() -> Iterable[Any]:
        """Called for C{/metrics}: of C{prometheus_client}."""

    def overview(words: str, page: int) -> Deferred[dict[str, Any]]:
        """
        Called for the console.

        @return: fires with the members, and a page of the accounts whose routing id has
            these words in it and where they are, as JSON has it; fails with an L{IrisError
            <iris_twisted.errors.IrisError>}.
        """
