"""
Everything that C{twist iris} keeps running, put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from ..command_line.exit_status import ExitStatus, statusFor, stopWith
from ..connection.state import ConnectionState
from ..errors import IncorrectParameters
from ..fleet.fleet import IrisFleet
from ..outbox.outbox import Outbox
from ..sinks.checking import checkSinks
from ..sinks.interfaces import INotificationSink
from ..sinks.registry import makeSink
from .account_set import AccountSet
from .accounts import Account
from .configuration import Configuration
from .fleet_report import FleetReport
from .interfaces import ICluster
from .named_files import sinkContext
from .operator_site import Health
from .operator_sites import OperatorSites
from .systemd import SystemdNotifier
from .terminal_output import TerminalOutput

__all__ = ["Daemon"]

# Seconds that sinks get to finish when the program ends.
_PATIENCE = 3.0


class Daemon(Service):
    """
    The connections of a configuration, with their sinks and what operators look at.

    @param tokens: see L{tokensOf<iris_twisted.daemon.named_files.tokensOf>}.
    @param terminalOutput: where text goes.
    @param complain: writes a line to stderr.
    @param environment: of which systemd's variables count.
    @param cluster: where the accounts come from, if they are not the configuration's.
    @ivar fleet: the connections, once it runs.
    """

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        tokens: Mapping[Account, str | None],
        reactor: Any,
        terminalOutput: TerminalOutput,
        complain: Callable[[str], None],
        environment: Mapping[str, str],
        cluster: ICluster | None = None,
    ) -> None:
        self.configuration = configuration
        self._tokens = tokens
        self._reactor = reactor
        self._terminalOutput = terminalOutput
        terminalOutput.broken = lambda: stopWith(reactor, int(ExitStatus.EX_IOERR))
        self._complain = complain
        self._environment = environment
        self._cluster = cluster
        self.fleet = IrisFleet(
            configuration["event-manager"],
            reactor=reactor,
            attempts=configuration["attempts"],
            settings=configuration.settings,
        )
        self._notifier = SystemdNotifier(reactor, environment, self._status)
        self._outbox: Outbox | None = None
        self._sinks: list[INotificationSink] = []
        self._checking: Deferred[None] | None = None
        self._sites = OperatorSites(reactor, configuration)
        self._lines: FleetReport | None = None
        self._callHistory: Any = None
        self._metrics: Any = None
        self._accountSet: AccountSet | None = None
        self._adopting = DeferredLock()
        self.started: Deferred[None] | None = None

    # Starting and stopping

    def startService(self) -> None:
        super().startService()
        self.started = Deferred.fromCoroutine(self._start())
        self.started.addErrback(self._failedToStart)

    def _failedToStart(self, failure: Failure) -> None:
        self._log.failure("a bug in starting", failure)
        stopWith(self._reactor, int(ExitStatus.EX_SOFTWARE))

    async def _start(self) -> None:
        configuration = self.configuration
        try:
            self._sites.readOperators()
            if configuration["metrics"] is not None:
                await self._serveMetrics()
            if configuration["console"] is not None:
                await self._serveConsole()
            if self._cluster is not None and not await self._cluster.prepare():
                return
            if self._hasOutbox:
                self._openOutbox()
                self._checking = Deferred.fromCoroutine(checkSinks(self._sinks))
                await self._checking
        except CancelledError:
            return  # It is stopped already.
        except IncorrectParameters as e:
            self._complain(e.message)
            stopWith(self._reactor, int(ExitStatus.EX_UNAVAILABLE))
            return
        self._accountSet = AccountSet(
            self._reactor,
            configuration,
            self.fleet,
            self._outbox,
            self._terminalOutput.write,
            self._terminalOutput.deliver,
            lambda error: stopWith(self._reactor, statusFor(error)),
            self._callHistory,
            self._cluster,
        )
        await self._accountSet.adopt(self._tokens)
        self.fleet.startService()
        if self._cluster is not None:
            assert self._outbox is not None
            self._cluster.begin(self._accountSet, self._outbox)
        if configuration.output == "text":
            self._terminalOutput.show(self._accountSet.look, self._reactor)
            if configuration.many and not self._terminalOutput.isTerminal:
                self._lines = FleetReport(
                    self._reactor, self._connectedOfAll, self._terminalOutput.write
                )
                self._lines.startService()
        self._notifier.startService()

    @property
    def _hasOutbox(self) -> bool:
        return bool(self.configuration.sinks) or self._cluster is not None

    def _openOutbox(self) -> None:
        configuration = self.configuration
        context = sinkContext(configuration, self._reactor, self._terminalOutput.deliver)

        def make(spec: str) -> INotificationSink:
            self._sinks.append(makeSink(spec, context))
            return self._sinks[-1]

        store = configuration["spool"]
        if self._cluster is not None:
            store = self._cluster.store(configuration["forget-keys-after"])
        self._outbox = Outbox(
            self._reactor,
            store,
            make,
            retryFor=configuration["retry-for"],
            forgetKeysAfter=configuration["forget-keys-after"],
            strictOrder=configuration["strict-order"],
            observer=self._metrics,
        )
        self._outbox.use(configuration.sinks)
        if self._metrics is not None:
            self._metrics.outbox = self._outbox

    async def _serveMetrics(self) -> None:
        # Only now: it takes a while, and not everybody wants it.
        from .metrics import Metrics

        self._metrics = Metrics(self._reactor, self.fleet, self._cluster)
        root = Resource()
        root.putChild(b"metrics", self._sites.guarded(self._metrics.resource(self._reactor)))
        # Open to probes, which have no password: they tell numbers, and no names.
        root.putChild(b"healthz", Health(lambda: (True, {})))
        root.putChild(b"readyz", Health(self._readiness))
        url = await self._sites.serve("metrics", root)
        self._log.info("serving {url}metrics, {url}healthz and {url}readyz", url=url)

    async def _serveConsole(self) -> None:
        from ..console.call_history import CallHistory
        from ..console.site import consoleRoot

        self._callHistory = CallHistory(self._reactor)
        self._callHistory.start()
        root = consoleRoot(
            self._reactor,
            self._callHistory,
            self.fleet,
            self._sites.access,
            None if self._cluster is None else self._cluster.overview,
            (lambda: self._outbox) if self._hasOutbox else None,
        )
        url = await self._sites.serve("console", root)
        if self.configuration.output == "text":
            self._terminalOutput.write(f"Console:       {url}")
        else:
            self._log.info("the console is at {url}", url=url)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        if self._cluster is not None:
            self._cluster.giveUp()
        if self.started is not None:
            await self.started
        if self._notifier.running:
            self._notifier.stopService()
        if self._lines is not None:
            self._lines.stopService()
        if self._cluster is not None:
            await self._cluster.drain()
            await self._cluster.stop()
        if self._accountSet is not None:
            await self._accountSet.stop()
        if self._outbox is not None:
            # What is being given may still be acknowledged.
            await self._outbox.settle(_PATIENCE)
        await self.fleet.stopService()
        if self._outbox is not None:
            await self._outbox.stop()
        if self._cluster is not None:
            await self._cluster.leave()
        if self._callHistory is not None:
            self._callHistory.stop()
        self._terminalOutput.stop()
        await self._sites.stop()

    # How we are

    def _readiness(self) -> tuple[bool, dict[str, Any]]:
        """Ready is who would hear of the calls of most accounts."""
        found = self.fleet.states
        states = {state.value: found[state] for state in ConnectionState}
        accounts = self._accounts
        # 0.55 of 100 is 55, whatever binary fractions make of it.
        wanted = round(self.configuration["ready-share"] * accounts, 6)
        facts: dict[str, Any] = {"accounts": accounts, "connections": states}
        if self._cluster is None:
            return states["connected"] >= max(1.0, wanted), facts
        # Others may have all of them.
        well, facts["cluster"] = self._cluster.facts()
        return well and states["connected"] >= wanted, facts

    @property
    def _accounts(self) -> int:
        if self._cluster is not None:
            return self._cluster.accounts
        return len(self.configuration.accounts)

    def _connectedOfAll(self) -> tuple[int, int, int]:
        """How many are connected, how many can be, and how many there are."""
        able = 0 if self._accountSet is None else self._accountSet.living
        connected = self.fleet.states[ConnectionState.CONNECTED]
        return connected, able, self._accounts

    def _status(self) -> str:
        connected = self.fleet.states[ConnectionState.CONNECTED]
        accounts = 0 if self._accountSet is None else self._accountSet.living
        return f"{connected} of {accounts} connected"

    # Changes while it runs

    def reopen(self) -> None:
        """Files of sinks may have been moved away, and that of operators been changed."""
        if self._outbox is not None:
            self._outbox.reopen()
        self._sites.reload()

    def adopt(
        self, configuration: Configuration, tokens: Mapping[Account, str | None]
    ) -> Deferred[None]:
        """
        Go on with these accounts: the unchanged ones do not notice. What else has changed
        is logged, and waits for a restart.

        @return: fires when those that left are gone.
        """
        # Whoever is impatient sends SIGHUP twice.
        work: Deferred[None] = self._adopting.run(
            lambda: Deferred.fromCoroutine(self._adopt(configuration, tokens))
        )
        return work

    async def _adopt(
        self, configuration: Configuration, tokens: Mapping[Account, str | None]
    ) -> None:
        if self.started is not None:
            await self.started  # Who comes with it is not there yet.
        if not self.running:
            return
        before = self.configuration
        for name in configuration.changesSince(before):
            self._log.warn("{name} has changed, and needs a restart", name=name)
        new = set(configuration.sinks) - set(before.sinks)
        if new and self._outbox is None:
            self._log.warn("the first sink needs a restart")
        elif new and self._outbox is not None:
            known = len(self._sinks)
            self._outbox.use(new)
            try:
                await checkSinks(self._sinks[known:])
            except IncorrectParameters as e:
                self._log.error(
                    "{reason}; calls wait until somebody has mended it", reason=e.message
                )
        if self._accountSet is None or self._cluster is not None or not self.running:
            return
        # Before it waits for those that go: they are not wanted any more to be ready.
        self.configuration = attrs.evolve(before, accounts=configuration.accounts)
        come, gone = await self._accountSet.adopt(tokens)
        words = "reloaded: {accounts} accounts, {come} of them new, {gone} gone"
        self._log.warn(words, accounts=len(tokens), come=come, gone=gone)
