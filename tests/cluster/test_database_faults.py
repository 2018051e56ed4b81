"""
What must hold whatever happens to the database of a cluster: real processes, real signals, a
real PostgreSQL.

300 accounts, and calls all the time. What was measured stands in trial's log.
C{IRIS_CLUSTER_SCALE} makes all of it smaller.
"""

from __future__ import annotations

import signal

from twisted.internet import reactor
from twisted.internet.task import deferLater

from .farm import FarmCase, now
from .partition import Cable
from .scale import ACCOUNTS, RATE, scaled

# Seconds.
_OUTAGE = scaled(60, 15)


class _DatabaseCase(FarmCase):
    """Two members, and what a database owes them."""

    async def ready(self) -> frozenset[str]:
        """Two members under calls. @return: their sessions."""
        self.add(ACCOUNTS)
        for name in "ab":
            self.start(name)
        await self.balanced(2, ACCOUNTS)
        self.callAll(RATE)
        await self.until(lambda: len(self.receiver.traces) > 40)
        return frozenset(self.sandbox.platform.sessions)

    async def recovered(self, back: float) -> float:
        """Wait until a call is taken again, which must take less than 5 seconds."""

        def taken() -> bool:
            return any(p.call.state == "acknowledged" for p in self.calls[-1000:] if p.at > back)

        self._lateness.begin()
        took = await self.until(taken, 30.0)
        self.assertPrompt(took, 5.0)
        return took

    async def kept(self, before: frozenset[str], *outages: tuple[float, float]) -> None:
        """No connection was dropped, and nothing lost but what was refused meanwhile."""
        await self.until(lambda: self.calls[-1].at - outages[-1][1] > 5)
        await self.settled()
        self.assertEqual(set(self.sandbox.platform.sessions), before)
        self.assertEqual(self.forgotten(), [])
        wrong = [
            placed
            for placed in self.missed()
            if not any(gone - 1 < placed.at < back + 5 for gone, back in outages)
        ]
        self.assertEqual(wrong, [])
        # Who has given a call lives, and writes that down when it can.
        self.assertEqual(self.repeated(), {})


class Databases(_DatabaseCase):
    """The database goes, and comes back."""

    async def outage(self, number: signal.Signals, seconds: float) -> tuple[float, float]:
        """Stop it for so long. @return: when it went, and when it was back."""
        gone = now()
        self.server.stop(number)
        if seconds:
            await deferLater(reactor, seconds)  # type: ignore[arg-type]
        self.server.start()
        back = now()
        took = await self.recovered(back)
        await self.until(lambda: sum(self.shares().values()) == ACCOUNTS)
        refused = [p for p in self.calls if gone + 1 < p.at < back - 1]
        self.assertEqual({p.call.state for p in refused} - {"ringing"}, set())
        words = "{name}: away for {a:.1f} s, calls taken again after {t:.1f} s"
        self.log.info(words, name=number.name, a=back - gone, t=took)
        return gone, back

    async def test_stopped(self) -> None:
        """
        PostgreSQL stopped for a minute: no connection is dropped, no call that was acknowledged
        is lost, and calls are taken again within 5 seconds.
        """
        before = await self.ready()
        await self.kept(before, await self.outage(signal.SIGINT, _OUTAGE))

    async def test_killed(self) -> None:
        """The same when it is restarted; and when it is killed, and started at once."""
        before = await self.ready()
        restarted = await self.outage(signal.SIGINT, 0.0)
        await self.kept(before, restarted, await self.outage(signal.SIGKILL, 0.0))

    async def test_partitioned(self) -> None:
        """
        A member that alone cannot reach it: others have its places, its calls are refused, and
        it drops what it had when it sees that.
        """
        cable = Cable(self, self.server.folder)
        await cable.lay()
        self.add(ACCOUNTS)
        for name in "ab":
            self.start(name)
        far = self.conninfo.replace(str(self.server.folder), cable.folder)
        self.start("c", conninfo=far)
        await self.balanced(3, ACCOUNTS)
        self.callAll(RATE)
        await self.until(lambda: len(self.receiver.traces) > 40)
        alone = self.sessionsOf("c")
        cable.cut()
        began = now()
        self.broke("c", began)
        took = await self.adopted(2, ACCOUNTS)
        # It keeps its connections, as those do that have them now.
        await self.up(ACCOUNTS + len(alone))
        kept = now()
        cable.mend()
        again = await self.balanced(3, ACCOUNTS)
        self.log.info("cut off: claimed in {a:.1f} s, its share again in {b:.1f}", a=took, b=again)
        self.assertFalse(alone & set(self.sandbox.platform.sessions))
        await self.settled()
        self.assertEqual(self.forgotten(), [])
        # Where somebody else was connected it has the call.
        wrong = [p for p in self.missed() if not began - 1 < p.at < kept or p.sessions - alone]
        self.assertEqual(wrong, [])
        self.assertEqual(self.repeated(), {})


class FullDisk(_DatabaseCase):
    """The disk of the database has no room any more."""

    disk = 64

    async def test_full(self) -> None:
        """
        Each member says so in a sentence; no connection is dropped, no call that was acknowledged
        is lost, and when there is room again calls are taken within 5 seconds.
        """
        before = await self.ready()
        self.server.fillDisk()
        full = now()
        sentence = "the outbox in PostgreSQL failed: "
        for program in self.members.values():
            await self.until(lambda program=program: sentence in program.stderr)
        told = [program.stderr for program in self.members.values()]
        self.assertTrue(any("No space left on device" in words for words in told), told)
        # It ends when there is no room for its own log either.
        await self.until(lambda: self.server.hasEnded or now() - full > 45)
        words = "full: PostgreSQL has ended after {s:.1f} s: {ended}"
        self.log.info(words, s=now() - full, ended=self.server.hasEnded)
        self.server.emptyDisk()
        self.server.start()
        back = now()
        took = await self.recovered(back)
        self.log.info("room again: calls taken after {t:.1f} s", t=took)
        await self.kept(before, (full, back))
