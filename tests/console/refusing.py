"""
An outbox whose only webhook refuses every call, for who needs dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.logger import capturedLogs

from iris_twisted.outbox import Outbox
from iris_twisted.sinks.context import SinkContext
from iris_twisted.sinks.registry import makeSink

from ..network import NetworkCase
from ..peers import WebServer


class RefusingOutbox:
    """
    @ivar server: of the webhook.
    @ivar hook: the sink; its path holds what nobody may see, C{CANARY}.
    """

    def __init__(self, case: NetworkCase, server: WebServer, sinks: Sequence[str], kept: bool):
        self._case = case
        self.server = server
        server.answer = lambda _, __: (410, {})
        self.hook = f"webhook:{server.url}/CANARY"
        path = str(Path(case.mktemp()).absolute()) if kept else None
        context = SinkContext(reactor=reactor, write=lambda _: None)
        self.outbox = Outbox(reactor, path, lambda spec: makeSink(spec, context))
        self.outbox.use([self.hook, *sinks])
        case.addCleanup(self.outbox.stop)

    @classmethod
    async def start(cls, case: NetworkCase, *sinks: str, kept: bool = True) -> RefusingOutbox:
        """With these sinks besides, which are given nothing."""
        server = await WebServer.start(reactor)
        case.addCleanup(server.stop)
        return cls(case, server, sinks, kept)

    async def offer(self, *calls: tuple[str, str]) -> None:
        """Calls to accounts, by their rooms; until all are dead letters."""
        store = self.outbox.store
        wanted = (await store.depths()).get((self.hook, True), 0) + len(calls)
        with capturedLogs():
            for account, room in calls:
                info = {"type": "notify", "roomid": room, "roomtoken": "TOKEN", "routingid": "x@y"}
                await self.outbox.offer(account, info, [self.hook])
            while (await store.depths()).get((self.hook, True), 0) < wanted:
                pass
        self._case.flushLoggedErrors()
