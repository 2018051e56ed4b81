"""
Reactors in threads of their own, none of them the global one.
"""

from __future__ import annotations

import sys
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from iris_twisted import IrisRtcConnection
from iris_twisted.sandbox import startSandbox

CALLS = 300


class Threads(SynchronousTestCase):
    """An application with several reactors."""

    def test_manyCalls(self) -> None:
        """Each has its connection and its calls, whatever the others do in the same instant."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        # As often as it can be: what is rare in a day is certain here.
        sys.setswitchinterval(1e-6)
        heard: dict[int, Any] = {}

        def work(number: int) -> None:
            reactor = SelectReactor()

            async def main() -> None:
                sandbox = await startSandbox(reactor)
                connection, rooms = IrisRtcConnection(reactor), list[str]()
                connection.onNotification = lambda info: rooms.append(info["roomid"])  # type: ignore[method-assign]
                who = f"user{number}@sandbox.test"
                await connection.connect(sandbox.token(who), who, sandbox.url)
                placed = [sandbox.placeCall(who).info["roomid"] for _ in range(CALLS)]
                for _ in range(1000):
                    if len(rooms) == CALLS:
                        break
                    await deferLater(reactor, 0.01)
                heard[number] = rooms == placed
                await connection.close()
                await sandbox.stop()

            done = Deferred.fromCoroutine(main())
            done.addErrback(lambda failure: heard.setdefault(number, failure.getTraceback()))
            done.addBoth(lambda _: reactor.callLater(0, reactor.stop))
            reactor.run(installSignalHandlers=False)

        threads = [Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(heard, dict.fromkeys(range(3), True))
