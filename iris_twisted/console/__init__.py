"""
A page on which people can look at the connections of a daemon, and reject calls.
"""

from .ledger import AccountHistory, Ledger
from .site import consoleRoot

__all__ = ["AccountHistory", "Ledger", "consoleRoot"]
