"""
Finds the sink that a word such as C{file:/var/log/calls.jsonl} means.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs
from twisted.plugin import getPlugins

from ..errors import IncorrectParameters
from ..net.addresses import withoutPath
from .context import SinkContext
from .formats import formatNamed
from .interfaces import INotificationSink, INotificationSinkProvider

__all__ = ["makeSink", "shownSink", "sinkProviders"]


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
    try:
        spec.encode()
    except UnicodeEncodeError:
        # An outbox keeps it as text; Python stands such bytes of a command line in surrogates.
        raise IncorrectParameters(f"sink {name[:40]!a} is followed by no UTF-8") from None
    provider = known.get(name)
    if provider is None:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise IncorrectParameters(f"sink {name[:40]!r} is none of {', '.join(sorted(known))}{hint}")
    if plus:
        context = attrs.evolve(context, format=formatNamed(format))
    return provider.make(argument, context)


def shownSink(spec: str) -> str:
    """A sink's specification without what may be secret in it."""
    name, colon, argument = spec.partition(":")
    if name.partition("+")[0] == "exec":
        words = argument.split(maxsplit=1)
        return f"{name}{colon}{' '.join([*words[:1], *['...' for _ in words[1:]]])}"
    if "://" not in argument:
        return spec
    shown = withoutPath(argument)
    return f"{name}{colon}{shown}{'/...' if len(shown) < len(argument) else ''}"
