"""
The sandbox's users: who may log in, and what they subscribed for. No I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs

from .iris_tokens import makeToken

__all__ = ["Directory"]


@attrs.define
class Directory:
    """
    @ivar now: tells the epoch seconds.
    @ivar domain: where those who log in by email live.
    @ivar lifetime: of their tokens, in seconds.
    @ivar passwords: by email; while it is empty everybody may log in.
    @ivar apps: secrets by app key; while it is empty all are good.
    @ivar subscriptions: the topics of those who have a subscriber, by its id; everybody
        else is notified of everything.
    @ivar logins: how many logins there were.
    """

    now: Callable[[], float]
    domain: str = "sandbox.test"
    lifetime: float = 240 * 60.0
    passwords: dict[str, str] = attrs.field(factory=dict, repr=False)
    apps: dict[str, str] = attrs.field(factory=dict, repr=False)
    subscriptions: dict[str, set[str]] = attrs.field(factory=dict)
    logins: int = 0
    _subscribers: dict[str, str] = attrs.field(factory=dict)

    def token(self, routingId: str, lifetime: float | None = None, age: float | None = None) -> str:
        """A token for so many seconds more, and so many old; C{None} for no word of that."""
        now = self.now()
        seconds = self.lifetime if lifetime is None else lifetime
        return makeToken(routingId, now + seconds, None if age is None else now - age)

    def knowsApp(self, key: str, secret: str | None) -> bool:
        """Whether an application may ask; without a secret, whether there is such."""
        if not self.apps:
            return bool(key)
        return key in self.apps and secret in (None, self.apps[key])

    def accepts(self, email: str, password: str) -> bool:
        """Whether that is the user's password."""
        return not self.passwords or self.passwords.get(email) == password

    def routingId(self, userId: str) -> str:
        """Where the user with that id is called."""
        return f"{userId}@{self.domain}"

    def subscriber(self, routingId: str) -> str:
        """The id to subscribe with."""
        id = hashlib.sha256(routingId.lower().encode()).hexdigest()[:16]
        self._subscribers[routingId.lower()] = id
        self.subscriptions.setdefault(id, set())
        return id

    def wants(self, routingId: str, topic: str) -> bool:
        """Whether a user is notified of such calls."""
        id = self._subscribers.get(routingId.lower())
        if id is None:
            return True
        return any(name.split("/")[1:2] == [topic] for name in self.subscriptions[id])
