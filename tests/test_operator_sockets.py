"""
Whom the sockets for operators let in.
"""

from __future__ import annotations

import os
import stat
import tempfile

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from iris_twisted.daemon.operator_site import OperatorSite


class UnixSockets(TestCase):
    """A unix socket instead of a port."""

    async def test_mode(self) -> None:
        """It is its owner's alone, unless another mode was asked for."""
        # The path of a socket must be short.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for more, wanted in (("", 0o600), (":mode=660", 0o660)):
            path = os.path.join(folder.name, f"s{wanted}")
            site = OperatorSite(reactor, f"unix:{path}{more}", Resource())
            await site.listen()
            self.addCleanup(site.stop)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), wanted)
