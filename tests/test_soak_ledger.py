"""
The soak of the daemon sees it when a promise is broken.
"""

from __future__ import annotations

import time

from twisted.trial.unittest import TestCase

from iris_twisted.sandbox.platform import Platform
from iris_twisted.sandbox.records import Call

from .invariants import BrokenPromise
from .soak_ledger import Ledger

ACCOUNT = "user@sandbox.test"


class LedgerTests(TestCase):
    """What was owed, and what came."""

    def setUp(self) -> None:
        self.platform = Platform(time.time)
        self.ledger = Ledger(strict=False)
        self.uses("file", "hook")
        self.ledger.changed()

    def uses(self, *sinks: str) -> None:
        self.ledger.changes({ACCOUNT: frozenset(sinks)})

    def call(self, *, acknowledged: bool = True) -> Call:
        call = self.platform.placeCall(ACCOUNT)
        self.ledger.placed(call)
        if acknowledged:
            call.state = "acknowledged"
        return call

    def comes(self, call: Call, *sinks: str, at: float | None = None) -> None:
        for sink in sinks:
            self.ledger.arrived(sink, call.info["traceid"], f"key of {call.id}", at)

    def close(self) -> None:
        self.ledger.close(("file", "hook"))

    def breaks(self) -> str:
        return str(self.assertRaises(BrokenPromise, self.close))

    def test_allWell(self) -> None:
        """What arrived everywhere once, and what was not acknowledged, breaks nothing."""
        self.comes(self.call(), "hook", "file")
        self.call(acknowledged=False)
        self.close()
        self.assertEqual(self.ledger.counts["acknowledged"], 1)

    def test_missing(self) -> None:
        """An acknowledged call that one of its sinks has not is told, with the sink."""
        call = self.call()
        self.comes(call, "file")
        self.assertEqual(self.ledger.missing(), [("hook", call.info["traceid"])])
        self.assertIn("never given", self.breaks())

    def test_acknowledgedOnce(self) -> None:
        """What was acknowledged is owed, though the platform told of it again since."""
        call = self.call()
        self.ledger.sweep()
        call.state = "ringing"
        self.assertIn("never given", self.breaks())

    def test_twice(self) -> None:
        """A call that came twice is told, unless the daemon ended without a word just then."""
        call = self.call()
        self.comes(call, "file", "hook", "file")
        self.assertIn("file has 1 calls twice, and 0 are excused", self.breaks())
        self.ledger.interrupted(100.0, {"file": 1})
        self.close()
        self.assertEqual(self.ledger.counts["file twice"], 1)

    def test_twiceLongAfter(self) -> None:
        """A call that came long before that end should have been written down."""
        call = self.call()
        self.ledger.interrupted(100.0, {"hook": 64})
        self.comes(call, "hook", at=50.0)
        self.assertRaises(BrokenPromise, self.comes, call, "hook", at=101.0)
        other = self.call()
        self.comes(other, "hook", at=99.0)
        self.comes(other, "hook", at=101.0)

    def test_twiceLater(self) -> None:
        """An end excuses nothing once all was well."""
        call = self.call()
        self.ledger.interrupted(100.0, {"file": 64})
        self.comes(call, "file", "hook")
        self.close()
        self.comes(call, "file")
        self.assertIn("twice", self.breaks())

    def test_order(self) -> None:
        """A later call before a sooner one is told, unless that one had to be tried again."""
        first, second = self.call(), self.call()
        self.comes(second, "file", "hook")
        self.comes(first, "file", "hook")
        for sink in ("file", "hook"):
            self.assertIn("which came sooner", self.breaks())
            self.ledger.excuses[sink].disordered.add(first.info["traceid"])
        self.close()

    def test_strictOrder(self) -> None:
        """With the strict order, only a dead letter comes later."""
        self.ledger.strict = True
        self.test_orderOfDead()
        first, second = self.call(), self.call()
        self.comes(second, "file", "hook")
        self.comes(first, "file", "hook")
        for sink in ("file", "hook"):
            self.ledger.excuses[sink].disordered.add(first.info["traceid"])
        self.assertIn("which came sooner", self.breaks())

    def test_orderOfDead(self) -> None:
        """A call that a sink refused comes when somebody has it tried again."""
        first, second = self.call(), self.call()
        self.comes(second, "file", "hook")
        self.comes(first, "file", "hook")
        for sink in ("file", "hook"):
            self.ledger.excuses[sink].dead.add(first.info["traceid"])
        self.close()

    def test_whileItChanges(self) -> None:
        """Between two configurations a call is owed to the sinks that are in both."""
        before = self.call(acknowledged=False)
        acknowledged = self.call()
        self.uses("hook", "redis")
        between = self.call()
        self.ledger.changed()
        after = self.call()
        owed = [
            self.ledger.owed[c.info["traceid"]].sinks
            for c in (before, acknowledged, between, after)
        ]
        both, old, new = {"hook"}, {"file", "hook"}, {"hook", "redis"}
        self.assertEqual(owed, [both, old, both, new])

    def test_keys(self) -> None:
        """A call with two keys, two with one, and one that nobody placed are told at once."""
        call, other = self.call(), self.call()
        self.comes(call, "file")
        arrived, trace = self.ledger.arrived, call.info["traceid"]
        self.assertRaises(BrokenPromise, arrived, "hook", trace, "another key")
        key = f"key of {call.id}"
        self.assertRaises(BrokenPromise, arrived, "hook", other.info["traceid"], key)
        self.assertRaises(BrokenPromise, arrived, "hook", "no trace", "no key")
