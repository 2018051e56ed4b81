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
from iris_twisted.net.jwt import expiryOf

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
