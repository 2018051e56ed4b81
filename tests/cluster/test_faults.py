"""
What must hold whatever happens to members and to their database: real processes, real signals,
a real PostgreSQL. Scaled to what two processors do in a few minutes: tens of accounts, where
the explanation speaks of thousands.
"""

from __future__ import annotations

from .farm import FarmCase


class Members(FarmCase):
    """Members that die, pause, leave and come."""

    async def test_killed(self) -> None:
        """
        Kill -9 with two copies, again and again under calls: no call is missed, none is told
        twice, and others have the places within 12 seconds.
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
            await self.until(lambda: min(self.shares().values()) >= 18 and len(self.shares()) == 3)
            await self.up(60)
        await self.settled()
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.repeated(), {})
