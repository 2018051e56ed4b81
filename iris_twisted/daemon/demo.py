"""
What C{twist iris} does when no event manager is named: a sandbox in the same
process, a connection to it, and a call every few seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..command_line.exit_status import ExitStatus, stopWith
from ..net.steady_time import steadyTime
from ..sandbox.server import Sandbox, startSandbox
from .accounts import Account
from .configuration import Configuration
from .daemon import Daemon
from .terminal_output import TerminalOutput

__all__ = ["Demo", "demonstration"]

_CONSOLE = "tcp:0:interface=127.0.0.1"
_SANDBOX = "No event manager was named, so a sandbox in this process plays the platform."
_NEXT = """
To use a real platform, put an iris token into a file and type:
    twist iris --event-manager https://EVENT.MANAGER --routing-id USER@DOMAIN --token-file FILE
Ctrl-C ends.
"""

_CALLERS = (
    ("+12155550100", "grandma@example.test"),
    ("+12155550142", "office@example.test"),
    ("+12155550177", "doorbell@example.test"),
)


class Demo(Service):
    """
    A sandbox, a client that is connected to it, and calls.

    @param routingId: whom to ring.
    @param client: makes what connects to the sandbox.
    @param placed: called after each call was placed.
    @param interval: seconds between calls; the first comes after one second.
    @ivar started: fires when the client was started, or could not be.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        routingId: str,
        client: Callable[[Sandbox], IService],
        placed: Callable[[], None],
        interval: float = 5.0,
    ) -> None:
        self._reactor = reactor
        self._time = steadyTime(reactor)
        self._routingId = routingId
        self._makeClient = client
        self._placed = placed
        self._interval = interval
        self._callers = itertools.cycle(_CALLERS)
        self._calling = LoopingCall(self._call)
        self._calling.clock = self._time
        self._first: IDelayedCall | None = None
        self._sandbox: Sandbox | None = None
        self._client: IService | None = None
        self.started: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        self.started = Deferred.fromCoroutine(self._start())
        self.started.addErrback(self._failedToStart)

    def _failedToStart(self, failure: Failure) -> None:
        self._log.failure("the demonstration cannot start", failure)
        stopWith(self._reactor, int(ExitStatus.EX_SOFTWARE))

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        self._sandbox = await startSandbox(self._reactor)
        self._client = self._makeClient(self._sandbox)
        self._client.startService()
        self._first = self._time.callLater(1.0, self._calling.start, self._interval)

    async def _stop(self) -> None:
        if self.started is not None:
            await self.started
        if self._first is not None and self._first.active():
            self._first.cancel()
        if self._calling.running:
            self._calling.stop()
        if self._client is not None:
            await maybeDeferred(self._client.stopService)
        if self._sandbox is not None:
            await self._sandbox.stop()

    def _call(self) -> None:
        assert self._sandbox is not None
        number, sender = next(self._callers)
        self._sandbox.placeCall(self._routingId, caller=number, sender=sender)
        self._placed()


def demonstration(
    configuration: Configuration,
    routingId: str,
    reactor: Any,
    terminalOutput: TerminalOutput,
    complain: Callable[[str], None],
    environment: Mapping[str, str],
) -> IService:
    """
    The daemon of this configuration, at a sandbox; and what to type next, after the first call.

    @param routingId: of its one account.
    @param terminalOutput: where text goes.
    @param complain: writes a line to stderr.
    @param environment: of which systemd's variables count.
    """
    told = configuration.output != "text"

    def client(sandbox: Sandbox) -> IService:
        account = Account(routingId, token=sandbox.token(routingId))
        if configuration.output == "text":
            terminalOutput.write(_SANDBOX)
        ours = attrs.evolve(
            configuration,
            values={
                **configuration.values,
                "event-manager": sandbox.url,
                "console": configuration["console"] or _CONSOLE,
            },
            accounts=(account,),
            settings=attrs.evolve(configuration.settings, proxy=None),
        )
        tokens = {account: account.token}
        return Daemon(ours, tokens, reactor, terminalOutput, complain, environment)

    def placed() -> None:
        nonlocal told
        if not told:
            told = True
            reactor.callLater(0.5, partial(terminalOutput.write, _NEXT))

    return Demo(reactor, routingId, client, placed)
