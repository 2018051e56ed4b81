"""
L{iris_twisted.connection.settings}: each wrong argument is named.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.connection.connection import IrisRtcConnection
from iris_twisted.connection.retry import FullJitter
from iris_twisted.connection.settings import Settings
from iris_twisted.errors import IncorrectParameters
from iris_twisted.net.limits import Limits


class Arguments(SynchronousTestCase):
    """Keyword arguments raise at once, naming themselves."""

    def test_defaults(self) -> None:
        """The numbers of contract.md."""
        self.assertEqual(
            Limits(),
            Limits(discoveryBody=65_536, frame=262_144, depth=32, children=256, unanswered=1000),
        )
        settings = Settings()
        for name, value in {
            "dialect": "auto",
            "anonymous": False,
            "insecure": False,
            "allowedHosts": None,
            "connectTimeout": 30.0,
            "giveUpAfter": None,
            "stableAfter": 10.0,
            "pingInterval": 3.0,
            "pingTimeout": 15.0,
            "iqTimeout": 10.0,
            "tokenWarning": 300.0,
            "streamManagement": True,
            "telemetry": False,
            "proxy": None,
        }.items():
            self.assertEqual(getattr(settings, name), value, name)
        longest = FullJitter(uniform=lambda low, high: high)
        self.assertEqual([longest.delay(n) for n in (1, 2, 5, 6)], [1.0, 2.0, 16.0, 30.0])

    def test_jitterOfNothing(self) -> None:
        """A backoff of zero would hammer: neither base, factor nor cap may be."""
        for name in ("base", "factor", "cap"):
            with self.assertRaises(IncorrectParameters) as caught:
                FullJitter(**{name: 0.0})
            self.assertIn(name, caught.exception.message)

    def test_notTwice(self) -> None:
        """Settings and keywords exclude each other, but for the token provider."""
        settings, clock = Settings(), Clock()
        with self.assertRaises(IncorrectParameters):
            IrisRtcConnection(clock, settings=settings, dialect="stream")
        IrisRtcConnection(clock, settings=settings, tokenProvider=str)

    def test_refused(self) -> None:
        """A wrong type or value of each."""
        for name, values in {
            "discovery": [object()],
            "transport": ["wss"],
            "retryPolicy": [5],
            "tokenProvider": ["token"],
            "dialect": ["klingon", None],
            "anonymous": [1, None],
            "insecure": ["yes"],
            "telemetry": [0],
            "allowedHosts": ["example.test", [5], [""], 7],
            "trustedSenders": ["x", [None], ["a@b@c"]],
            "connectTimeout": [0, -1, "30", True, float("inf"), float("nan"), None],
            "giveUpAfter": [0, "x"],
            "stableAfter": [-1],
            "pingInterval": [0],
            "pingTimeout": [0],
            "iqTimeout": [0],
            "closeTimeout": [0],
            "tokenWarning": [0],
            "limits": [None, {"frame": 5}],
            "trustRoot": ["/nowhere/ca.pem", __file__, "a\0b", 5],
            "listener": [object()],
        }.items():
            for value in values:
                with self.assertRaises(IncorrectParameters, msg=name) as caught:
                    IrisRtcConnection(Clock(), **{name: value})
                self.assertIn(name, caught.exception.message)
                self.assertEqual(caught.exception.code, -101)

    def test_unknown(self) -> None:
        """An unknown keyword is a TypeError."""
        self.assertRaises(TypeError, IrisRtcConnection, Clock(), dialekt="auto")

    def test_zero(self) -> None:
        """Zero is valid for stableAfter alone."""
        IrisRtcConnection(Clock(), stableAfter=0)

    def test_limits(self) -> None:
        """Limits are whole numbers of at least one."""
        for value in (0, -1, 1.5, True, "5"):
            for name in ("discoveryBody", "frame", "depth", "children", "unanswered"):
                with self.assertRaises(IncorrectParameters) as caught:
                    Limits(**{name: value})
                self.assertIn(name, caught.exception.message)

    def test_insecureIsLoud(self) -> None:
        """insecure=True is logged as critical."""
        from twisted.logger import LogLevel, globalLogPublisher

        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        IrisRtcConnection(Clock(), insecure=True)
        self.assertTrue([e for e in seen if e["log_level"] is LogLevel.critical])

    def test_globalReactor(self) -> None:
        """Without a reactor it is the global one."""
        self.assertEqual(IrisRtcConnection().stats.connects, 0)
