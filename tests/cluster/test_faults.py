"""
What must hold whatever happens to members and to their database: real processes, real signals,
a real PostgreSQL.

Scaled to what two processors do in a few minutes: tens of accounts and calls a second, where
the explanation speaks of thousands; two kills, not ten; pauses and outages of 15 seconds, which
is longer than a lease.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from iris_twisted.sandbox.platform import Platform
from iris_twisted.xmpp.elements import Element

from .farm import FarmCase
from .partition import Cable


def now() -> float:
    return float(reactor.seconds())  # type: ignore[attr-defined]


class Members(FarmCase):
    """Members that die, pause, leave and come."""

    async def test_killed(self) -> None:
        """
        Kill -9 with two copies, again and again under calls: no call is missed, none is told
        twice to a receiver that took it, and others have the places within 12 seconds.
        """
        self.add(30, copies=2)
        for name in "abc":
            self.start(name)
        await self.up(60)
        self.callAll(40)
        for name in "ab":
            await self.signal(name, "KILL")
            seconds = await self.until(
                lambda: sum(self.shares().values()) == 60 and len(self.shares()) == 2, 20
            )
            self.assertLess(seconds, 12.0)
            await self.up(60)
            self.start(name)
            await self.balanced(3, 60)
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})

    async def test_killedWithOneCopy(self) -> None:
        """
        With one copy no call is missed that was acknowledged; only those are that were placed
        while nobody was connected, or in the moment of the kill.
        """
        self.add(30)
        for name in "abc":
            self.start(name)
        await self.up(30)
        # Some wait for their sink when their member dies.
        self.receiver.closed = True
        self.callAll(40)
        await self.until(lambda: len(self.calls) > 60)
        await self.signal("b", "KILL")
        self.receiver.closed = False
        await self.until(lambda: len(self.shares()) == 2 and sum(self.shares().values()) == 30, 20)
        self.assertLess(now() - self.kills[0], 12.0)
        await self.up(30)
        await self.until(lambda: self.calls[-1].at - self.kills[0] > 5)
        await self.settled(60.0)
        self.assertEqual(self.forgotten(), [])
        unexplained = [
            placed
            for placed in self.missed()
            if placed.connected and not -0.5 < self.kills[0] - placed.at < 0.5
        ]
        self.assertEqual(unexplained, [])
        self.assertEqual(self.repeated(), {})

    async def test_paused(self) -> None:
        """
        SIGSTOP for longer than a lease: others have its places; when it wakes up it
        acknowledges nothing by its old right, drops what it had, and rejoins by itself.
        """
        self.add(30)
        for name in "abc":
            self.start(name)
        await self.balanced(3, 30)
        before = set(self.sandbox.platform.sessions)
        answers: list[tuple[str, str]] = []
        route = Platform.route

        def watched(platform: Platform, sender: Any, iq: Element) -> str | None:
            if (iq.get("id") or "").startswith("call-"):
                answers.append((sender.id, iq.get("type") or ""))
            return route(platform, sender, iq)

        self.patch(Platform, "route", watched)
        self.callAll(40)
        await self.until(lambda: len(answers) > 20)
        self.members["c"].transport.signalProcess(signal.SIGSTOP)
        paused = now()
        self.broke("c", paused)
        await self.until(lambda: "c" not in self.shares() and sum(self.shares().values()) == 30, 20)
        self.assertLess(now() - paused, 12.0)
        # Each of its accounts has two sessions until the platform gives the old one up.
        await self.until(lambda: len(self.sandbox.platform.sessions) == 40)
        kept = now()
        await self.until(lambda: now() - paused > 15)
        awake = set(before)
        for id in {sender for sender, _ in answers[-100:]}:
            awake.discard(id)
        del answers[:]
        woke = now()
        self.members["c"].transport.signalProcess(signal.SIGCONT)
        await self.balanced(3, 30)
        # What came to it while it slept is refused, if it is answered at all.
        self.assertNotIn("result", [kind for sender, kind in answers if sender in awake])
        self.assertIn("error", [kind for sender, kind in answers if sender in awake])
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        self.assertEqual([p for p in self.missed() if not paused - 1 < p.at < kept], [])
        # It gives nothing that it owed before, but what it was just writing to a socket when it
        # fell asleep: that was looked at before, and goes out when it wakes.
        written = {
            key
            for key, times in self.repeated().items()
            if key in self.unwritten and len(times) == 2 and 0 <= times[1] - woke < 1.0
        }
        self.assertLessEqual(len(written), 1)
        self.assertEqual(set(self.repeated()) - written, set())

    async def test_pausedWithManyUnderWay(self) -> None:
        """
        SIGSTOP while the receiver is slow, and much is known that waits for its turn: none of that
        is given when it wakes up, since others have it.
        """
        self.add(30)
        for name in "abc":
            self.start(name)
        await self.balanced(3, 30)
        self.receiver.held = []
        self.callAll(40)
        await self.until(lambda: len(self.owedBy("c")) > 40)
        self.members["c"].transport.signalProcess(signal.SIGSTOP)
        self.broke("c", now())
        self.stopCalls()
        self.receiver.answer()
        # Others have given all of it.
        await self.until(lambda: self.receiver.keys.keys() >= self.unwritten.keys())
        woke = now()
        self.members["c"].transport.signalProcess(signal.SIGCONT)
        await self.balanced(3, 30)
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        self.assertEqual(self.repeated(), {})
        # A webhook has eight at a time.
        twice = [times for times in self.receiver.keys.values() if len(times) > 1]
        self.assertLessEqual(len(twice), 8)
        self.assertEqual([times for times in twice if times[-1] >= woke], [])

    async def test_rolling(self) -> None:
        """SIGTERM, one member after the other, under calls with one copy: no call is missed."""
        self.add(30)
        for name in "abc":
            self.start(name)
        await self.balanced(3, 30)
        self.callAll(40)
        for name in "abc":
            self.assertEqual(await self.signal(name, "TERM"), -signal.SIGTERM)
            await self.until(lambda: sum(self.shares().values()) == 30)
            self.start(name)
            await self.balanced(3, 30)
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})

    async def test_impatient(self) -> None:
        """A second SIGTERM ends a member that is still handing over."""
        self.add(10)
        self.start("a")
        await self.up(10)
        # It has nobody who can connect: the platform lets no one in.
        self.sandbox.hang("upgrade")
        self.start("b")
        await self.until(lambda: self.status()["moving"])
        began = now()
        self.members["a"].transport.signalProcess("TERM")
        await self.until(lambda: self.status()["members"][0]["state"] == "draining")
        await self.signal("a", "TERM")
        self.assertLess(now() - began, 15.0)

    async def test_joinAndLeave(self) -> None:
        """Three members, then four, then three, under calls: fair shares, each moved once."""
        self.add(48)
        for name in "abc":
            self.start(name)
        await self.balanced(3, 48)
        self.callAll(40)
        for _ in range(2):
            before = self.epochs()
            self.start("d")
            await self.balanced(4, 48)
            self.assertLessEqual(max(self.changes(before)), 1)
            self.assertLessEqual(sum(self.changes(before)), 14)
            before = self.epochs()
            await self.signal("d", "TERM")
            await self.balanced(3, 48)
            self.assertLessEqual(max(self.changes(before)), 1)
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})

    def epochs(self) -> list[int]:
        rows = self.server.execute(
            "SELECT epoch FROM iris_places ORDER BY account, copy", self.conninfo
        )
        return [row[0] for row in rows]

    def changes(self, before: list[int]) -> list[int]:
        return [new - old for new, old in zip(self.epochs(), before, strict=True)]


class Databases(FarmCase):
    """The database goes, and comes back."""

    async def outage(self, number: signal.Signals, seconds: float) -> None:
        """Stop it for so long, under calls."""
        self.add(30)
        for name in "ab":
            self.start(name)
        await self.balanced(2, 30)
        before = set(self.sandbox.platform.sessions)
        self.callAll(40)
        await self.until(lambda: len(self.receiver.traces) > 40)
        self.server.stop(number)
        gone = now()
        await deferLater(reactor, seconds)  # type: ignore[arg-type]
        self.server.start()
        back = now()
        await self.until(
            lambda: any(p.call.state == "acknowledged" for p in self.calls if p.at > back), 5.0
        )
        await self.until(lambda: self.calls[-1].at - back > 5)
        await self.until(lambda: sum(self.shares().values()) == 30)
        await self.settled()
        self.assertEqual(set(self.sandbox.platform.sessions), before)
        self.assertEqual(self.forgotten(), [])
        # Refused while it was away; never lost.
        wrong = [p for p in self.missed() if not gone - 1 < p.at < back + 5]
        self.assertEqual(wrong, [])
        refused = [p for p in self.calls if gone + 1 < p.at < back - 1]
        self.assertEqual({p.call.state for p in refused} - {"ringing"}, set())
        # Who has given a call lives, and writes that down when it can.
        self.assertEqual(self.repeated(), {})

    async def test_stopped(self) -> None:
        """
        PostgreSQL stopped for longer than a lease: no connection is dropped, no call that was
        acknowledged is lost, and calls are taken again within 5 seconds.
        """
        await self.outage(signal.SIGINT, 15.0)

    async def test_killed(self) -> None:
        """The same when it is killed and started at once."""
        await self.outage(signal.SIGKILL, 0.5)

    async def test_partitioned(self) -> None:
        """
        A member that alone cannot reach it: others have its places, its calls are refused, and
        it drops what it had when it sees that.
        """
        cable = Cable(self, self.server.folder)
        await cable.lay()
        self.add(30)
        for name in "ab":
            self.start(name)
        far = self.conninfo.replace(str(self.server.folder), cable.folder)
        self.start("c", conninfo=far)
        await self.balanced(3, 30)
        self.callAll(40)
        await self.until(lambda: len(self.receiver.traces) > 40)
        cable.cut()
        began = now()
        self.broke("c", began)
        await self.until(lambda: "c" not in self.shares() and sum(self.shares().values()) == 30, 20)
        self.assertLess(now() - began, 12.0)
        # It keeps its connections, as those do that have them now.
        await self.until(lambda: len(self.sandbox.platform.sessions) == 40)
        kept = now()
        cable.mend()
        await self.balanced(3, 30)
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        self.assertEqual([p for p in self.missed() if not began - 1 < p.at < kept], [])
        self.assertEqual(self.repeated(), {})
