"""
The connections that a cluster wants of a daemon, without a platform and a database.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from iris_twisted.cluster.connections import Connections
from iris_twisted.cluster.values import ClusterAccount, Kept, Place
from iris_twisted.daemon.accounts import Account
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.daemon.interfaces import IAccountSet
from iris_twisted.errors import IncorrectParameters, NotKept
from iris_twisted.outbox import Outbox
from iris_twisted.outbox import Place as Right

from ..outbox.test_outbox import OutboxCase

GIVEN = {
    "event-manager": "https://evm.test",
    "cluster": "host=x",
    "cluster-key-file": "k",
    "sink": ["one"],
}
_ELSEWHERE = "exec:/only/on/another/machine"


@implementer(IAccountSet)
class Accounts:
    """
    Nobody is connected.

    @ivar tokens: with which somebody should be.
    """

    def __init__(self) -> None:
        self.tokens: list[str | None] = []

    def add(self, account: Account, token: str | None) -> None:
        self.tokens.append(token)

    def remove(self, account: Account) -> Deferred[Any]:
        return succeed(None)

    def serviceOf(self, routingId: str) -> None:
        return None


class Offers(OutboxCase):
    """Calls for accounts with sinks of their own."""

    def setUp(self) -> None:
        super().setUp()

        def make(spec: str) -> Any:
            if spec == _ELSEWHERE:
                raise IncorrectParameters("sink exec: it is no program that can be run")
            return self.sinks[spec]

        configuration = Configuration.read(GIVEN, {}, None)
        self.outbox = Outbox(self.clock, self.path, make)
        self.connections = Connections(self.clock, configuration)
        known = self.known = Accounts()
        self.assertTrue(verifyObject(IAccountSet, known))
        self.connections.use(known, self.outbox)

    def kept(self, *sinks: str) -> Kept:
        return Kept(Place(1, 0, 1, 1), ClusterAccount("a@x.test", "t", sinks=sinks))

    def call(self) -> Deferred[None]:
        offering = self.connections.offer(Right("a@x.test", 0, 1), {"roomid": "r1"})
        offered = Deferred.fromCoroutine(offering)
        self.clock.settle()
        return offered

    def test_oneThatCannotBeUsedHere(self) -> None:
        """
        A call is refused when one of its account's sinks cannot be used by this member: it is not
        kept for the others alone, and not known either, so that another copy can keep it whole.
        """
        for number, sinks in enumerate(((_ELSEWHERE,), (_ELSEWHERE, "one"), ("one", _ELSEWHERE))):
            if number:
                self.connections.change(self.kept(*sinks))
            else:
                self.connections.start(self.kept(*sinks))
            error = self.failureResultOf(self.call(), NotKept).value
            self.assertEqual(error.message, "a sink of a@x.test cannot be used here")
            self.assertEqual(self.sinks["one"].taken, [])
            self.assertEqual(set(self.depths().values()) - {0}, set())
        # Somebody has changed that.
        self.connections.change(self.kept("two", "one"))
        self.successResultOf(self.call())
        self.assertEqual([self.sinks[name].rooms() for name in ("one", "two")], [["r1"], ["r1"]])
        self.stop()

    def test_none(self) -> None:
        """Of an account whose calls go nowhere each is acknowledged."""
        self.connections.start(self.kept())
        self.successResultOf(self.call())
        self.assertEqual(set(self.depths().values()) - {0}, set())
        self.stop()


@implementer(IAccountSet)
class Services(Accounts):
    """Whoever was added has a service, which takes each token."""

    def serviceOf(self, routingId: str) -> Any:
        return self

    def updateToken(self, token: str) -> None:
        """As a service does."""


class GivenUp(SynchronousTestCase):
    """Accounts of which the platform wants nothing to know."""

    def setUp(self) -> None:
        self.clock, self.known = Clock(), Services()
        self.connections = Connections(self.clock, Configuration.read(GIVEN, {}, None))
        self.connections.use(self.known, None)

    def kept(self, token: str) -> Kept:
        return Kept(Place(1, 0, 1, 1), ClusterAccount("a@x.test", token))

    def giveUp(self) -> None:
        self.connections.ended(self.connections._connections["a@x.test"].account)

    def test_latestToken(self) -> None:
        """It is tried again with the token that was set meanwhile."""
        self.connections.start(self.kept("t1"))
        self.connections.change(self.kept("t2"))
        self.assertEqual(self.known.tokens, ["t1"])
        self.giveUp()
        self.clock.advance(60)
        self.assertEqual(self.known.tokens, ["t1", "t2"])

    def test_changed(self) -> None:
        """What is changed of it is tried at once, and not once more after a while."""
        self.connections.start(self.kept("t1"))
        self.giveUp()
        self.connections.change(self.kept("t2"))
        self.assertEqual(self.known.tokens, ["t1", "t2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """It waits once, however often it is given up; and no longer when its place is gone."""
        self.connections.start(self.kept("t1"))
        self.giveUp()
        self.giveUp()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.successResultOf(self.connections.stop(self.kept("t1")))
        self.assertEqual(self.clock.getDelayedCalls(), [])
