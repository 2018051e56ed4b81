"""
What a sink is to be given, in the order of each account: one call of an account at a time, where
the sink does not keep their order by itself. No account waits for another.
"""

from __future__ import annotations

from collections import deque

from .values import Due

__all__ = ["Lanes"]

# How many calls of one account are held behind the one that is under way.
_LONGEST = 64
# How many calls are held at all, and how much of them, in characters of JSON.
_MOST = 10_000
_LARGEST = 16 * 1024 * 1024


class Lanes:
    """
    @param serial: whether an account's next call waits until L{next}.
    @ivar ready: what may be given now, in this order; whoever takes it away gives it.
    @ivar known: by the ids of all that is here, or under way and not yet forgotten, the length of
        each in characters of JSON.
    @ivar skipped: the accounts of which the store has more than is known.
    """

    def __init__(self, serial: bool) -> None:
        self.ready: deque[Due] = deque()
        self.known: dict[int, int] = {}
        self.skipped: set[str] = set()
        self._serial = serial
        self._size = 0
        # Of each account that has one ready or under way, what comes behind it.
        self._waiting: dict[str, deque[Due]] = {}

    @property
    def isFull(self) -> bool:
        """Whether what comes now had better stay in the store."""
        return len(self.known) >= _MOST or self._size >= _LARGEST

    def put(self, due: Due) -> None:
        """
        Another one, the last of its account. What an account has beyond the longest lane stays in
        the store, and the account is in L{skipped}.
        """
        if not self._serial:
            self._know(due)
            self.ready.append(due)
            return
        account = due.record.account
        waiting = self._waiting.get(account)
        if account in self.skipped or (waiting is not None and len(waiting) >= _LONGEST):
            self.skipped.add(account)
            return
        self._know(due)
        if waiting is None:
            self._waiting[account] = deque()
            self.ready.append(due)
        else:
            waiting.append(due)

    def _know(self, due: Due) -> None:
        self.known[due.id] = size = len(due.record.text)
        self._size += size

    def next(self, account: str) -> None:
        """The one of that account that was under way is not any more: the next one is ready."""
        if not self._serial:
            return
        waiting = self._waiting[account]
        if waiting:
            self.ready.append(waiting.popleft())
        else:
            del self._waiting[account]

    def forget(self, id: int) -> None:
        """The store knows what became of it."""
        self._size -= self.known.pop(id)

    def beforeLook(self) -> None:
        """Of accounts with many calls here there is enough; of all others a look shall see all."""
        self.skipped = {
            account for account, waiting in self._waiting.items() if len(waiting) >= _LONGEST
        }

    def wantsMoreOf(self, account: str) -> bool:
        """Whether nothing of an account waits here, and there is more of it in the store."""
        return account in self.skipped and not self._waiting.get(account)

    def forgetWaitingOf(self, account: str) -> None:
        """What comes behind the one under way is read again later."""
        waiting = self._waiting[account]
        for due in waiting:
            self.forget(due.id)
        waiting.clear()

    def forgetWaiting(self) -> set[str]:
        """
        Whatever is not under way is read again.

        @return: the accounts whose it is.
        """
        accounts = {account for account, waiting in self._waiting.items() if waiting}
        for account in accounts:
            self.forgetWaitingOf(account)
        for due in self.ready:
            self.forget(due.id)
            self._waiting.pop(due.record.account, None)
            accounts.add(due.record.account)
        self.ready.clear()
        return accounts
