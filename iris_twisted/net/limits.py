"""
How much a peer may send.
"""

from __future__ import annotations

import attrs

from ..errors import IncorrectParameters

__all__ = ["Limits"]


def _count(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise IncorrectParameters(
            f"limits.{attribute.name} must be a whole number of at least 1, not {value!r}"
        )


@attrs.frozen
class Limits:
    """
    How much a peer may send.

    @ivar discoveryBody: bytes of a discovery answer, after decompression.
    @ivar frame: bytes of a websocket message, and of one stanza.
    @ivar depth: how deep elements may nest; the stanza is 1.
    @ivar children: elements directly inside one element.
    @ivar unanswered: notifications handed over and not done with.
    """

    discoveryBody: int = attrs.field(default=64 * 1024, validator=_count)
    frame: int = attrs.field(default=256 * 1024, validator=_count)
    depth: int = attrs.field(default=32, validator=_count)
    children: int = attrs.field(default=256, validator=_count)
    unanswered: int = attrs.field(default=1000, validator=_count)
