"""
Whether sinks would take a call, before there is one.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger

from ..errors import IncorrectParameters, IrisError
from .interfaces import ICheckedSink, INotificationSink

__all__ = ["checkSinks"]

_log = Logger()


async def checkSinks(sinks: Iterable[INotificationSink]) -> None:
    """
    Ask those that provide L{ICheckedSink}, all at a time. One whose place does not answer, or whose
    C{check} fails by a bug, is logged: it takes calls when it can. Cancelling this cancels all that
    have not answered.

    @raise IncorrectParameters: the first mistake that only an operator cures, when all have
        answered.
    """
    asked: list[tuple[ICheckedSink, Deferred[None]]] = [
        (sink, maybeDeferred(sink.check)) for sink in sinks if ICheckedSink.providedBy(sink)
    ]
    mistakes: list[IncorrectParameters] = []
    for sink, checking in asked:
        try:
            await checking
        except IncorrectParameters as e:
            mistakes.append(e)
        except CancelledError:
            for _, other in asked:
                other.cancel()
                # Nobody is told any more what became of them.
                other.addErrback(lambda failure: None)
            raise
        except IrisError as e:
            _log.warn("{reason}; calls wait until it answers", reason=e.message)
        except Exception:
            _log.failure("the sink {name} could not be checked", name=sink.name)
    if mistakes:
        raise mistakes[0]
