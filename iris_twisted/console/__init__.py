"""
A page on which people can look at the connections of a daemon, and reject calls.
"""

from .call_history import AccountHistory, CallHistory
from .site import consoleRoot

__all__ = ["AccountHistory", "CallHistory", "consoleRoot"]
