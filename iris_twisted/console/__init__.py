"""
A page on which people can look at the connections of a daemon, and reject calls.
"""

from .account_history import AccountHistory
from .call_history import CallHistory
from .site import consoleRoot

__all__ = ["AccountHistory", "CallHistory", "consoleRoot"]
