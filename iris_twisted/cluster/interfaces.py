"""
What a member of a cluster needs from the program around it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from .values import Kept

__all__ = ["IPlaceRunner"]


class IPlaceRunner(Interface):
    """Keeps the connections of a member's places."""

    def start(kept: Kept) -> Deferred[None]:
        """
        Called when a place was given to this member: keep a connection for it.

        @return: fires when it is up for the first time; never, if it was stopped before.
        """

    def change(kept: Kept) -> None:
        """Called when something of the account was changed: its token, its sinks."""

    def stop(kept: Kept) -> Deferred[None]:
        """
        Called when this member shall not have a place any more: close its connection.

        @return: fires when it is closed, and every call that came by it was kept or refused.
        """

    def isUp(kept: Kept) -> bool:
        """Whether its connection is up right now."""
