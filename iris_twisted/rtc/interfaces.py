"""
The interface of floor 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zope.interface import Interface

from ..xmpp.elements import Element
from .incoming import Incoming

__all__ = ["INotificationSyntax"]


class INotificationSyntax(Interface):
    """Floor 4: private IQs and what they mean (protocol.md section 5)."""

    def read(iq: Element, jid: str | None) -> Incoming:
        """
        Called for each IQ request.

        @param jid: the JID bound.
        @return: what it is: a notification, a request to leave, or a refusal.
        """

    def parseFast(
        message: bytes, defaultNamespace: str
    ) -> tuple[dict[str, str], dict[str, Any]] | None:
        """
        Called for each message first: whether it is one notification in its usual form.

        @param defaultNamespace: the namespace in force around it.
        @return: the attributes of the IQ, and what L{read} would have made of it; C{None}
            for everything that is to be read the ordinary way.
        """

    def reject(payload: Mapping[str, Any]) -> tuple[str, Sequence[Element]]:
        """
        The reject for a notification.

        @return: the addressee and the payload of the IQ.
        @raise IncorrectParameters: naming the field that is missing or unusable.
        """

    def statistics(event: dict[str, Any]) -> tuple[str, str, Sequence[Element]]:
        """
        Called for each event when telemetry is on.

        @return: the addressee, the end of the id, and the payload of the IQ.
        """
