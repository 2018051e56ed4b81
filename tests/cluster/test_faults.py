"""
What must hold whatever happens to members: real processes, real signals, a real PostgreSQL.
C{test_database_faults} has what happens to their database.

Ten kills with 1,000 accounts of each kind; the rest with 300 accounts. Calls come all the time.
What was measured stands in trial's log. C{IRIS_CLUSTER_SCALE} makes all of it smaller.
"""

from __future__ import annotations

import signal
from itertools import cycle, islice
from statistics import median
from typing import Any

from iris_twisted.sandbox.platform import Platform
from iris_twisted.xmpp.elements import Element

from .farm import FarmCase, now
from .scale import ACCOUNTS, RATE, scaled

_MANY = scaled(1000, 30)
_KILLS = scaled(10, 2)
_CYCLES = scaled(5, 2)
# Seconds, which are more than a lease.
_PAUSE = scaled(30, 15)


class Members(FarmCase):
    """Members that die, pause, leave and come."""

    timeout = 2400

    async def test_killed(self) -> None:
        """
        Kill -9 of one of three members, ten times, under calls. With two copies no call is missed.
        With one copy, only those are that were placed while nobody was connected, or that the
        killed one had not acknowledged. None is told twice to a receiver that took it; others
        have the places within 12 seconds.
        """
        pairs = self.add(_MANY, copies=2, name="pair")
        singles = self.add(_MANY, name="single")
        self.accounts = [name for both in zip(pairs, singles, strict=True) for name in both]
        places = 3 * _MANY
        for name in "abc":
            self.start(name)
        self.log.info("up: {s:.1f} s", s=await self.up(places, 300))
        self.callAll(RATE)
        adopted: list[float] = []
        for number, name in enumerate(islice(cycle("abc"), _KILLS)):
            if number % 2:
                # Some wait for their sink when their member dies.
                self.receiver.closed = True
                placed = len(self.calls)
                await self.until(lambda: len(self.calls) > placed + RATE)  # noqa: B023
            await self.signal(name, "KILL")
            self.receiver.closed = False
            adopted.append(await self.adopted(2, places))
            up = await self.up(places, 300)
            self.start(name)
            back = await self.until(lambda: len(self.shares()) == 3)
            words = (
                "killed {name}: claimed in {a:.1f} s, connected {u:.1f} s later, back in {b:.1f}"
            )
            self.log.info(words, name=name, a=adopted[-1], u=up, b=back)
        await self.settled(60.0)
        self.log.info("{n} calls, {m} missed", n=len(self.calls), m=len(self.missed()))
        self.assertEqual(self.forgotten(), [])
        self.assertEqual([p for p in self.missed() if p.call.to.startswith("pair")], [])
        self.assertEqual(self.unexplained(), [])
        self.assertEqual(self.repeated(), {})
        self.assertLess(median(adopted), 12.0)

    async def test_paused(self) -> None:
        """
        SIGSTOP for 30 seconds: others have its places; when it wakes up it acknowledges nothing
        by its old right, drops what it had, and rejoins by itself.
        """
        self.add(ACCOUNTS)
        for name in "abc":
            self.start(name)
        await self.balanced(3, ACCOUNTS)
        asleep = self.sessionsOf("c")
        answers: list[tuple[str, str]] = []
        route = Platform.route

        def watched(platform: Platform, sender: Any, iq: Element) -> str | None:
            kind, _, id = (iq.get("id") or "").partition("-")
            if kind == "call" and sender.id in asleep:
                answers.append((id, iq.get("type") or ""))
            return route(platform, sender, iq)

        self.patch(Platform, "route", watched)
        self.callAll(RATE)
        await self.until(lambda: len(answers) > 20)
        self.members["c"].transport.signalProcess(signal.SIGSTOP)
        paused = now()
        self.broke("c", paused)
        took = await self.adopted(2, ACCOUNTS)
        # Each of its accounts has two sessions until the platform gives the old one up.
        await self.up(ACCOUNTS + len(asleep))
        kept = now()
        del answers[:]
        await self.until(lambda: now() - paused > _PAUSE)
        self.assertEqual(answers, [])
        woke = now()
        self.members["c"].transport.signalProcess(signal.SIGCONT)
        # What came to it while it slept is refused, if it is answered at all.
        await self.until(lambda: not asleep & set(self.sandbox.platform.sessions))
        late = {p.call.id for p in self.calls if p.at > paused}
        self.assertEqual({kind for id, kind in answers if id in late}, {"error"})
        again = await self.balanced(3, ACCOUNTS)
        words = "paused: claimed in {a:.1f} s, {n} refused when it woke, its share again in {b:.1f}"
        self.log.info(words, a=took, n=len(answers), b=again)
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        # Where somebody else was connected it has the call.
        wrong = [p for p in self.missed() if not paused - 1 < p.at < kept or p.sessions - asleep]
        self.assertEqual(wrong, [])
        # It gives nothing that it owed before, but what it was just writing to a socket when it
        # fell asleep: that was looked at before, and goes out when it wakes.
        written = {
            key
            for key, times in self.repeated().items()
            if key in self.unwritten and len(times) == 2 and times[1] >= woke
        }
        self.assertLessEqual(len(written), 1)
        self.assertEqual(set(self.repeated()) - written, set())

    async def test_pausedWithManyUnderWay(self) -> None:
        """
        SIGSTOP while the receiver is slow, and much is known that waits for its turn: none of that
        is given when it wakes up, since others have it.
        """
        self.add(ACCOUNTS)
        for name in "abc":
            self.start(name)
        await self.balanced(3, ACCOUNTS)
        self.receiver.held = []
        self.callAll(RATE)
        await self.until(lambda: len(self.owedBy("c")) > 40)
        self.members["c"].transport.signalProcess(signal.SIGSTOP)
        self.broke("c", now())
        self.stopCalls()
        self.receiver.answer()
        # Others have given all of it.
        await self.until(lambda: self.receiver.keys.keys() >= self.unwritten.keys())
        woke = now()
        self.members["c"].transport.signalProcess(signal.SIGCONT)
        await self.balanced(3, ACCOUNTS)
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        self.assertEqual(self.repeated(), {})
        # A webhook has eight at a time.
        twice = [times for times in self.receiver.keys.values() if len(times) > 1]
        self.assertLessEqual(len(twice), 8)
        self.assertEqual([times for times in twice if times[-1] >= woke], [])

    async def test_rolling(self) -> None:
        """SIGTERM, one member after the other, under calls with one copy: no call is missed."""
        self.add(ACCOUNTS)
        for name in "abc":
            self.start(name)
        await self.balanced(3, ACCOUNTS)
        self.callAll(RATE)
        for name in "abc":
            began = now()
            self.assertEqual(await self.signal(name, "TERM"), -signal.SIGTERM)
            ended = now() - began
            await self.until(lambda: sum(self.shares().values()) == ACCOUNTS)
            self.start(name)
            words = "{name} ended in {e:.1f} s, and had its share again in {b:.1f}"
            self.log.info(words, name=name, e=ended, b=await self.balanced(3, ACCOUNTS))
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
        """
        Three members, then four, then three, five times, under calls: fair shares, each place
        moved once, no call missed.
        """
        self.add(ACCOUNTS)
        for name in "abc":
            self.start(name)
        await self.balanced(3, ACCOUNTS)
        self.callAll(RATE)
        most = int(ACCOUNTS / 4 * 1.1)
        for _ in range(_CYCLES):
            before = self.epochs()
            self.start("d")
            joined = await self.balanced(4, ACCOUNTS)
            came = self.changes(before)
            self.assertLessEqual(max(came), 1)
            self.assertLessEqual(sum(came), most)
            before = self.epochs()
            began = now()
            await self.signal("d", "TERM")
            left = now() - began
            shared = await self.balanced(3, ACCOUNTS)
            went = self.changes(before)
            self.assertLessEqual(max(went), 1)
            self.assertLessEqual(sum(went), most)
            words = "joined: {c} moved in {j:.1f} s; left: {w} moved in {l:.1f} + {s:.1f} s"
            self.log.info(words, c=sum(came), j=joined, w=sum(went), l=left, s=shared)
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})

    def epochs(self) -> list[int]:
        rows = self.rows("SELECT epoch FROM iris_places ORDER BY account, copy")
        return [row[0] for row in rows]

    def changes(self, before: list[int]) -> list[int]:
        return [new - old for new, old in zip(self.epochs(), before, strict=True)]
