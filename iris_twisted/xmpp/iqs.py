"""
IQs that wait for their answer: matched by id and sender, bounded in time.
"""

from __future__ import annotations

import attrs

from .elements import Element
from .jids import sameJid

__all__ = ["PendingIqs", "mayAnswer"]


def mayAnswer(sender: str | None, expected: tuple[str, ...]) -> bool:
    """
    Whether an answer from this sender may be one to a request to one of these.

    Without C{from} it is our own server's word (RFC 6120 section 8.1.2.1).
    """
    return sender is None or any(sameJid(sender, jid) for jid in expected)


@attrs.frozen
class _Pending:
    to: str | None
    sent: float


class PendingIqs:
    """
    The requests sent and not answered yet, oldest first: all have the same
    timeout, so the order of sending is the order of expiring.

    @param timeout: seconds until a request counts as unanswered.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._pending: dict[str, _Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def sent(self, id: str, to: str | None, now: float) -> None:
        """Remember a request."""
        self._pending[id] = _Pending(to, now)

    def answered(self, answer: Element, account: tuple[str, ...]) -> bool:
        """
        Whether an IQ of the type result or error answers a request; each does once.

        @param account: the bare JID, the full JID and the domain of ours: only they may
            answer a request without C{to}.
        """
        id = answer.get("id")
        pending = self._pending.get(id) if id is not None else None
        if id is None or pending is None:
            return False
        expected = account if pending.to is None else (pending.to,)
        if not mayAnswer(answer.get("from"), expected):
            return False
        del self._pending[id]
        return True

    def expired(self, now: float) -> list[str]:
        """Forget the requests that are overdue, and name them."""
        overdue = []
        for id, pending in self._pending.items():
            # A timer may fire a rounding error early.
            if now - pending.sent < self._timeout - 1e-6:
                break
            overdue.append(id)
        for id in overdue:
            del self._pending[id]
        return overdue

    def abandon(self) -> list[str]:
        """Forget all of them, and name them."""
        ids = list(self._pending)
        self._pending.clear()
        return ids
