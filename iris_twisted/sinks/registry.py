"""
Finds the sink that a word such as C{file:/var/log/calls.jsonl} means.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.plugin import getPlugins

from ..errors import IncorrectParameters
from ..interfaces import INotificationSink, INotificationSinkProvider
from ..settings import Settings
from .formats import FORMATS, CallFormat, formatNamed

__all__ = ["SinkContext", "makeSink", "sinkProviders"]


@attrs.frozen(kw_only=True)
class SinkContext:
    """
    What sinks may use.

    @ivar reactor: for time, sockets, processes and threads.
    @ivar write: writes a line to stdout.
    @ivar settings: whose certificates and limits count.
    @ivar execTimeout: seconds that a program may take.
    @ivar webhookTimeout: seconds that a webhook may take.
    @ivar webhookSecret: to sign webhooks with, or C{None}.
    @ivar format: how calls are written.
    """

    reactor: Any
    write: Callable[[str], None]
    settings: Settings = attrs.field(factory=Settings)
    execTimeout: float = 10.0
    webhookTimeout: float = 10.0
    webhookSecret: bytes | None = attrs.field(default=None, repr=False)
    format: CallFormat = FORMATS["json"]


def sinkProviders() -> dict[str, INotificationSinkProvider]:
    """The plugins that make sinks, by name."""
    return {provider.name: provider for provider in getPlugins(INotificationSinkProvider)}


def makeSink(
    spec: str,
    context: SinkContext,
    providers: Iterable[INotificationSinkProvider] | None = None,
) -> INotificationSink:
    """
    @param spec: C{name} or C{name:argument}; the name may have a format behind it, as in
        C{webhook+cloudevents:https://...}, instead of the context's.
    @param providers: instead of the plugins installed.
    @raise IncorrectParameters: naming what is wrong with it, without a path or a query that
        may hold a secret.
    """
    known = sinkProviders() if providers is None else {p.name: p for p in providers}
    word, _, argument = spec.partition(":")
    name, plus, format = word.partition("+")
    provider = known.get(name)
    if provider is None:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise IncorrectParameters(f"sink {name[:40]!r} is none of {', '.join(sorted(known))}{hint}")
    if plus:
        context = attrs.evolve(context, format=formatNamed(format))
    return provider.make(argument, context)
