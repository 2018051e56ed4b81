"""
Whether sinks are asked at the start, and what becomes of their answers.
"""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iris_twisted.errors import IncorrectParameters, NotTaken
from iris_twisted.interfaces import ICheckedSink, INotificationSink
from iris_twisted.sinks import CallRecord, checkSinks

from ..network import RID, NetworkCase
from ..processes import startTwist


@implementer(INotificationSink)
class Silent:
    """A sink that cannot be asked."""

    name = "silent"
    durable = False
    concurrency = 1

    def take(self, record: CallRecord) -> Deferred[None]:
        return succeed(None)

    def reopen(self) -> None:
        pass

    def stop(self) -> Deferred[None]:
        return succeed(None)


@implementer(ICheckedSink)
class Asked(Silent):
    """A sink that answers as it is told."""

    def __init__(self, answer: Any = None) -> None:
        self.name = "asked"
        self.answer = answer

    def check(self) -> Deferred[None]:
        if isinstance(self.answer, Exception):
            return fail(self.answer)
        return self.answer if isinstance(self.answer, Deferred) else succeed(None)


class Checks(SynchronousTestCase):
    """The answers."""

    def check(self, *sinks: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(checkSinks(sinks))

    def test_mistake(self) -> None:
        """The first mistake, when all have answered."""
        late: Deferred[None] = Deferred()
        wrong = (IncorrectParameters("first"), IncorrectParameters("second"))
        checking = self.check(Asked(), Silent(), *map(Asked, wrong), Asked(late))
        self.assertNoResult(checking)
        late.callback(None)
        self.assertIs(self.failureResultOf(checking).value, wrong[0])

    def test_away(self) -> None:
        """One that is away is logged, and no reason to end; nor is one with a bug."""
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(eventAsText(event, includeTraceback=False))

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)  # type: ignore[arg-type]
        away, bug = Asked(NotTaken("asked is away")), Asked(ZeroDivisionError())
        self.successResultOf(self.check(away, bug))
        self.assertTrue([line for line in lines if "asked is away; calls wait" in line])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancel(self) -> None:
        """Cancelling cancels all that have not answered; none of them is logged as unhandled."""
        cancelled: list[Any] = []
        sinks = [Asked(Deferred(cancelled.append)) for _ in range(3)]
        checking = self.check(*sinks)
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(len(cancelled), 3)
        del sinks, checking
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])


class Daemon(NetworkCase):
    """twist iris, whose broker says nothing."""

    timeout = 60

    async def test_interrupted(self) -> None:
        """Ctrl-C ends it at once while it waits for a broker."""
        connected: Deferred[None] = Deferred()

        class Nobody(Protocol):
            def connectionMade(self) -> None:
                connected.callback(None)

        factory = Factory.forProtocol(Nobody)
        factory.noisy = False
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        sink = f"amqp:amqp://127.0.0.1:{port.getHost().port}/?exchange=calls&timeout=600"
        sandbox = await self.sandbox()
        program = startTwist(
            self,
            *("iris", "--event-manager", sandbox.url, "--routing-id", RID, "--sink", sink),
            env={"IRIS_TOKEN": sandbox.token(RID)},
        )
        await connected
        await program.signal("INT")
        self.assertNotIn("Traceback", program.stderr)
