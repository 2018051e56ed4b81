"""
For asyncio programs: a connection as an asynchronous context manager, its calls as an
asynchronous iterator.
"""

from .calls import Call
from .connection import AsyncioConnection, connect, sandbox
from .loop_reactor import LoopReactor, loopReactor

__all__ = ["AsyncioConnection", "Call", "LoopReactor", "connect", "loopReactor", "sandbox"]
