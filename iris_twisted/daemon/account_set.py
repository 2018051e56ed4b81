"""
The accounts of a daemon: who is there, who is on the way, who left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    gatherResults,
    succeed,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..connection.connection import IrisListener
from ..connection.interfaces import IIrisListener
from ..connection.state import ConnectionState
from ..errors import ConnectionFailed, IncorrectParameters, IrisError
from ..fleet.fleet import IrisFleet
from ..fleet.service import IrisRtcService
from ..login.platform_login import LoggedIn
from ..net.steady_time import steadyTime
from ..outbox.outbox import Outbox
from .account_login import AccountLogin
from .accounts import Account
from .callback_fan_out import CallbackFanOut
from .configuration import Configuration
from .interfaces import IAccountSet, ICluster
from .json_report import JsonReport
from .text_report import TextReport
from .token_files import TokenFiles

if TYPE_CHECKING:
    from ..console.call_history import CallHistory

__all__ = ["AccountSet"]

# So many accounts that go are closed at a time, and every so many seconds it is told.
_CLOSING = 500
_TELL = 5.0
# So many log in at a time. Thousands may come at once, when a member of the cluster dies: the
# services where they log in are not to notice it as a storm.
_LOGGING_IN = 50


def _waitingOf(report: IIrisListener) -> Callable[[float], None]:
    """Who is told of the seconds before another attempt."""
    return report.waiting if isinstance(report, TextReport) else lambda seconds: None


@implementer(IAccountSet)
class AccountSet:
    """
    Keeps a connection for each account, and logs in those that need it first.

    @param fleet: where the connections are kept.
    @param outbox: where calls go, if anywhere.
    @param write: writes a line to stdout, if that can be.
    @param deliver: the same, and raises L{NotTaken<iris_twisted.errors.NotTaken>} when it cannot
        be: for calls that go nowhere else.
    @param lastEnded: called with the reason when no account is left that could connect.
    @param callHistory: writes down what the console shows.
    @param cluster: where the accounts come from, if they are not the configuration's.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        fleet: IrisFleet,
        outbox: Outbox | None,
        write: Callable[[str], None],
        deliver: Callable[[str], None],
        lastEnded: Callable[[IrisError], None],
        callHistory: CallHistory | None = None,
        cluster: ICluster | None = None,
    ) -> None:
        self._reactor = reactor
        self._configuration = configuration
        self._fleet = fleet
        self._outbox = outbox
        self._write = write
        self._deliver = deliver
        self._lastEnded = lastEnded
        self._callHistory = callHistory
        self._cluster = cluster
        self._one = not configuration.many
        self._loggingIn = DeferredSemaphore(_LOGGING_IN)
        self._files = TokenFiles(reactor)
        self._files.startService()
        # Of each account that is here, what closes its connection, or ends its login.
        self._closers: dict[Account, Callable[[], Deferred[Any]]] = {}
        # Those that are connected, or may be later; and those that have a connection.
        self._living: set[Account] = set()
        self._connected: set[Account] = set()
        self._stopped = False
        self._texts: dict[Account, TextReport] = {}

    @property
    def living(self) -> int:
        """How many accounts are connected, or may be later."""
        return len(self._living)

    def look(self) -> list[str]:
        """A few lines for a terminal: the connections right now, and the calls that ring."""
        states = self._fleet.states
        if self._one:
            lines = [text.status for text in self._texts.values()]
        else:
            lines = [", ".join(f"{states[s]} {s.value}" for s in ConnectionState if states[s])]
        for text in self._texts.values():
            lines += text.ringing
        return lines

    async def adopt(self, tokens: Mapping[Account, str | None]) -> tuple[int, int]:
        """
        Go on with these accounts, and close all others; the unchanged ones do not notice.

        @param tokens: of each account, C{None} for those that log in.
        @return: how many came, and how many left.
        """
        gone = [account for account in self._closers if account not in tokens]
        come = [account for account in tokens if account not in self._closers]
        # Who comes counts at once: while others are closed the last of the rest may end.
        self._living.difference_update(gone)
        self._living.update(come)
        await self._close([self._closers.pop(account) for account in gone])
        if self._stopped:
            return 0, len(gone)
        for account in come:
            self.add(account, tokens[account])
        return len(come), len(gone)

    # IAccountSet

    def serviceOf(self, routingId: str) -> IrisRtcService | None:
        return self._fleet.accounts.get(routingId)

    def remove(self, account: Account) -> Deferred[Any]:
        self._living.discard(account)
        close = self._closers.pop(account, None)
        return succeed(None) if close is None else close()

    async def _close(self, closers: list[Callable[[], Deferred[Any]]]) -> None:
        """Many at a time: each takes a few seconds where the platform says nothing."""
        closed = 0

        def count(_: object) -> None:
            nonlocal closed
            closed += 1

        async def tell() -> None:
            while True:
                await deferLater(steadyTime(self._reactor), _TELL)
                words = "reloading: {closed} of {all} accounts that go are closed"
                self._log.warn(words, closed=closed, all=len(closers))

        telling = Deferred.fromCoroutine(tell())
        telling.addErrback(lambda failure: failure.trap(CancelledError) and None)
        room = DeferredSemaphore(_CLOSING)
        try:
            await gatherResults([room.run(close).addCallback(count) for close in closers])
        finally:
            telling.cancel()

    async def stop(self) -> None:
        """
        End the logins that are under way, and let no account come any more; the connections are
        the fleet's to close.
        """
        self._stopped = True
        self._files.stopService()
        for account in list(self._closers):
            if account not in self._connected:
                await self._closers[account]()

    def add(self, account: Account, token: str | None) -> None:
        self._living.add(account)
        configuration = self._configuration
        report = self._report(account)
        if account.email is None and configuration["auth-manager"] is None:
            if configuration["notification-manager"] is None and account.routingId is not None:
                # There is nothing to ask before: not for a token, a routing id or a subscription.
                assert token is not None
                self._connect(account, report, None, LoggedIn(token, account.routingId))
                return
        waiting = _waitingOf(report)
        accountLogin = AccountLogin(
            self._reactor, configuration, account, token, report, waiting, self._loggingIn
        )
        arriving = accountLogin.run()

        def endLogin() -> Deferred[Any]:
            arriving.cancel()
            return succeed(None)

        self._closers[account] = endLogin
        provider = None if accountLogin.auth is None else accountLogin.auth.token
        arriving.addCallback(partial(self._connect, account, report, provider))
        arriving.addErrback(self._failedToArrive, account)

    def _failedToArrive(self, failure: Failure, account: Account) -> None:
        if failure.check(CancelledError):
            return
        # The next reload tries it again.
        self._closers.pop(account, None)
        error = failure.value
        if not isinstance(error, IrisError):
            self._log.failure("a bug in logging in", failure)
            error = ConnectionFailed(f"logging in failed by a bug: {type(error).__name__}")
        self._ended(error, account)

    def _connect(
        self,
        account: Account,
        report: IIrisListener,
        provider: Callable[[], Any] | None,
        who: LoggedIn,
    ) -> None:
        routingId, token, seen = who.routingId, who.token, None
        if routingId in self._fleet.accounts:
            # Only who has logged in may be known so late.
            error = IncorrectParameters(f"another account is connected as {routingId} already")
            report.onConnectionError(error.code, error.message)
            raise error
        sinks = self._sinksOf(account)
        offer: Callable[[dict[str, Any]], Deferred[None]] | None = None
        if self._cluster is not None:
            offer = partial(self._cluster.offer, routingId, specs=sinks)
        elif self._isOffered(account) and self._outbox is not None:
            offer = partial(self._outbox.offer, routingId, specs=sinks)
        history = None if self._callHistory is None else self._callHistory.open(routingId)
        if account.tokenFile is not None:
            # It was read a while ago, if others had to be closed or subscribed first.
            token, seen = self._files.current(account.tokenFile, token)
        listeners = [report] if history is None else [report, history]
        if self._cluster is not None:
            listeners.append(self._cluster.listener(account))
        service = self._fleet.add(
            routingId,
            token,
            CallbackFanOut(listeners, offer),
            provider,
            waitForToken=(
                account.tokenFile is not None or provider is not None or self._cluster is not None
            ),
            waiting=_waitingOf(report),
        )
        if history is not None:
            history.connection, history.sinks = service.connection, sinks
        if isinstance(report, TextReport):
            report.connection = service.connection
            self._texts[account] = report
            report.asking(self._configuration["event-manager"], routingId)
        unwatch: Callable[[], None] = lambda: None  # noqa: E731
        if account.tokenFile is not None:
            unwatch = self._files.watch(account.tokenFile, service.updateToken, seen)

        def close() -> Deferred[Any]:
            unwatch()
            self._connected.discard(account)
            self._texts.pop(account, None)
            if self._callHistory is not None:
                self._callHistory.close(routingId)
            return self._fleet.remove(routingId)

        self._closers[account] = close
        self._connected.add(account)
        service.ended.addCallback(self._ended, account)

    def _sinksOf(self, account: Account) -> Sequence[str]:
        sinks: Sequence[str] = self._configuration["sink"]
        return sinks if account.sinks is None else account.sinks

    def _isOffered(self, account: Account) -> bool:
        """Whether its calls go anywhere but to stdout."""
        if self._cluster is not None:
            return True
        return bool(self._sinksOf(account)) and self._outbox is not None

    def _report(self, account: Account) -> IIrisListener:
        # What is written beside sinks is for people, and keeps no call from those.
        writeCall = self._write if self._isOffered(account) else self._deliver
        if self._configuration.output == "none":
            return IrisListener()
        if self._configuration.output == "json":
            name = None if self._one else account.name
            return JsonReport(self._write, self._reactor.seconds, name, writeCall)
        return TextReport(
            self._write,
            steadyTime(self._reactor).seconds,
            None if self._one else account.name,
            self._configuration["verbose"],
            self._reactor.seconds,
            writeCall,
        )

    def _ended(self, error: IrisError | None, account: Account) -> None:
        if error is None:
            return
        self._living.discard(account)
        if self._configuration.output == "none":
            self._log.error("{name}: {reason}", name=account.name, reason=error.message)
        if self._cluster is not None:
            self._cluster.ended(account)
        elif not self._living:
            self._lastEnded(error)
