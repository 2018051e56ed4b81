"""
The iris token in use: its expiry, its refusals, and where the next one comes
from (contract promise 6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import IncorrectParameters, TokenRefused
from ..net.jwt import expiryOf
from .settings import Settings
from .token_expiry import TokenWatch
from .token_source import TokenSource

__all__ = ["TokenKeeper"]

# So many refused tokens are remembered.
_REFUSED = 64


class TokenKeeper:
    """
    @param provider: whom to ask for tokens, if there is one.
    @param changed: called when there is a token that was not tried yet.
    @param complain: called once for each token refused, when nobody has a better one.
    @param expiring: called with the seconds left, ahead of the token's expiry.
    @ivar token: the one in use, and C{expiry}: its own, epoch seconds, if it says so.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        provider: Callable[[], Any] | None,
        changed: Callable[[], None],
        complain: Callable[[TokenRefused], None],
        expiring: Callable[[float], None],
    ) -> None:
        self.token = ""
        self.expiry: float | None = None
        self._changed = changed
        self._complain = complain
        self._expiring = expiring
        self._watch = TokenWatch(reactor, settings.tokenWarning, self._aboutToExpire)
        self._source: TokenSource | None = None
        if provider is not None:
            self._source = TokenSource(
                reactor, provider, settings.retryPolicy, settings.iqTimeout, self._got, complain
            )
        self._provided: str | None = None
        # The tokens refused since one was accepted, and whether that was told.
        self._refused: dict[str, bool] = {}
        self._arming = self._expiringSoon = self._inUse = False

    @property
    def hasProvider(self) -> bool:
        """Whether there is somebody to ask for tokens."""
        return self._source is not None

    def begin(self, token: str) -> None:
        """A connection starts with this token."""
        self._provided = None
        self._refused.clear()
        self._inUse = True
        self._take(token)

    def replace(self, token: str) -> None:
        """The application has another token: it counts, whatever the provider says."""
        self._provided = None
        if not self._inUse:
            # A connection that begins brings its own.
            self._use(token)
            return
        if self._source is not None:
            self._source.stop()
        self._take(token)
        self._changed()

    def ask(self) -> None:
        """
        Ask the provider for a token.

        @raise IncorrectParameters: when there is none.
        """
        if self._source is None:
            raise IncorrectParameters("irisToken is missing, and there is no tokenProvider to ask")
        self._source.ask()

    def refused(self, token: str, error: TokenRefused) -> None:
        """The event manager refused this token, and reconnecting waits for another."""
        if token != self.token:
            self._changed()
            return
        if self._source is not None and token != self._provided:
            self._remember(token, told=self._refused.get(token, False))
            self._source.ask()
            return
        self._noBetter(token, error)

    def accepted(self) -> None:
        """A session came up with the token."""
        # Refused later, it is as any other: the provider may have a better one by then.
        self._provided = None
        self._refused.clear()
        if self._source is not None:
            self._source.satisfied()

    def stop(self) -> None:
        """The connection ended: no timer, no question."""
        self._inUse = False
        self._watch.disarm()
        if self._source is not None:
            self._source.stop()

    def cancelStopped(self) -> None:
        """See L{TokenSource.cancelStopped}."""
        if self._source is not None:
            self._source.cancelStopped()

    def _noBetter(self, token: str, error: TokenRefused) -> None:
        """This token is bad, and so far there is no other."""
        told = self._refused.get(token, False)
        self._remember(token, told=True)
        if not told:
            self._complain(error)
        if self._source is not None:
            self._source.askLater()

    def _remember(self, token: str, *, told: bool) -> None:
        self._refused[token] = told
        if len(self._refused) > _REFUSED:
            del self._refused[next(iter(self._refused))]

    def _use(self, token: str) -> None:
        self.token, self.expiry = token, expiryOf(token)

    def _take(self, token: str) -> None:
        self._use(token)
        self._expiringSoon = False
        self._arming = True
        self._watch.arm(token)
        self._arming = False

    def _got(self, token: str) -> None:
        if token in self._refused:
            self._provided = token
            self._noBetter(
                token, TokenRefused("the token provider gave a token that was refused before")
            )
        elif token != self.token:
            self._provided = token
            self._take(token)
            self._changed()
        elif self._expiringSoon and self._source is not None:
            self._source.askLater()

    def _aboutToExpire(self, secondsLeft: float) -> None:
        self._expiringSoon = True
        self._expiring(secondsLeft)
        if self._source is None:
            return
        if self._arming and self.token == self._provided:
            # It came from the provider as good as expired: do not ask in a circle.
            self._source.askLater()
        else:
            self._source.ask()
