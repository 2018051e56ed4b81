"""
Calls to a program, one each, on its stdin.
"""

from __future__ import annotations

import os
import shlex
import shutil
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import IncorrectParameters, NotTaken, SinkRefused
from ..net.steady_time import steadyTime
from .context import SinkContext
from .formats import withoutHeaders
from .interfaces import INotificationSink, INotificationSinkProvider
from .record import CallRecord

__all__ = ["ExecSink", "ExecSinks"]

# sysexits.h: EX_DATAERR.
_REFUSED = 65


def _environment() -> dict[str, str]:
    """
    Ours, without what is meant for this process only: the secrets and options in C{IRIS_...}, and
    the socket of systemd in C{NOTIFY_SOCKET}.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(("IRIS_", "NOTIFY_"))}


class _Run(ProcessProtocol):
    """
    One run of the program.

    @ivar done: fires when it has the call, and fails with L{NotTaken} or L{SinkRefused}. Cancelling
        it kills the process.
    @ivar exited: fires when the process is gone, and the pipe to it closed.
    @ivar late: whether it was killed by us.
    """

    transport: Any

    def __init__(self, reactor: Any, name: str, data: bytes) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self.kill())
        self.exited: Deferred[None] = Deferred()
        self.late = False
        self._time = steadyTime(reactor)
        self._name = name
        self._data = data

    def connectionMade(self) -> None:
        self.transport.write(self._data)
        self.transport.closeStdin()

    def kill(self) -> None:
        """End it: it is late, or not wanted any more."""
        self.late = True
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            self._closePipe()

    def processExited(self, reason: Failure) -> None:
        if self.late:
            # Not at once: a reactor that starts reaps what has ended already, and trial takes a
            # test that ends in that moment for one that did not.
            self._time.callLater(0, self._closePipe)

    def _closePipe(self) -> None:
        """
        Twisted waits until a pipe has taken what was written: a child of the program, which
        inherited it, may hold it open and never read.
        """
        for pipe in list(self.transport.pipes.values()):
            pipe.connectionLost(connectionDone)

    def processEnded(self, reason: Failure) -> None:
        if not self.done.called:
            self._tell(reason)
        self.exited.callback(None)

    def _tell(self, reason: Failure) -> None:
        error: Any = reason.value
        if reason.check(ProcessDone):
            self.done.callback(None)
        elif self.late:
            self.done.errback(NotTaken(f"{self._name} took too long and was killed"))
        elif error.signal is not None:
            self.done.errback(NotTaken(f"{self._name} was ended by signal {error.signal}"))
        elif error.exitCode == _REFUSED:
            self.done.errback(SinkRefused(f"{self._name} refused the call: status {_REFUSED}"))
        else:
            self.done.errback(NotTaken(f"{self._name} ended with status {error.exitCode}"))


@implementer(INotificationSink)
class ExecSink:
    """
    Runs a program for each call, never through a shell: the record is on its stdin. The
    status 0 says that it has the call, 65 (C{EX_DATAERR}) that it never will; after anything else,
    and when it takes longer than C{context.execTimeout} seconds and is killed, it is run again
    later. What it writes goes to our stderr.

    @param words: the absolute path of the program, and its arguments.
    """

    durable = True
    concurrency = 4

    def __init__(self, words: list[str], context: SinkContext) -> None:
        self.name = f"exec:{words[0]}"
        self._words = words
        self._format = withoutHeaders("exec", context.format)
        self._reactor = context.reactor
        self._timeout = context.execTimeout
        self._running: set[_Run] = set()

    def take(self, record: CallRecord) -> Deferred[None]:
        run = _Run(self._reactor, self.name, self._format.encode(record).body + b"\n")
        try:
            self._reactor.spawnProcess(
                run, self._words[0], self._words, env=_environment(), childFDs={0: "w", 1: 2, 2: 2}
            )
        except OSError as e:
            run.done.errback(NotTaken(f"{self.name} cannot be run: {e.strerror}", cause=e))
            return run.done
        self._running.add(run)
        late = steadyTime(self._reactor).callLater(self._timeout, run.kill)

        def exited(_: Any) -> None:
            self._running.discard(run)
            if late.active():
                late.cancel()

        run.exited.addCallback(exited)
        return run.done

    def reopen(self) -> None:
        """There is nothing to open again."""

    def stop(self) -> Deferred[None]:
        running = list(self._running)
        for run in running:
            run.kill()
        gone: Deferred[Any] = gatherResults([run.exited for run in running])
        return gone.addCallback(lambda _: None)


@implementer(IPlugin, INotificationSinkProvider)
class ExecSinks:
    """C{exec:PROGRAM [ARGUMENT ...]}, split into words as a shell would, and no more."""

    name = "exec"

    def make(self, argument: str, context: SinkContext) -> INotificationSink:
        try:
            words = shlex.split(argument)
        except ValueError as e:
            raise IncorrectParameters(f"sink exec: {e}") from None
        if not words or "\0" in argument:
            raise IncorrectParameters("sink exec needs a program: exec:PROGRAM")
        if not words[0].isprintable():
            raise IncorrectParameters(f"sink exec: {words[0]!a} cannot be printed in UTF-8")
        found = shutil.which(words[0])
        if found is None:
            raise IncorrectParameters(f"sink exec: {words[0]} is no program that can be run")
        return ExecSink([os.path.abspath(found), *words[1:]], context)
