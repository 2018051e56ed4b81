"""
An Iris platform in one process: event manager, RTC server and a control API on
one port. A real server, for tests, demonstrations and benchmarks; the official
client connects to it unmodified. Everything is in memory and on loopback::

    sandbox = await startSandbox(reactor)
    connection.connect(sandbox.token("alice@sandbox.test"), "alice@sandbox.test", sandbox.url)
    sandbox.placeCall("alice@sandbox.test")
    await sandbox.stop()
"""

from .backend import Account, Backend
from .records import HANG_STEPS, Call, SandboxError
from .server import Sandbox, startSandbox

__all__ = ["HANG_STEPS", "Account", "Backend", "Call", "Sandbox", "SandboxError", "startSandbox"]
