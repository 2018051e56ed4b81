"""
How often an address may fail.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.operators.limit import FailureLimit, networkOf


class Networks(SynchronousTestCase):
    """What counts as one address."""

    def test_kinds(self) -> None:
        """An IPv4 address, a /64 of IPv6, all of a unix socket."""
        for address, network in (
            (IPv4Address("TCP", "192.0.2.7", 1), "192.0.2.7"),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 1), "192.0.2.7"),
            (IPv6Address("TCP", "2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
            (IPv6Address("TCP", "2001:db8:1:2::9", 1), "2001:db8:1:2::/64"),
            (IPv6Address("TCP", "fe80::1%eth0", 1), "fe80::/64"),
            (UNIXAddress(""), "unix"),
            (HostnameAddress(b"x", 1), "unix"),
            (None, "unix"),
        ):
            self.assertEqual(networkOf(address), network)


class Limits(SynchronousTestCase):
    """Some at once, then one in each interval."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = FailureLimit(self.clock.seconds, atOnce=3, interval=10.0, addresses=5)

    def test_failures(self) -> None:
        """The last that is allowed says so; then it is waited for, and forgiven one by one."""
        self.assertEqual(self.limit.wait("a"), 0.0)
        self.assertEqual([self.limit.failed("a") for _ in range(3)], [False, False, True])
        self.assertEqual((self.limit.wait("a"), self.limit.wait("b")), (10.0, 0.0))
        self.clock.advance(4)
        self.assertAlmostEqual(self.limit.wait("a"), 6.0)
        self.clock.advance(6)
        self.assertEqual(self.limit.wait("a"), 0.0)
        self.assertTrue(self.limit.failed("a"))
        self.clock.advance(30)
        self.assertEqual([self.limit.failed("a") for _ in range(3)], [False, False, True])

    def test_memory(self) -> None:
        """Only so many addresses are remembered: those that failed last, and not for long."""
        for name in "abcdef":
            self.limit.failed(name)
        self.limit.failed("b")
        self.limit.failed("g")
        self.assertEqual(len(self.limit), 5)
        self.assertEqual(list(self.limit._known), ["d", "e", "f", "b", "g"])
        self.clock.advance(51)
        self.limit.failed("h")
        self.assertEqual(len(self.limit), 1)

    @given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 25)), max_size=60))
    def test_bounds(self, steps: list[tuple[str, float]]) -> None:
        """Memory is bounded, nobody waits for longer than an interval, waiting always helps."""
        clock = Clock()
        limit = FailureLimit(clock.seconds, atOnce=3, interval=10.0, addresses=5)
        for name, seconds in steps:
            clock.advance(seconds)
            if limit.wait(name) == 0.0:
                limit.failed(name)
            self.assertLessEqual(len(limit), 5)
            wait = limit.wait(name)
            self.assertLessEqual(wait, 10.0 + 1e-6)
            clock.advance(wait + 1e-6)
            self.assertEqual(limit.wait(name), 0.0)
