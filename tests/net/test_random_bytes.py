"""
L{iris_twisted.net.random_bytes}: chunks that nobody else gets.
"""

from __future__ import annotations

import os
import struct
from threading import Barrier, Thread

from twisted.trial.unittest import SynchronousTestCase

from iris_twisted.net import random_bytes
from iris_twisted.net.random_bytes import randomChunks


class Chunks(SynchronousTestCase):
    """Taken by many."""

    def test_all(self) -> None:
        """Every byte of the system's is given once, in pieces of that size."""
        numbers = iter(range(10**6))
        drawn: list[bytes] = []

        def urandom(size: int) -> bytes:
            drawn.append(struct.pack(f"{size // 4}I", *(next(numbers) for _ in range(size // 4))))
            return drawn[-1]

        self.patch(random_bytes.os, "urandom", urandom)
        take = randomChunks(4)
        self.assertEqual(b"".join(take() for _ in range(3000)), b"".join(drawn)[:12_000])

    def test_threads(self) -> None:
        """Reactors in several threads share them: each gets its own, and none fails."""
        take, taken = randomChunks(8), list[bytes]()
        start = Barrier(4)

        def work() -> None:
            start.wait()
            mine = [take() for _ in range(20_000)]
            taken.extend(mine)

        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(taken), len(set(taken))), (80_000, 80_000))

    def test_fork(self) -> None:
        """A process that forks says nothing that its parent says."""
        take = randomChunks(8)
        take()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, take())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            self.assertNotEqual(said.read(), take())
