"""
What every sink promises, as tests that any sink runs, L{SinkConformance}::

    class TestMine(SinkConformance):
        provider = MySinks()

        async def place(self):
            self.server = await startMyServer()
            self.addCleanup(self.server.stop)
            return self.server.url

        async def arrived(self, count):
            return [json.loads(message) for message in self.server.messages]
"""

from __future__ import annotations

from typing import Any

from .promises import Taking
from .promises_in_trouble import Trouble
from .sink_case import SinkCase

__all__ = ["SinkConformance"]


class SinkConformance(SinkCase):
    """
    What every sink promises (L{INotificationSink<iris_twisted.interfaces.INotificationSink>}),
    as tests: make a subclass for a sink, and tell it how. A test that ends with something open
    or an error logged fails, as in all of trial.

    Its C{provider}, C{secrets} and C{wrongArguments} are those of L{SinkCase}. What else a subclass
    may tell is how to have its place forbid, refuse or wait: C{forbid}, C{poison}, C{hold} and
    C{wrongPlaces}; without, what it takes to try that is skipped.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Here, so that nothing runs where this class is only imported.
        super().__init_subclass__(**kwargs)
        for name, test in (*vars(Taking).items(), *vars(Trouble).items()):
            if name.startswith("test_") and not hasattr(cls, name):
                setattr(cls, name, test)
