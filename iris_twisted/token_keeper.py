"""
The iris token in use: its expiry, its refusals, and where the next one comes
from (contract promise 6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import IncorrectParameters, TokenRefused
from .settings import Settings
from .token_source import TokenSource
from .tokens import TokenWatch, expiryOf

__all__ = ["TokenKeeper"]


class TokenKeeper:
    """
    @param provider: whom to ask for tokens, if there is one.
    @param changed: called when there is a token that was not tried yet.
    @param complain: called once for each token refused, when nobody has a better one.
    @param expiring: called with the seconds left, ahead of the token's expiry.
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
        self._changed = changed
        self._complain = complain
        self._expiring = expiring
        self._watch = TokenWatch(reactor, settings.tokenWarning, self._aboutToExpire)
        self._source: TokenSource | None = None
        if provider is not None:
            self._source = TokenSource(reactor, provider, settings.retryPolicy, self._got, complain)
        self._provided: str | None = None
        self._refused: str | None = None
        self._complainedOf: str | None = None
        self._arming = self._expiringSoon = False

    @property
    def expiry(self) -> float | None:
        """When the token expires, epoch seconds, if it says so."""
        return expiryOf(self.token)

    def begin(self, token: str) -> None:
        """A connection starts with this token."""
        self._provided = self._refused = self._complainedOf = None
        self._take(token)

    def replace(self, token: str) -> None:
        """The application has another token."""
        self._provided = None
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
        self._refused = token
        if self._source is not None and token != self._provided:
            self._source.ask()
            return
        if token != self._complainedOf:
            self._complainedOf = token
            self._complain(error)
        if self._source is not None:
            self._source.askLater()

    def accepted(self) -> None:
        """A session came up with the token."""
        self._refused = self._complainedOf = None
        if self._source is not None:
            self._source.satisfied()

    def stop(self) -> None:
        """The connection ended: no timer, no question."""
        self._watch.disarm()
        if self._source is not None:
            self._source.stop()

    def _take(self, token: str) -> None:
        self.token = token
        self._expiringSoon = False
        self._arming = True
        self._watch.arm(token)
        self._arming = False

    def _got(self, token: str) -> None:
        if token == self._refused:
            self._provided = token
            self.refused(
                token, TokenRefused("the token provider gave the token that was refused again")
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
