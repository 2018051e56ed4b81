"""
What pika's errors mean: what somebody has to change, and what may be better later.
"""

from __future__ import annotations

from pika import exceptions
from twisted.python.failure import Failure

from ..errors import IncorrectParameters, IrisError, NotTaken
from ..net.failures import explain
from .amqp_place import AmqpPlace

__all__ = ["cannotOpen", "onOneLine", "reasonOf"]

_LONGEST_REASON = 200


def onOneLine(words: str) -> str:
    """What a broker says, as it may stand in a sentence."""
    return "".join(c if c.isprintable() else "?" for c in words)[:_LONGEST_REASON]


def reasonOf(error: BaseException | None) -> str:
    """What pika or the broker says, on one line."""
    if isinstance(error, (exceptions.ChannelClosed, exceptions.ConnectionClosed)):
        words = f"{error.reply_code} {error.reply_text}"
    elif isinstance(error, exceptions.AMQPHeartbeatTimeout):
        words = "no heartbeat came"
    else:
        words = type(error).__name__
    return onOneLine(words)


def cannotOpen(place: AmqpPlace, error: BaseException) -> IrisError:
    """What somebody has to change, or that it may be better later."""
    if isinstance(error, (exceptions.ProbableAuthenticationError, exceptions.AuthenticationError)):
        return IncorrectParameters(
            f"{place.name} refused the user {place.user!r} or its password", cause=error
        )
    if isinstance(error, exceptions.ProbableAccessDeniedError):
        return IncorrectParameters(
            f"{place.name} does not let the user {place.user!r} into the virtual host "
            f"{place.virtualHost!r}: is there one, and may it?",
            cause=error,
        )
    if isinstance(error, exceptions.IncompatibleProtocolError):
        return IncorrectParameters(f"{place.name} does not speak AMQP 0-9-1", cause=error)
    if isinstance(error, exceptions.ChannelClosedByBroker):
        # What cannot be declared: it is not there, it is another, it is not for us.
        return IncorrectParameters(f"{place.name}: {reasonOf(error)}", cause=error)
    if isinstance(error, exceptions.AMQPError):
        return NotTaken(f"{place.name} closed the connection: {reasonOf(error)}", cause=error)
    return explain(place.name, Failure(error))
