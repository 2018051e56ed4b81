"""
The outbox on the console: how much each sink is owed, and the dead letters, to be tried again
or forgotten.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from ..errors import IrisError, NotKept
from ..net.steady_time import wallSeconds
from ..outbox.outbox import Outbox
from ..outbox.values import DeadLetter
from ..rtc.caller_number import callerNumber
from ..sinks.registry import shownSink
from .asking import Asked, argumentOf
from .changing import Change

__all__ = ["LetterChange", "OutboxView"]

# So many dead letters are shown, the oldest first.
_SHOWN = 100


class OutboxView:
    """
    @param outbox: gives it, or C{None} while it is not open.
    @ivar asked: what pages ask.
    """

    def __init__(self, reactor: Any, outbox: Callable[[], Outbox | None]) -> None:
        self._reactor = reactor
        self._outbox = outbox
        self.asked = Asked(reactor, lambda request: (argumentOf(request, b"account"),), self.look)
        # A sink's specification may hold a secret: a page knows it by another name.
        self._key = secrets.token_bytes(16)

    def _handle(self, spec: str) -> str:
        text = spec.encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._key, digest_size=12).hexdigest()

    def _opened(self) -> Outbox:
        outbox = self._outbox()
        if outbox is None:
            raise NotKept("the outbox is not open")
        return outbox

    def look(self, account: str) -> Deferred[dict[str, Any]]:
        """What is shown: of one account, or of all where it has no name."""
        return Deferred.fromCoroutine(self._look(account or None))

    async def _look(self, account: str | None) -> dict[str, Any]:
        outbox = self._opened()
        depths = await outbox.store.depths()
        oldest = await outbox.store.oldestWaiting()
        letters: list[DeadLetter] = []
        if any(dead for _, dead in depths):
            letters = await outbox.store.deadLetters((), account, _SHOWN + 1)
        specs = dict.fromkeys([*outbox.specs, *sorted(spec for spec, _ in depths)])
        return {
            "now": wallSeconds(self._reactor),
            "keeps": outbox.store.keeps,
            "sinks": [
                {
                    "sink": shownSink(spec),
                    "configured": spec in outbox.specs,
                    "waiting": depths.get((spec, False), 0),
                    "dead": depths.get((spec, True), 0),
                    "oldest": oldest.get(spec),
                }
                for spec in specs
            ],
            "letters": [self._shown(letter) for letter in letters[:_SHOWN]],
            "more": len(letters) > _SHOWN,
        }

    def _shown(self, letter: DeadLetter) -> dict[str, Any]:
        record = letter.record
        info = record.notification
        return {
            "id": letter.id,
            "sink": shownSink(letter.sink),
            "handle": self._handle(letter.sink),
            "account": record.account,
            "received": record.received,
            "caller": callerNumber(info) or str(info.get("routingid", "somebody")),
            "attempts": letter.attempts,
            "reason": letter.reason,
        }

    async def find(self, asked: dict[str, Any]) -> list[DeadLetter]:
        """
        The dead letters that somebody means: one by its call's C{id} and its C{sink}, or
        C{all}, or all of an C{account}.

        @raise NotKept: when the store does not work.
        """
        store = self._opened().store
        if asked.get("all") is True:
            account = asked.get("account")
            return await store.deadLetters((), account if isinstance(account, str) else None)
        id, handle = asked.get("id"), asked.get("sink")
        # PostgreSQL has no larger ones.
        if type(id) is not int or not 0 < id < 2**63:
            return []
        found = await store.deadLetters([id])
        return [letter for letter in found if self._handle(letter.sink) == handle]

    async def retry(self, letters: list[DeadLetter]) -> None:
        """Try them again, now."""
        outbox = self._opened()
        await outbox.store.revive(letters, wallSeconds(self._reactor))
        outbox.wake()
        self.asked.forget()

    async def purge(self, letters: list[DeadLetter]) -> None:
        """Forget them."""
        await self._opened().store.purge(letters)
        self.asked.forget()


class LetterChange(Change):
    """
    POST: try dead letters again, or forget them.

    @param purges: whether it forgets.
    """

    _log = Logger()

    def __init__(self, view: OutboxView, purges: bool, token: str) -> None:
        super().__init__(token)
        self._view = view
        self._purges = purges

    def change(self, request: Request, value: dict[str, Any], who: str) -> Any:
        changing = Deferred.fromCoroutine(self._change(request, value, who))
        changing.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _change(self, request: Request, value: dict[str, Any], who: str) -> None:
        letters = await self._view.find(value)
        if not letters:
            self.finish(request, 404, "there is no such dead letter any more")
            return
        count = len(letters)
        if self._purges:
            self._log.info("{who} purges {count} dead letters", who=who, count=count)
            await self._view.purge(letters)
        else:
            self._log.info("{who} has {count} dead letters tried again", who=who, count=count)
            await self._view.retry(letters)
        what = "1 dead letter is" if count == 1 else f"{count} dead letters are"
        self.finish(request, 200, f"{what} {'purged' if self._purges else 'tried again'}")

    def _failed(self, failure: Failure, request: Request) -> None:
        failure.trap(IrisError)
        error: Any = failure.value
        self.finish(request, 503, error.message)
