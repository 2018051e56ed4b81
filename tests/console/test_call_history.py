"""
What the console remembers.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from iris_twisted import ConnectionState
from iris_twisted.console import CallHistory
from iris_twisted.interfaces import IIrisListener

from ..doubles import DriftingClock, World


class Remembering(SynchronousTestCase):
    """States, pings and calls of an account, bounded."""

    def setUp(self) -> None:
        self.world = World()
        self.callHistory = CallHistory(self.world.clock)
        self.history = self.callHistory.open("alice@example.test")
        self.world.connection._listener = self.history
        self.history.connection = self.world.connection

    def look(self) -> dict[str, Any]:
        snapshot = self.callHistory.snapshot("", "", 0, 25)
        json.dumps(snapshot)
        return snapshot

    def test_states(self) -> None:
        """Each state with its time; the error and the next attempt in words."""
        self.assertTrue(verifyObject(IIrisListener, self.history))
        (before,) = self.look()["connections"]
        self.assertEqual((before["jid"], before["server"]), (None, None))
        self.world.up()
        self.world.clock.advance(60)
        self.world.transport.lose()
        self.world.settle()
        (shown,) = self.look()["connections"]
        self.assertEqual(
            [state for _, state in shown["states"]],
            ["connecting", "connected", "disconnected", "reconnecting"],
        )
        self.assertEqual(shown["state"], "reconnecting")
        self.assertEqual(shown["error"][1], "the socket was closed")
        self.assertEqual(shown["next"], (1, self.world.clock.seconds() + 1.0))
        self.world.advance(2)
        (shown,) = self.look()["connections"]
        self.assertEqual((shown["state"], shown["next"]), ("connected", None))
        self.assertEqual(shown["server"], "rtc.example.test")
        for _ in range(100):
            self.history.onConnected()
            self.history.onReconnecting()
        self.assertEqual(len(self.history.states), 40)
        self.history.onConnectionError(-116, "the token was refused")
        self.assertEqual(self.look()["connections"][0]["error"][1], "the token was refused (-116)")
        self.world.close()
        self.world.settle()

    def test_errorsOfAnAccount(self) -> None:
        """The last 20, the newest first; of an account that is unknown, none."""
        for number in range(30):
            self.world.clock.advance(1)
            self.history.onConnectionError(-1, f"e{number}")
        errors = self.callHistory.ofAccount("alice@example.test")["errors"]
        self.assertEqual([words for _, words in errors], [f"e{n} (-1)" for n in range(29, 9, -1)])
        self.assertEqual(errors[0][0] - errors[1][0], 1.0)
        nobody = self.callHistory.ofAccount("nobody@example.test")
        self.assertEqual((nobody["connection"], nobody["errors"]), (None, []))

    def test_callsOfAnAccount(self) -> None:
        """Its own only, the newest first, however many others have; after it is gone too."""
        self.callHistory.called("alice@example.test", {"type": "notify", "roomid": "r1"})
        for number in range(60):
            self.callHistory.called("bob@example.test", {"type": "notify", "roomid": f"b{number}"})
        self.callHistory.called("alice@example.test", {"type": "notify", "roomid": "r2"})
        self.history.sinks = ("stdout", "webhook:https://x.test/CANARY")
        found = self.callHistory.ofAccount("alice@example.test")
        self.assertEqual([call["room"] for call in found["calls"]], ["r2", "r1"])
        self.assertEqual(found["sinks"], ["stdout", "webhook:https://x.test/..."])
        rooms = [call["room"] for call in self.look()["calls"]]
        self.assertEqual(rooms, ["r2", *(f"b{n}" for n in range(59, 10, -1))])
        self.callHistory.close("alice@example.test")
        gone = self.callHistory.ofAccount("alice@example.test")
        self.assertEqual((gone["connection"], len(gone["calls"])), (None, 2))

    def test_pings(self) -> None:
        """Sampled while connected, and only the last of them."""
        self.callHistory.start()
        self.world.up()
        for _ in range(70):
            self.world.advance(5)
        (shown,) = self.look()["connections"]
        self.assertEqual(len(shown["pings"]), 60)
        microseconds = int((self.world.connection.pingRoundTrip or 0) * 1e6)
        self.assertEqual(shown["pings"][-1], microseconds)
        self.assertNotIn(None, shown["pings"])
        self.world.close()
        self.world.settle()
        self.world.clock.advance(5)
        self.assertIsNone(self.look()["connections"][0]["pings"][-1])
        self.callHistory.stop()
        self.callHistory.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_clockSetBack(self) -> None:
        """Pings are looked at as before while the wall clock is set back; dates are what it says."""
        clock, told = DriftingClock(), list[int]()
        clock.advance(1_700_000_000)
        callHistory = CallHistory(clock)
        history = callHistory.open("alice@example.test")
        callHistory.watchers.add(lambda: told.append(1))
        callHistory.start()
        clock.jump(-3600)
        clock.pump([1] * 21)
        self.assertEqual((len(history.pings), len(told)), (4, 4))
        self.assertEqual(callHistory.now(), 1_700_000_021 - 3600)
        callHistory.changed()
        clock.jump(-3600)
        clock.advance(0)
        self.assertEqual(len(told), 5)
        callHistory.stop()

    def test_calls(self) -> None:
        """Newest first, counted by minute, ended by their cancel, and never with a room token."""
        self.world.up()
        calls = [self.world.platform.placeCall("alice@example.test") for _ in range(3)]
        self.world.settle()
        self.world.platform.cancelCall(calls[0].id)
        self.world.settle()
        shown = self.look()
        self.assertEqual([c["state"] for c in shown["calls"]], ["ringing", "ringing", "ended"])
        self.assertEqual(shown["calls"][0]["number"], "+12155550100")
        self.assertEqual(shown["connections"][0]["calls"][-1], 4)
        self.assertEqual(len(shown["connections"][0]["calls"]), 30)
        self.assertNotIn(
            calls[0].info["roomtoken"], json.dumps(shown) + repr(self.callHistory.calls)
        )
        self.world.clock.advance(60)
        self.assertEqual(self.look()["connections"][0]["calls"][-2:], [4, 0])
        for _ in range(600):
            self.history.onNotification({"type": "chat"})
        self.assertEqual(len(self.callHistory.calls), 500)
        self.assertEqual(len(self.look()["calls"]), 50)
        self.world.close()
        self.world.settle()

    def test_pages(self) -> None:
        """Filtered by words and state; a page that is not there is the last."""
        clock = Clock()
        callHistory = CallHistory(clock)
        for number in range(30):
            callHistory.open(f"u{number}@x.test")
        found = callHistory.snapshot("U1", "", 0, 5)
        self.assertEqual((found["found"], found["pages"], len(found["connections"])), (11, 3, 5))
        found = callHistory.snapshot("", "", 99, 25)
        self.assertEqual((found["page"], len(found["connections"])), (1, 5))
        found = callHistory.snapshot("", "connected", 0, 25)
        self.assertEqual((found["found"], found["page"], found["pages"]), (0, 0, 1))
        callHistory.close("u0@x.test")
        self.assertEqual(callHistory.snapshot("", "", 0, 25)["found"], 29)

    def test_counted(self) -> None:
        """Connections are counted by their states as these change; one that is gone counts no more."""
        up, away = ConnectionState.CONNECTED, ConnectionState.DISCONNECTED

        def counted() -> dict[str, int]:
            states: dict[str, int] = self.look()["states"]
            return {state: count for state, count in states.items() if count}

        self.callHistory.open("bob@example.test")
        self.assertEqual(counted(), {"disconnected": 1, "connecting": 1})
        self.world.up()
        self.assertEqual(counted(), {"connected": 1, "connecting": 1})
        self.callHistory.open("bob@example.test")
        self.callHistory.close("nobody@example.test")
        self.assertEqual(counted(), {"connected": 1, "connecting": 1})
        self.world.transport.lose()
        # Not only when its callbacks are made.
        self.assertEqual(counted(), {"reconnecting": 1, "connecting": 1})
        self.world.settle()
        self.world.advance(2)
        self.callHistory.close("alice@example.test")
        self.assertEqual(counted(), {"connecting": 1})
        told: list[int] = []
        self.callHistory.watchers.add(lambda: told.append(1))
        self.assertIs(self.history.state, up)
        self.world.close()
        self.assertEqual((counted(), told), ({"connecting": 1}, []))
        self.assertIs(self.history.state, away)
        self.world.settle()

    def test_watchers(self) -> None:
        """Told of each change, at once; nobody costs nothing."""
        told: list[int] = []
        self.callHistory.changed()
        self.callHistory.watchers.add(lambda: told.append(1))
        self.callHistory.called("alice@example.test", {"type": "notify"})
        self.assertEqual(told, [1])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
