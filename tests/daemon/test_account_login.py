"""
An account on its way to a connection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.daemon.account_login import AccountLogin
from iris_twisted.daemon.configuration import Configuration
from iris_twisted.errors import ConnectionFailed
from iris_twisted.login.platform_login import LoggedIn

from ..doubles import RID, TOKEN, URL, DriftingClock, Recorder


class _Platform:
    """Is not there at the first attempt."""

    def __init__(self) -> None:
        self.attempts = 0

    def run(self) -> Deferred[LoggedIn]:
        self.attempts += 1
        if self.attempts == 1:
            return fail(ConnectionFailed("it is away"))
        return succeed(LoggedIn(TOKEN, RID))


class Arriving(SynchronousTestCase):
    """It is tried until it works."""

    def test_clockSetBack(self) -> None:
        """The next attempt comes in its time though the wall clock is set back meanwhile."""
        path = Path(self.mktemp())
        path.write_text(TOKEN)
        given = {"event-manager": URL, "routing-id": RID, "token-file": str(path)}
        configuration = Configuration.read(given, {}, None, None)
        clock, recorder, platform = DriftingClock(), Recorder(), _Platform()
        clock.advance(1_700_000_000)
        waits: list[float] = []
        (account,) = configuration.accounts
        arrival: Any = AccountLogin(clock, configuration, account, TOKEN, recorder, waits.append)
        self.patch(arrival, "_login", platform)
        arriving = arrival.run()
        self.assertNoResult(arriving)
        clock.jump(-3600)
        clock.advance(waits[0])
        self.assertEqual(self.successResultOf(arriving), LoggedIn(TOKEN, RID))
        self.assertEqual(recorder.of("onConnectionError"), [(-106, "it is away")])
        self.assertEqual(clock.getDelayedCalls(), [])
