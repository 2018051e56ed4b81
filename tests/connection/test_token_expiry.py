"""
L{iris_twisted.connection.token_expiry} and L{iris_twisted.net.jwt}: security.md, "JWT".
"""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.token_expiry import TokenWatch
from iris_twisted.net.jwt import expiryOf, issuedOf
from iris_twisted.net.steady_time import steadyTime

from ..contract.test_contract import ContractCase
from ..doubles import DriftingClock
from ..tokens import jwt


class Expiry(SynchronousTestCase):
    """security.md, "JWT"."""

    def test_claims(self) -> None:
        """The exp claim, and nothing that only looks like one."""
        for claims, expected in (
            ({"exp": 1700000000}, 1700000000.0),
            ({"exp": 1.5}, 1.5),
            ({"exp": -5}, -5.0),
            ({}, None),
            ({"exp": "1700000000"}, None),
            ({"exp": True}, None),
            ({"exp": None}, None),
            ({"exp": 10**400}, None),
            ({"exp": []}, None),
            ([], None),
            ("exp", None),
        ):
            self.assertEqual(expiryOf(jwt(claims)), expected)
        self.assertIsNone(expiryOf(jwt({"exp": 0}).replace("e30.", "")))
        self.assertIsNone(expiryOf("a.!.c"))
        self.assertIsNone(expiryOf(f"a.{base64.b64encode(b'{exp: NaN}').decode()}.c"))

    def test_issued(self) -> None:
        """An iat claim that no float holds is none, and the warning comes all the same."""
        for iat in (10**400, -(10**400), "0", True, None, []):
            self.assertIsNone(issuedOf(jwt({"iat": iat})))
        self.assertEqual(issuedOf(jwt({"iat": 5})), 5.0)
        for iat in (10**400, -(10**400), 1e308, -1.7e308):
            for exp in (10_000, 1e308, -1e308):
                clock, told = Clock(), list[float]()
                clock.advance(9_800)
                watch = TokenWatch(clock, 300.0, told.append)
                watch.arm(jwt({"exp": exp, "iat": iat}))
                clock.pump([10] * 30)
                self.assertEqual(len(told), 1 if exp <= 10_000 else 0, (iat, exp))
                watch.disarm()

    @given(st.text() | st.text().map(lambda t: f"a.{t}.b"))
    def test_anything(self, token: str) -> None:
        """Nothing raises."""
        expiryOf(token)

    def test_watch(self) -> None:
        """It looks at least every hour, tells once, and can be disarmed."""
        clock, told = Clock(), list[float]()
        watch = TokenWatch(clock, 300.0, told.append)
        watch.arm(jwt({"exp": 10_000}))
        self.assertEqual(clock.getDelayedCalls()[0].getTime(), 3600.0)
        clock.pump([100] * 97)
        self.assertEqual(told, [300.0])
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm(jwt({"exp": 20_000}))
        watch.disarm()
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm("no jwt")
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.arm(jwt({"exp": 1e308}))
        watch.disarm()


class ClockThatIsSet(ContractCase):
    """An expiry is a date."""

    def test_forward(self) -> None:
        """A clock that passes the expiry at once, or a sleep past it, is noticed at once."""
        for jump in (3 * 3600, 7000):
            clock = DriftingClock()
            world = self.world(clock=clock)
            world.connect(jwt({"exp": clock.seconds() + 7200, "iat": clock.seconds()}))
            world.advance(60)
            clock.jump(jump)
            world.advance(3)
            ((left,),) = world.recorder.of("onTokenAboutToExpire")
            self.assertLessEqual(abs(left - max(0, 7200 - 60 - jump)), 3)
            world.advance(7200, step=60)
            self.assertEqual(len(world.recorder.of("onTokenAboutToExpire")), 1)

    def test_back(self) -> None:
        """Set back, the expiry is further away; it is told when it comes."""
        clock = DriftingClock()
        world = self.world(clock=clock)
        world.connect(jwt({"exp": clock.seconds() + 1000, "iat": clock.seconds()}))
        world.settle()
        clock.jump(-1000)
        world.advance(1690)
        self.assertEqual(world.recorder.of("onTokenAboutToExpire"), [])
        world.advance(220)
        self.assertEqual(len(world.recorder.of("onTokenAboutToExpire")), 1)

    def test_nothingKept(self) -> None:
        """A watch that watches nothing, or has told, is not told of clocks."""
        clock, told = Clock(), list[float]()
        watch = TokenWatch(clock, 300.0, told.append)
        dates = steadyTime(clock)._dates
        watch.arm(jwt({"exp": 10_000}))
        watch.arm(jwt({"exp": 20_000}))
        self.assertEqual(len(dates), 1)
        watch.disarm()
        self.assertEqual(len(dates), 0)
        watch.arm(jwt({"exp": 10}))
        clock.advance(20)
        self.assertEqual((len(told), len(dates)), (1, 0))
