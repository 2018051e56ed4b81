"""
Whether somebody is who they say: what it costs, what is remembered, what it gives away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from iris_twisted.operators import Operator
from iris_twisted.operators import checker as checkerModule
from iris_twisted.operators.checker import Attempt, OperatorChecker
from iris_twisted.operators.hashes import hashOf
from iris_twisted.operators.limit import FailureLimit

from .test_file import BOTH, HASH, PASSWORD, READ

OTHER = hashOf("another CANARY password")


class Timed:
    """The reactor, whose monotonic time is a clock's."""

    _irisSteadyTime = None

    def __init__(self) -> None:
        self.clock = Clock()
        self.monotonicSeconds: Callable[[], float] = self.clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Checking(TestCase):
    """One checker, with the real hashes in real threads."""

    timeout = 30

    def setUp(self) -> None:
        self.reactor = Timed()
        self.limit = FailureLimit(self.reactor.clock.seconds, atOnce=3, interval=10.0)
        operators = {"bob": Operator("bob", READ, HASH), "zoë": Operator("zoë", BOTH, OTHER)}
        self.checker = OperatorChecker(self.reactor, operators, self.limit)
        self.verified: list[tuple[str, int]] = []
        isPassword = checkerModule.isPassword

        def verifying(hash: str, password: str) -> bool:
            self.verified.append((hash, threading.get_ident()))
            return isPassword(hash, password)

        self.patch(checkerModule, "isPassword", verifying)

    async def try_(self, name: str, password: str = PASSWORD, network: str = "a") -> Any:
        """Whether it was right; the seconds to wait, when nobody looked."""
        attempt = Attempt(name.encode(), password.encode(), network)
        try:
            avatar = await self.checker.requestAvatarId(attempt)
        except UnauthorizedLogin:
            return attempt.retryAfter if attempt.retryAfter is not None else False
        self.assertEqual(avatar, name.encode())
        return True

    async def test_answers(self) -> None:
        """The right password of that name, and nothing else; verified outside of the reactor."""
        self.assertTrue(verifyObject(ICredentialsChecker, self.checker))
        self.assertTrue(verifyObject(IUsernamePassword, Attempt(b"", b"", "a")))
        for number, (name, password, right) in enumerate(
            (
                ("bob", PASSWORD, True),
                ("zoë", "another CANARY password", True),
                ("bob", "another CANARY password", False),
                ("bob", "", False),
                ("", PASSWORD, False),
                ("Bob", PASSWORD, False),
            )
        ):
            self.assertEqual(await self.try_(name, password, str(number)), right, (name, password))
        self.assertEqual(len(self.verified), 6)
        self.assertNotIn(threading.get_ident(), [thread for _, thread in self.verified])

    async def test_oddBytes(self) -> None:
        """What is no UTF-8 is nobody's name or password."""
        for name, password in ((b"\xff", b"x"), (b"bob", b"\xff\xfe"), (b"bob", b"\xed\xb3\xbf")):
            attempt = Attempt(name, password, repr(password))
            failing = self.checker.requestAvatarId(attempt)
            await self.assertFailure(failing, UnauthorizedLogin)  # type: ignore[misc]

    async def test_remembered(self) -> None:
        """A right password is verified once in five minutes; a wrong one each time."""
        for _ in range(5):
            self.assertTrue(await self.try_("bob"))
        self.assertEqual(len(self.verified), 1)
        self.assertFalse(await self.try_("bob", "wrong"))
        self.assertTrue(await self.try_("bob"))
        self.assertEqual(len(self.verified), 2)
        self.reactor.clock.advance(299)
        self.assertTrue(await self.try_("bob"))
        self.assertEqual(len(self.verified), 2)
        # Being used does not prolong it.
        self.reactor.clock.advance(2)
        self.assertTrue(await self.try_("bob"))
        self.assertEqual(len(self.verified), 3)
        self.checker.forget()
        self.assertTrue(await self.try_("bob"))
        self.assertEqual(len(self.verified), 4)

    async def test_notThePassword(self) -> None:
        """What is remembered holds no password, and differs in every process."""
        await self.try_("bob")
        other = OperatorChecker(self.reactor, self.checker.operators, self.limit)
        await other.requestAvatarId(Attempt(b"bob", PASSWORD.encode(), "a"))
        (mine,), (its,) = self.checker._known.values(), other._known.values()
        self.assertNotEqual(mine.digest, its.digest)
        self.assertEqual(len(mine.digest), 32)
        self.assertNotIn("CANARY", repr(self.checker._known))

    async def test_changed(self) -> None:
        """A removed operator and an old password count no more, remembered or under way."""
        self.assertTrue(await self.try_("bob"))
        self.checker.operators = {"bob": Operator("bob", READ, OTHER)}
        self.assertFalse(await self.try_("bob"))
        self.checker.operators = {"bob": Operator("bob", READ, HASH)}
        self.checker.forget()
        underWay = Deferred.fromCoroutine(self.try_("bob"))
        self.checker.operators = {}
        self.assertFalse(await underWay)
        self.assertEqual(self.checker._known.keys(), set())

    async def test_unknownCostsTheSame(self) -> None:
        """Nobody's name costs one verification too, of a hash like the others; so with no operators."""
        for name in ("eve", "mallory", "trent", "bob"):
            self.assertFalse(await self.try_(name, "wrong", name))
        self.assertEqual(len(self.verified), 4)
        self.assertTrue({hash for hash, _ in self.verified} <= {HASH, OTHER})
        first = self.verified[0][0]
        await self.try_("eve", "wrong", "again")
        self.assertEqual(self.verified[-1][0], first)
        self.checker.operators = {}
        self.assertFalse(await self.try_("eve", PASSWORD, "x"))
        costs = {hash.split("$")[3] for hash, _ in self.verified}
        self.assertEqual(costs, {HASH.split("$")[3]})

    async def test_standInOpensNothing(self) -> None:
        """The password of the operator whose hash stands in lets nobody else in."""
        self.checker.operators = {"bob": Operator("bob", READ, HASH)}
        self.assertFalse(await self.try_("eve", PASSWORD))
        self.assertEqual(self.verified[0][0], HASH)
        self.assertFalse(await self.try_("eve", PASSWORD))

    async def test_limit(self) -> None:
        """Too many failures: nobody looks any more, not even at the right password; others are free."""
        with capturedLogs() as logs:
            for _ in range(3):
                self.assertIs(await self.try_("bob", "wrong"), False)
            self.assertEqual(await self.try_("bob"), 10.0)
            self.assertEqual(len(self.verified), 3)
            self.assertTrue(await self.try_("bob", network="b"))
            # Nor may they try what is remembered of others.
            self.assertEqual(await self.try_("bob"), 10.0)
            self.reactor.clock.advance(10)
            self.assertTrue(await self.try_("bob"))
        said = [log["log_format"].format(**log) for log in logs]
        self.assertEqual(said[0], "a failed to log in as operator bob")
        self.assertEqual(
            said[3], "a has failed to log in too often, and has to wait; the last was operator bob"
        )
        self.assertEqual(len(said), 4)

    async def test_successForgivesNothing(self) -> None:
        """Who has an account cannot try those of others for ever."""
        for _ in range(3):
            self.assertIs(await self.try_("zoë", "wrong"), False)
            if len(self.verified) < 5:
                self.assertTrue(await self.try_("bob"))
        self.assertEqual(await self.try_("bob"), 10.0)

    async def test_namesOfNobody(self) -> None:
        """A password typed as a name is not logged."""
        with capturedLogs() as logs:
            for _ in range(3):
                await self.try_("CANARY", "x")
        self.assertTrue(logs)
        self.assertNotIn("CANARY", repr(logs))

    async def test_manyAtOnce(self) -> None:
        """Two are verified at a time; of a crowd from one address hardly more than it may fail."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        inside: list[int] = []
        most: list[int] = []
        verifying = checkerModule.isPassword

        def slowly(hash: str, password: str) -> bool:
            inside.append(1)
            most.append(len(inside))
            gate.wait(20)
            found = verifying(hash, password)
            inside.pop()
            return found

        self.patch(checkerModule, "isPassword", slowly)
        crowd = [Deferred.fromCoroutine(self.try_("bob", f"guess {n}")) for n in range(42)]
        # More than may wait are put off at once.
        self.assertEqual([d.result for d in crowd if d.called], [2.0] * 8)
        gate.set()
        results = [await d for d in crowd]
        self.assertLessEqual(len(self.verified), 4)
        self.assertEqual(results.count(False), len(self.verified))
        self.assertEqual(max(most), 2)
        self.assertEqual(inside, [])

    def gated(self) -> threading.Event:
        """Every verification waits for it."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        verifying = checkerModule.isPassword
        self.patch(checkerModule, "isPassword", lambda *a: gate.wait(20) and verifying(*a))
        return gate

    async def test_shared(self) -> None:
        """Many who give the same at once share one verification, and are more than may wait for one."""
        gate = self.gated()
        right = [Deferred.fromCoroutine(self.try_("bob")) for _ in range(100)]
        other = Deferred.fromCoroutine(self.try_("zoë"))
        gate.set()
        self.assertEqual({await d for d in right}, {True})
        self.assertIs(await other, False)
        self.assertEqual(len(self.verified), 2)
        self.assertEqual(self.checker._verifying, {})

    async def test_sharedGuess(self) -> None:
        """One wrong guess that came often is one failure, of each address that made it."""
        gate = self.gated()
        many = [Deferred.fromCoroutine(self.try_("bob", "wrong", n)) for n in "aaabbb"]
        gate.set()
        self.assertEqual({await d for d in many}, {False})
        self.assertEqual(len(self.verified), 1)
        for network in "ab":
            self.assertIs(await self.try_("bob", "wrong 2", network), False)
            self.assertIs(await self.try_("bob", "wrong 3", network), False)
            self.assertEqual(await self.try_("bob", network=network), 10.0)

    async def test_sharedWithWhoMayNot(self) -> None:
        """Who failed too often meanwhile is put off; whoever else gave the same is let in."""
        gate = self.gated()
        wrong = [Deferred.fromCoroutine(self.try_("bob", f"wrong {n}")) for n in range(4)]
        bad = Deferred.fromCoroutine(self.try_("bob", network="a"))
        good = Deferred.fromCoroutine(self.try_("bob", network="b"))
        gate.set()
        self.assertEqual({await d for d in wrong}, {False})
        self.assertEqual(await bad, 10.0)
        self.assertIs(await good, True)

    async def test_forgottenMeanwhile(self) -> None:
        """After a reload all are verified once more, together; an old password under way counts no more."""
        self.assertTrue(await self.try_("bob"))
        gate = self.gated()
        self.checker.forget()
        before = [Deferred.fromCoroutine(self.try_("bob")) for _ in range(50)]
        # The reload, while these wait: bob has another password.
        self.checker.operators = {"bob": Operator("bob", READ, OTHER)}
        self.checker.forget()
        now = [
            Deferred.fromCoroutine(self.try_("bob", "another CANARY password")) for _ in range(50)
        ]
        gate.set()
        self.assertEqual({await d for d in before}, {False})
        self.assertEqual({await d for d in now}, {True})
        self.assertEqual(len(self.verified), 3)

    async def test_brokenVerification(self) -> None:
        """What breaks in verifying ends all who wait for it, and only them."""

        def broken(*_: Any) -> bool:
            raise MemoryError("no room")

        patched = self.patch(checkerModule, "isPassword", broken)
        many = [Deferred.fromCoroutine(self.try_("bob")) for _ in range(3)]
        for one in many:
            await self.assertFailure(one, MemoryError)  # type: ignore[misc]
        patched.restore()
        self.assertEqual(len(self.limit), 0)
        self.assertTrue(await self.try_("bob"))

    async def test_rememberedWaitForNobody(self) -> None:
        """Who was right before is let in while others are verified."""
        self.assertTrue(await self.try_("bob"))
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.patch(checkerModule, "isPassword", lambda *_: not gate.wait(20))
        others = [Deferred.fromCoroutine(self.try_("zoë", "x", str(n))) for n in range(5)]
        known = Deferred.fromCoroutine(self.try_("bob"))
        self.assertTrue(known.called and known.result)
        # The reactor's other threads are free too: name resolution needs them.
        self.assertEqual(await deferToThread(lambda: 5), 5)
        gate.set()
        for other in others:
            self.assertIs(await other, False)
