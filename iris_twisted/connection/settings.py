"""
The keyword arguments of a connection: checked at once, each error naming its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import DeferredSemaphore
from zope.interface import Interface

from ..discovery.interfaces import IEventManager
from ..errors import IncorrectParameters
from ..net.addresses import RoutingId
from ..net.durations import checkSeconds
from ..net.limits import Limits
from ..net.proxies import Proxies
from ..net.tls import TlsTrust
from ..rtc.senders import TrustedSenders
from ..transport.interfaces import ITransportProvider
from ..xmpp.events import DIALECTS
from .interfaces import IRetryPolicy
from .retry import FullJitter
from .totals import Totals

__all__ = ["Settings", "checkProvider"]

_Validator = Callable[[object, "attrs.Attribute[Any]", Any], None]


def _seconds(*, zero: bool = False, optional: bool = False) -> _Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not (optional and value is None):
            checkSeconds(attribute.name, value, zero=zero)

    return check


def _flag(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise IncorrectParameters(f"{attribute.name} must be True or False, not {value!r}")


def _provides(interface: type[Interface]) -> _Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not interface.providedBy(value):
            raise IncorrectParameters(
                f"{attribute.name} must provide {interface.__name__}, and {value!r} does not"
            )

    return check


def checkProvider(name: str, value: Any) -> None:
    """@raise IncorrectParameters: when this can be no token provider."""
    if value is not None and not callable(value):
        raise IncorrectParameters(f"{name} must be callable, not {value!r}")


def _provider(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    checkProvider(attribute.name, value)


def _dialect(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    names = ("auto", *DIALECTS)
    if value not in names:
        raise IncorrectParameters(f"{attribute.name} must be one of {names}, not {value!r}")


def _texts(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise IncorrectParameters(f"{attribute.name} must be a list of text, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not item.strip("."):
            raise IncorrectParameters(f"{attribute.name} must hold non-empty text, not {item!r}")


def _limits(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Limits):
        raise IncorrectParameters(f"{attribute.name} must be a Limits value, not {value!r}")


def _proxy(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, (str, Proxies)):
        raise IncorrectParameters(
            f"{attribute.name} must be a URL or Proxies, not {type(value).__name__}"
        )


def _gate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, DeferredSemaphore):
        raise IncorrectParameters(
            f"{attribute.name} must be a DeferredSemaphore or None, not {value!r}"
        )


def _totals(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, Totals):
        raise IncorrectParameters(f"{attribute.name} must be Totals or None, not {value!r}")


@attrs.frozen(kw_only=True)
class Settings:
    """
    What can be chosen about a connection; seconds are numbers, finite and positive.

    @ivar discovery: an L{IEventManager} to ask, instead of one by HTTP at the URL.
    @ivar transport: an L{ITransportProvider} to use, instead of the plugins installed.
    @ivar retryPolicy: an L{IRetryPolicy}; default L{FullJitter}.
    @ivar tokenProvider: called without arguments for a new iris token, which it
        returns or a Deferred fires with, within C{iqTimeout}.
    @ivar dialect: C{"auto"}, C{"stream"} or C{"framed"} (protocol.md section 3).
    @ivar anonymous: log in as an anonymous user.
    @ivar trustRoot: C{None} for the platform's certificates, a PEM file's path,
        or a Twisted trust root.
    @ivar insecure: allow plain text and unverified certificates.
    @ivar allowedHosts: host suffixes that discovery and C{see-other-uri} may name;
        C{None} lets discovery name any, and C{see-other-uri} only the same host.
    @ivar connectTimeout: for one attempt, from discovery to the session.
    @ivar giveUpAfter: from a loss until reconnecting ends; C{None} for never.
    @ivar stableAfter: a session that stayed up as long starts the count of attempts anew.
    @ivar pingInterval: of silence before a ping; shorter than C{pingTimeout}.
    @ivar pingTimeout: of silence until the session counts as lost; that it began is known
        within C{pingInterval}.
    @ivar iqTimeout: until a request counts as unanswered.
    @ivar closeTimeout: for a polite close, before the socket is cut.
    @ivar tokenWarning: before the token's expiry, to call C{onTokenAboutToExpire}; at nine
        tenths of the token's life where that is later.
    @ivar trustedSenders: bare JIDs and domains whose notifications count, besides
        the account, its domain and the server.
    @ivar streamManagement: use XEP-0198 where the server offers it, so that a loss
        that is resumed loses and repeats nothing.
    @ivar telemetry: send the official client's call statistics.
    @ivar limits: how much a peer may send.
    @ivar proxy: the URL of an HTTP proxy for discovery and transports, or L{Proxies}, e.g.
        C{Proxies.ofEnvironment()}; C{None} for none.
    @ivar gate: of which each attempt to connect takes a token while it is under way, so
        that those who share it do not try all at once.
    @ivar totals: where it counts too what it counts in its C{stats}, together with the others
        that share it; C{None} for nowhere.
    """

    discovery: IEventManager | None = attrs.field(default=None, validator=_provides(IEventManager))
    transport: ITransportProvider | None = attrs.field(
        default=None, validator=_provides(ITransportProvider)
    )
    retryPolicy: IRetryPolicy = attrs.field(factory=FullJitter, validator=_provides(IRetryPolicy))
    tokenProvider: Callable[[], Any] | None = attrs.field(default=None, validator=_provider)
    dialect: str = attrs.field(default="auto", validator=_dialect)
    anonymous: bool = attrs.field(default=False, validator=_flag)
    trustRoot: Any = None
    insecure: bool = attrs.field(default=False, validator=_flag)
    allowedHosts: Sequence[str] | None = attrs.field(default=None, validator=_texts)
    connectTimeout: float = attrs.field(default=30.0, validator=_seconds())
    giveUpAfter: float | None = attrs.field(default=None, validator=_seconds(optional=True))
    stableAfter: float = attrs.field(default=10.0, validator=_seconds(zero=True))
    pingInterval: float = attrs.field(default=3.0, validator=_seconds())
    pingTimeout: float = attrs.field(default=15.0, validator=_seconds())
    iqTimeout: float = attrs.field(default=10.0, validator=_seconds())
    closeTimeout: float = attrs.field(default=3.0, validator=_seconds())
    tokenWarning: float = attrs.field(default=300.0, validator=_seconds())
    trustedSenders: Sequence[str] = attrs.field(default=(), validator=_texts)
    streamManagement: bool = attrs.field(default=True, validator=_flag)
    telemetry: bool = attrs.field(default=False, validator=_flag)
    limits: Limits = attrs.field(factory=Limits, validator=_limits)
    gate: DeferredSemaphore | None = attrs.field(default=None, validator=_gate, repr=False)
    totals: Totals | None = attrs.field(default=None, validator=_totals, repr=False)
    proxy: str | Proxies | None = attrs.field(default=None, validator=_proxy, repr=False)
    trust: TlsTrust = attrs.field(init=False, repr=False)

    @trust.default
    def _makeTrust(self) -> TlsTrust:
        return TlsTrust(self.trustRoot, self.insecure)

    proxies: Proxies = attrs.field(init=False, repr=False)

    @proxies.default
    def _makeProxies(self) -> Proxies:
        return self.proxy if isinstance(self.proxy, Proxies) else Proxies(self.proxy)

    def __attrs_post_init__(self) -> None:
        if self.pingInterval >= self.pingTimeout:
            # A session would be lost before its first ping.
            raise IncorrectParameters(
                f"pingInterval must be shorter than pingTimeout, which is {self.pingTimeout:g} "
                f"seconds, not {self.pingInterval:g}"
            )
        # Shows at once what the first notification would show otherwise.
        TrustedSenders(
            RoutingId("user@localhost", "user", "localhost"), "localhost", self.trustedSenders
        )
